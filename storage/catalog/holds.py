"""Legal holds: who keeps which recording from being removed, and why.

The rules and the guards are in the database (`migrations`, `holds.sql`): nothing here could be forgotten by a caller.
A hold on a copy protects the healed master too, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.text import key, storable
from storage.errors import StorageMisused

REASON_LIMIT = 1000
"""Characters; a reason is a sentence and a reference, the papers are elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One person's decision that one recording stays, until it is released."""

    hold_id: int
    recording_id: UUID
    matter: str
    """The case it is for; empty when nobody named one."""
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    release_reason: str | None
    released_at: datetime | None

    @property
    def standing(self) -> bool:
        """Whether it still protects the recording."""
        return self.released_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlacing:
    """Answer to `place`."""

    refused: str | None
    """None: the recording is held. Else `unknown-recording`, or the state of a recording that is on its way out."""
    hold_id: int | None = None
    placed: bool = False
    """False: the same hold stood already."""
    captures: str | None = None
    """kept; erasing: that had begun before, some may be gone; erased. None when refused."""


class Holds:
    """The holds of one catalog; use it as `Catalog.holds`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, recording_id: UUID, *, reason: str, by: str, matter: str = "") -> HoldPlacing:
        """Hold a recording. Asking again for the same matter and reason changes nothing."""
        row = await self._database.row("place_hold", recording_id, key(matter), checked_reason(reason), storable(by))
        # After the hold: from then on no erasure begins.
        captures = None if row["refused"] else str(await self._database.value("captures_state", recording_id))
        return HoldPlacing(refused=row["refused"], hold_id=row["hold"], placed=bool(row["placed"]), captures=captures)

    async def release(self, hold_id: int, *, reason: str, by: str) -> bool:
        """Release one hold; False when it does not stand. Others on the same recording stay as they are."""
        return bool(await self._database.value("release_hold", hold_id, checked_reason(reason), storable(by)))

    async def of(self, recording_ids: Sequence[UUID]) -> list[Hold]:
        """Return all holds that were ever placed on these recordings, oldest first."""
        return [hold_of(row) for row in await self._database.rows("holds_of", list(recording_ids))]

    async def standing(self, *, matter: str | None = None) -> list[tuple[str, Hold]]:
        """Return (record identifier, hold) of the holds that protect something now, oldest first."""
        rows = await self._database.rows("standing_holds", None if matter is None else key(matter))
        return [(row["record_identifier"], hold_of(row)) for row in rows]

    async def held_among(self, recording_ids: Sequence[UUID]) -> set[UUID]:
        """Return those recordings that may not be removed, be it by a hold on one of their copies."""
        return {UUID(str(row["id"])) for row in await self._database.rows("held_among", list(recording_ids))}


def checked_reason(text: str) -> str:
    """Return a reason as it is kept; `StorageMisused` without one, or for more than `REASON_LIMIT` characters."""
    if not text.strip():
        raise StorageMisused("a reason is needed: it is what an auditor reads")
    if len(text) > REASON_LIMIT:
        raise StorageMisused(f"the reason has {len(text)} characters; at most {REASON_LIMIT} are kept")
    return storable(text.strip())


def hold_of(row: asyncpg.Record) -> Hold:
    """Return a hold from a row of `holds_of`."""
    return Hold(
        hold_id=row["hold_id"],
        recording_id=UUID(str(row["recording_id"])),
        matter=row["matter"],
        reason=row["reason"],
        placed_by=row["placed_by"],
        placed_at=row["placed_at"],
        released_by=row["released_by"],
        release_reason=row["release_reason"],
        released_at=row["released_at"],
    )
