"""The hash chain of the audit log: how an entry is digested, and what a reader finds wrong with a sequence of entries.

The same digest is computed in SQL by `append_audit_v1`; docs/integrity.md gives its form. Pure.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

GENESIS: Final = hashlib.sha256(b"tandem-audit/1").digest()
"""What the first entry names as its predecessor."""

_LENGTH: Final = struct.Struct(">i")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEntry:
    """One entry of the audit log as it is stored."""

    number: int
    """1, 2, 3 ... without holes."""
    entry_id: UUID
    at: datetime
    actor: str
    """Who: `user@host` of a command, or a process of the recorder."""
    action: str
    subject: str
    """What it was done to: the id of a recording, a file, a key; may be empty."""
    reason: str
    details: str
    """JSON text exactly as it was digested."""
    previous: bytes
    digest: bytes

    def to_json(self) -> dict[str, Any]:
        """Return the documented form: what `audit list --json` prints and `audit export` writes."""
        return {
            "number": self.number,
            "id": str(self.entry_id),
            "at": instant(self.at),
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "reason": self.reason,
            "details": json.loads(self.details),
            "details_text": self.details,
            "previous": self.previous.hex(),
            "digest": self.digest.hex(),
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> ChainEntry:
        """Read the documented form; `ValueError`, `KeyError` or `TypeError` for anything else."""
        read = cls(
            number=int(entry["number"]),
            entry_id=UUID(entry["id"]),
            at=datetime.strptime(entry["at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC),
            actor=str(entry["actor"]),
            action=str(entry["action"]),
            subject=str(entry["subject"]),
            reason=str(entry["reason"]),
            details=str(entry["details_text"]),
            previous=bytes.fromhex(entry["previous"]),
            digest=bytes.fromhex(entry["digest"]),
        )
        if read.to_json() != entry:
            raise ValueError("not in the form in which it was exported")
        return read


@dataclass(frozen=True, slots=True)
class ChainFault:
    """Where a chain is broken, and how."""

    number: int
    """Of the entry at which it was found."""
    what: str


def instant(at: datetime) -> str:
    """Write a time as it is digested: UTC, six digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def digest_of(entry: ChainEntry) -> bytes:
    """Return the SHA-256 that an entry must carry; each field has its length before it, so that none can bleed."""
    hasher = hashlib.sha256(entry.previous)
    for field in (
        str(entry.number),
        str(entry.entry_id),
        instant(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.reason,
        entry.details,
    ):
        encoded = field.encode()
        hasher.update(_LENGTH.pack(len(encoded)))
        hasher.update(encoded)
    return hasher.digest()


class ChainCheck:
    """Reads a chain from its beginning; feed it every entry in order, then ask `ends_at`."""

    def __init__(self) -> None:
        self.number = 0
        """Entries seen."""
        self.digest = GENESIS
        """Digest of the last one."""
        self.faults: list[ChainFault] = []

    def feed(self, entry: ChainEntry) -> None:
        """Check one entry; what is wrong is added to `faults`."""
        if entry.number != self.number + 1:
            self._fault(entry.number, f"entries {self.number + 1} to {entry.number - 1} are missing or out of order")
        elif entry.previous != self.digest:
            self._fault(entry.number, "does not follow from the entry before it")
        if digest_of(entry) != entry.digest:
            self._fault(entry.number, "was changed after it was written")
        self.number, self.digest = entry.number, entry.digest

    def ends_at(self, number: int, digest: bytes) -> None:
        """Compare the end of the chain with what is known of it; a shorter chain has lost its end."""
        if (self.number, self.digest) != (number, digest):
            self._fault(self.number, f"the log ends here, but its head is entry {number} ({digest.hex()[:16]}...)")

    def _fault(self, number: int, what: str) -> None:
        self.faults.append(ChainFault(number, what))
