"""Retention over the catalog: reads what the policy decides about, page by page, and carries its plan out.

The decisions are `storage.retention`'s, the guards the database's: a hold that comes between plan and deed is obeyed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.deletions import DeletionAnswer, Deletions
from storage.catalog.holds import Holds
from storage.catalog.text import storable
from storage.retention import FACTS, Action, ActionKind, Candidate, Planner, Policy, Spared

PAGE: Final = 500
"""Recordings read and decided about at once."""

_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceMonth:
    """SIP messages of one month that are to go now."""

    month: date
    """Its first day."""
    why: str
    size_bytes: int
    """That they and their index take of the catalog's disk."""
    held_sessions: int
    """Sessions under legal hold, whose messages stay."""


class Retention:
    """Retention of one catalog; use it as `Catalog.retention`."""

    def __init__(self, database: Database, holds: Holds, deletions: Deletions) -> None:
        self._database = database
        self._holds = holds
        self._deletions = deletions

    async def plan(self, policy: Policy, *, now: datetime) -> AsyncIterator[Action | Spared]:
        """Yield what is to be done now and what is spared, the oldest first. Nothing is changed."""
        limited = policy.max_total_bytes is not None
        total = int(await self._database.value("retention_total")) if limited else 0
        planner = Planner(policy, total_bytes=total, now=now)
        gone: set[UUID] = set()
        if (before := _horizon(policy, planner, now)) is not None:
            async for candidate in self._candidates("retention_candidates", before, by="started_at"):
                if (decision := planner.consider(candidate)) is not None:
                    gone.add(decision.recording_id)
                    yield decision
        if policy.capture_days is not None:
            before = now - timedelta(days=policy.capture_days)
            async for candidate in self._candidates("capture_candidates", before, by="finalised_at"):
                decision = planner.consider_captures(candidate)
                # A deletion takes the captures as well, and a hold is told once.
                if decision is not None and candidate.recording_id not in gone:
                    yield decision

    async def apply(self, action: Action, *, by: str) -> DeletionAnswer:
        """Carry out one action of a plan; a second time changes nothing."""
        if action.kind is ActionKind.DELETE:
            return await self._deletions.begin(action.recording_id, by=by, reason=action.why, rule=action.rule)
        return await self._deletions.begin_capture_erasure(action.recording_id, by=by, reason=action.why)

    async def old_traces(self, policy: Policy, *, now: datetime) -> list[TraceMonth]:
        """Return the months whose SIP messages are to go now, oldest first. Nothing is changed."""
        if policy.trace_days is None:
            return []
        why = f"SIP messages kept {policy.trace_days:g} days after their month"
        rows = await self._database.rows("old_trace_months", now - timedelta(days=policy.trace_days))
        return [TraceMonth(**row, why=why) for row in rows]

    async def forget_traces(self, month: TraceMonth, *, by: str) -> str | None:
        """Give up the SIP messages of a month; returns what came in between, `busy`: ask again later."""
        row = await self._database.row("forget_trace_month", month.month, storable(by), month.why)
        return None if row["refused"] is None else str(row["refused"])

    async def candidates(self, recording_ids: Sequence[UUID]) -> list[Candidate]:
        """Return what policy needs to know of some recordings."""
        return await self._with_holds(await self._database.rows("candidates_among", list(recording_ids)))

    async def _candidates(self, name: str, before: datetime, *, by: str) -> AsyncIterator[Candidate]:
        after = (_BEGINNING, _NOBODY)
        while rows := await self._database.rows(name, before, *after, PAGE):
            for candidate in await self._with_holds(rows):
                yield candidate
            after = rows[-1][by], UUID(str(rows[-1]["id"]))

    async def _with_holds(self, rows: Sequence[asyncpg.Record]) -> list[Candidate]:
        held = await self._holds.held_among([row["id"] for row in rows])
        return [_candidate(row, held) for row in rows]


def _horizon(policy: Policy, planner: Planner, now: datetime) -> datetime | None:
    """Return before when recordings must have begun to be looked at; None: none needs to be."""
    if planner.wants_space:
        return now
    days = policy.shortest_keep_days
    return None if days is None else now - timedelta(days=days)


def _candidate(row: asyncpg.Record, held: set[UUID]) -> Candidate:
    recording_id = UUID(str(row["id"]))
    return Candidate(
        recording_id=recording_id,
        record_identifier=row["record_identifier"],
        facts={name: row[name] for name in FACTS},
        parameters=tuple((name, value) for name, value in row["parameters"]),
        ended_at=row["ended_at"],
        finalised_at=row["finalised_at"],
        size_bytes=row["size_bytes"],
        captures_kept=row["captures_kept"],
        held=recording_id in held,
    )
