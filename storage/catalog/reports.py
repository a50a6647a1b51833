"""What auditors ask the catalog: what was lost and why, how much was recorded, and is everything there.

Days are UTC days of the recordings' start. Figures come from the totals that publication keeps, so that a report over a
million recordings reads some thousand rows.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database, translated
from storage.catalog.ledger import LedgerKind
from storage.catalog.records import RecordingState
from storage.catalog.text import optional_key


class ReportGroup(enum.StrEnum):
    """What a report is broken down by."""

    DAY = "day"
    DOOR = "door"
    CAUSE = "cause"
    AGENT = "agent"


_GROUPS: Final = {
    None: "''",
    ReportGroup.DAY: "day::text",
    ReportGroup.DOOR: "door",
    ReportGroup.AGENT: "agent_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Time of one kind and cause, all parties together."""

    group: str
    kind: LedgerKind
    cause: str
    seconds: float
    intervals: int
    recordings: int
    """Recordings that have such an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Recordings by how they ended."""

    group: str
    state: RecordingState
    recordings: int
    seconds: float
    """Of timeline; of session for those without media; 0 for those that are not finalised."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCall:
    """A call that somebody else knows of: one row of a CDR or of an export."""

    position: int
    """Row of the list, to tell them apart."""
    record_identifier: str | None = None
    call_uuid: str | None = None
    number: str | None = None
    """DN, ANI, DNIS or agent; needs `started_at`."""
    started_at: datetime | None = None
    tolerance_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A recording that can be an expected call."""

    position: int
    recording_id: UUID
    record_identifier: str
    state: RecordingState
    started_at: datetime
    duration_s: float | None
    lost_s: float | None


class Reports:
    """The reports of one catalog; use it as `Catalog.reports`. Ranges are `[first, end)` in days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def shares(self, first: date, end: date, by: ReportGroup | None = None) -> list[Share]:
        """Return how the time of all parties divides into kinds and causes; by cause needs no group."""
        rows = await self._grouped("completeness_shares", first, end, by)
        return [Share(**{**row, "kind": LedgerKind(row["kind"])}) for row in rows]

    async def outcomes(self, first: date, end: date, by: ReportGroup | None = None) -> list[Outcome]:
        """Return how many recordings ended in which state, those not finalised included."""
        rows = await self._grouped("recording_outcomes", first, end, by)
        return [
            Outcome(**{**row, "state": RecordingState(row["state"]), "seconds": float(row["seconds"])}) for row in rows
        ]

    async def peaks(self, first: date, end: date) -> dict[date, int]:
        """Return the most sessions that were open at once, by day."""
        return {row["day"]: row["peak"] for row in await self._database.rows("concurrent_peaks", first, end)}

    async def match(self, expected: Sequence[ExpectedCall]) -> list[Candidate]:
        """Return the recordings that can be these calls, by position; a call that fits none does not appear."""
        rows = await self._database.rows(
            "match_expected",
            [call.position for call in expected],
            [optional_key(call.record_identifier) for call in expected],
            [optional_key(call.call_uuid) for call in expected],
            [optional_key(call.number) for call in expected],
            [call.started_at for call in expected],
            [call.tolerance_s for call in expected],
        )
        return [
            Candidate(
                position=row["position"],
                recording_id=UUID(str(row["id"])),
                record_identifier=row["record_identifier"],
                state=RecordingState(row["state"]),
                started_at=row["started_at"],
                duration_s=row["duration_s"],
                lost_s=row["lost_s"],
            )
            for row in rows
        ]

    async def _grouped(self, name: str, first: date, end: date, by: ReportGroup | None) -> list[asyncpg.Record]:
        group = _GROUPS[None if by is ReportGroup.CAUSE else by]
        statement = self._database.statements[name].replace("/* group */", group)
        with translated():
            async with self._database.connections.lent() as connection:
                return await connection.fetch(statement, first, end)
