"""The audit log in the catalog: appending to it, and reading it in order.

`append_audit_v1` (`migrations/0005_audit.sql`) numbers and chains the entries; SQL functions that do something worth
an entry call it themselves, in the same transaction. `storage.integrity.chain` checks what is read here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.text import key, storable
from storage.integrity import GENESIS, Anchor, ChainEntry

PAGE: Final = 2000
"""Entries read at once; each is some hundred bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Something that somebody does, for the log."""

    actor: str
    action: str
    """A word of small letters, digits, `.` and `-`, such as `export`."""
    subject: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values."""
    entry_id: UUID = field(default_factory=uuid4)
    """Appending an entry a second time (unknown outcome) changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries to read; None is any."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""

    def arguments(self) -> tuple[object, ...]:
        """Return the conditions in the order of the statements."""
        return (self.actor, self.action, None if self.subject is None else key(self.subject), self.since, self.until)


class AuditLog:
    """The log of one catalog; use it through `Catalog.audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> int:
        """Append an entry durably and return its number. Do this before what it announces becomes visible.

        Errors: `StorageMisused` for an action that is not a word, `CatalogUnreachable` (repeat with the same entry).
        """
        return int(
            await self._database.value(
                "append_audit",
                entry.entry_id,
                storable(entry.actor),
                entry.action,
                key(entry.subject),
                storable(entry.reason),
                dict(entry.details),
            )
        )

    async def head(self) -> Anchor:
        """Return number and digest of the last entry; number 0 while there is none."""
        row = await self._database.row("audit_head")
        return Anchor(row["number"], row["digest"])

    async def digests(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the digests that the log has for these numbers; those that it does not have are missing."""
        found = {row["number"]: row["digest"] for row in await self._database.rows("audit_digests", list(numbers))}
        return {0: GENESIS} | found

    async def read(self, wanted: AuditFilter | None = None, *, after: int = 0) -> AsyncIterator[ChainEntry]:
        """Yield the entries after a number, oldest first."""
        conditions = (wanted or AuditFilter()).arguments()
        while True:
            rows = await self._database.rows("audit_entries", after, *conditions, PAGE)
            for row in rows:
                yield _entry(row)
            if len(rows) < PAGE:
                return
            after = rows[-1]["number"]

    async def latest(self, wanted: AuditFilter, limit: int) -> list[ChainEntry]:
        """Return the last entries that match, oldest first."""
        rows = await self._database.rows("latest_audit_entries", *wanted.arguments(), limit)
        return [_entry(row) for row in reversed(rows)]


def _entry(row: asyncpg.Record) -> ChainEntry:
    return ChainEntry(**{**row, "entry_id": UUID(str(row["entry_id"]))})
