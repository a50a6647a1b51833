"""Redactions in the catalog: what is to be silenced, the file that takes the master's place, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from storage.catalog.connection import Database
from storage.catalog.holds import checked_reason
from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger
from storage.catalog.records import ClaimedJob, RenderedFile, RenderedGap
from storage.catalog.text import storable
from storage.errors import StorageMisused

REDACT: Final = "redact"
"""Job kind; dedupe key is the recording id."""

REDACTED: Final = "redacted"
"""Cause of a gap that was made on purpose, afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is to be silenced."""

    redaction_id: int
    party: int | None
    """None: all parties."""
    start_s: float
    end_s: float


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

    async def begin(
        self, recording_id: UUID, *, start_s: float, end_s: float, party: int | None, reason: str, by: str
    ) -> str | None:
        """Decide to silence a stretch and to erase the captures; returns why not, None when it will be done."""
        if not 0 <= start_s < end_s:
            raise StorageMisused(f"from {start_s:g} s to {end_s:g} s is no stretch of a recording")
        row = await self._database.row(
            "begin_redaction", recording_id, party, start_s, end_s, checked_reason(reason), storable(by)
        )
        return None if row["refused"] is None else str(row["refused"])

    async def pending(self, recording_id: UUID) -> list[Stretch]:
        """Return what is still to be silenced."""
        return [
            Stretch(redaction_id=row["id"], party=row["party"], start_s=row["start_s"], end_s=row["end_s"])
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
        *,
        old_sha256: bytes,
        file: RenderedFile,
        gaps: Sequence[RenderedGap],
        ledger: Sequence[PartyLedger],
        job: ClaimedJob,
    ) -> str | None:
        """Put the redacted file in the place of the master; returns the race that was lost, None on success.

        The old file stays in the catalog as kind `to-erase`. Errors: `UnderLegalHold` when a hold came in between.
        """
        refused = await self._database.value(
            "swap_redacted",
            recording_id,
            old_sha256,
            {**dataclasses.asdict(file), "sha256": file.sha256.hex()},
            [dataclasses.asdict(gap) for gap in gaps],
            [party.stored() for party in ledger],
            *(job.job_id, job.worker, job.lock),
        )
        return None if refused is None else str(refused)

    async def finish(self, recording_id: UUID, redactions: Sequence[int], *, job: ClaimedJob) -> None:
        """Say that the audio with these stretches is erased, and complete the job."""
        await self._database.row("finish_redactions", recording_id, list(redactions), job.job_id, job.worker, job.lock)


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
