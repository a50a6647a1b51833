"""Redactions in the catalog: what is to be silenced, the file that takes the master's place, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from storage.catalog.connection import Database
from storage.catalog.holds import checked_reason
from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger
from storage.catalog.records import ClaimedJob, RecordingState, RenderedFile, RenderedGap, Role
from storage.catalog.text import storable
from storage.errors import StorageMisused

REDACT: Final = "redact"
"""Job kind; dedupe key is the recording id."""

REDACTED: Final = "redacted"
"""Cause of a gap that was made on purpose, afterwards."""

_FILE: Final = ("store", "path", "format", "sample_rate", "channels", "frames", "size_bytes", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is to be silenced."""

    redaction_id: int
    party: int | None
    """None: all parties."""
    start_s: float
    end_s: float
    silenced: bool = False
    """The present file is without it; what is left is to erase the former one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStretch:
    """A stretch that is to be silenced, of one recording."""

    recording_id: UUID
    party: int | None
    """None: all parties."""
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyMember:
    """A recording that may hold a stretch of another one: a copy of it, or a master made of it. Or itself."""

    recording_id: UUID
    record_identifier: str
    role: Role
    state: RecordingState
    duration_s: float | None
    file: RenderedFile | None
    """Its audio; None without any."""
    captures_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLink:
    """How one recording of a family lies on another one; either of the two figures is given."""

    base: UUID
    other: UUID
    placed: Mapping[str, object] | None
    """As `MasterSource.placed`."""
    comparison: Mapping[str, object] | None
    """As `PairDecision.comparison`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing was begun."""

    reason: str
    """`legal-hold`, `pairs`, `changed`, or the state of a recording."""
    recording_id: UUID
    """Whose fault it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What was silenced, by whom and why; it stays for ever."""

    redaction_id: int
    party: int | None
    start_s: float
    end_s: float
    reason: str
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    """None while the audio with it may still be on disk."""


class Redactions:
    """The redactions of one catalog; use it as `Catalog.redactions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def family(self, recording_id: UUID) -> list[FamilyMember]:
        """Return what may hold a stretch of a recording, itself first."""
        return [_member(row) for row in await self._database.rows("redaction_family", recording_id)]

    async def links(self, family: Sequence[UUID]) -> list[FamilyLink]:
        """Return how the recordings of a family lie on each other."""
        return [
            FamilyLink(**{**row, "base": UUID(str(row["base"])), "other": UUID(str(row["other"]))})
            for row in await self._database.rows("redaction_links", list(family))
        ]

    async def begin(
        self, recording_id: UUID, stretches: Sequence[WantedStretch], *, family: Sequence[UUID], reason: str, by: str
    ) -> Refusal | None:
        """Decide to silence stretches in a family of recordings, and to erase the captures of each.

        All or nothing; None when it will be done. What waits already is not asked for twice. Encrypted audio is left to
        whoever has a key: no job is queued for it.

        Args:
            recording_id: the recording that a person named.
            stretches: of any recordings of its family.
            family: as it was read; it may have changed since.
            reason: for an auditor.
            by: who says so.

        """
        for one in stretches:
            if not 0 <= one.start_s < one.end_s:
                raise StorageMisused(f"from {one.start_s:g} s to {one.end_s:g} s is no stretch of a recording")
        wanted = [
            {"recording": str(one.recording_id), "party": one.party, "start_s": one.start_s, "end_s": one.end_s}
            for one in stretches
        ]
        row = await self._database.row(
            "begin_redactions", recording_id, list(family), wanted, checked_reason(reason), storable(by)
        )
        return Refusal(reason=row["refused"], recording_id=UUID(str(row["subject"]))) if row["refused"] else None

    async def pending(self, recording_id: UUID) -> list[Stretch]:
        """Return what is not done yet, in the order in which it was asked for."""
        return [
            Stretch(
                redaction_id=row["id"],
                party=row["party"],
                start_s=row["start_s"],
                end_s=row["end_s"],
                silenced=row["silenced"],
            )
            for row in await self._database.rows("pending_redactions", recording_id)
        ]

    async def of(self, recording_id: UUID) -> list[Redaction]:
        """Return everything that was ever silenced in a recording, or will be."""
        return [redaction_of(row) for row in await self._database.rows("redactions_of", recording_id)]

    async def ledger(self, recording_id: UUID) -> list[PartyLedger]:
        """Return the ledger of a recording, by party."""
        rows = await self._database.rows("ledger_of", recording_id)
        return [_ledger(party, list(own)) for party, own in groupby(rows, key=lambda row: int(row["party"]))]

    async def swap(
        self,
        recording_id: UUID,
        redactions: Sequence[int],
        *,
        old_sha256: bytes,
        file: RenderedFile,
        gaps: Sequence[RenderedGap],
        ledger: Sequence[PartyLedger],
        job: ClaimedJob | None,
    ) -> str | None:
        """Put the redacted file in the place of the master; returns the race that was lost, None on success.

        The old file stays in the catalog as kind `to-erase`, and the job is not given up before that is gone. Without a
        job a person does it, and one is queued for what may be left. Errors: `UnderLegalHold` when a hold came in
        between.
        """
        refused = await self._database.value(
            "swap_redacted",
            recording_id,
            list(redactions),
            old_sha256,
            {**dataclasses.asdict(file), "sha256": file.sha256.hex()},
            [dataclasses.asdict(gap) for gap in gaps],
            [party.stored() for party in ledger],
            *_claim(job),
        )
        return None if refused is None else str(refused)

    async def finish(
        self, recording_id: UUID, redactions: Sequence[int], *, erased: Sequence[bytes], job: ClaimedJob | None
    ) -> None:
        """Say that the audio with these stretches is erased, and complete the job if there is one.

        Args:
            recording_id: whose audio.
            redactions: what is done.
            erased: SHA-256 of the former files that are gone.
            job: on whose claim it depends.

        """
        await self._database.row("finish_redactions", recording_id, list(redactions), list(erased), *_claim(job))


def _claim(job: ClaimedJob | None) -> tuple[int | None, str | None, int | None]:
    return (None, None, None) if job is None else (job.job_id, job.worker, job.lock)


def _member(row: Any) -> FamilyMember:
    file = None
    if row["path"] is not None:
        file = RenderedFile(kind="master", **{name: row[name] for name in _FILE})
    return FamilyMember(
        recording_id=UUID(str(row["id"])),
        record_identifier=row["record_identifier"],
        role=Role(row["role"]),
        state=RecordingState(row["state"]),
        duration_s=row["duration_s"],
        file=file,
        captures_kept=row["captures_kept"],
    )


def redaction_of(row: Any) -> Redaction:
    """Return a redaction from a row of `redactions_of`."""
    return Redaction(
        redaction_id=row["id"],
        party=row["party"],
        start_s=row["start_s"],
        end_s=row["end_s"],
        reason=row["reason"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        done_at=row["done_at"],
    )


def _ledger(party: int, rows: Sequence[Any]) -> PartyLedger:
    intervals = tuple(
        LedgerInterval(row["start_frame"], row["end_frame"], LedgerKind(row["kind"]), row["cause"], row["source"])
        for row in rows
    )
    return PartyLedger(party, rows[0]["sample_rate"], intervals[-1].end, intervals)
