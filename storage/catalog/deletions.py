"""Deletion in the catalog: intent, what each host has to erase, tombstone (docs/adr/0010-the-order-of-deletion.md).

Nothing here touches a file: whoever erases asks `due`, erases, syncs, and says `erased`. Every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.holds import checked_reason
from storage.catalog.records import ClaimedJob
from storage.catalog.text import storable

ERASE: Final = "erase@"
"""Job kind, completed by the host whose disk it is about; a recording without captures has the bare kind."""

CALL_FACTS: Final = (
    *("call_uuid", "conn_id", "ani", "dnis", "dn", "other_dn", "record_dn", "agent_id", "sips_app_name", "tenant"),
)
"""What of the call's data a policy may let stay with the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionAnswer:
    """Answer to a wish to delete or erase."""

    refused: str | None
    """None: it will be done. Else `legal-hold`, `unknown-recording`, or the state in which it cannot be."""
    begun: bool
    """False: it was decided before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What one host has to erase of one recording."""

    captures: tuple[str, ...]
    """Absolute paths."""
    files: tuple[tuple[str, str], ...]
    """(store, path); those that are gone already count as erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What stays of a deleted recording beside its row."""

    requested_by: str
    reason: str
    rule: str
    """Of the retention policy; empty when a person asked for it."""
    requested_at: datetime
    files: tuple[dict[str, Any], ...]
    """kind, store, format, size_bytes and sha256 of each."""
    captures: int
    deleted_at: datetime | None
    """None while files and captures are being erased."""


class Deletions:
    """Deletions in one catalog; use it as `Catalog.deletions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, recording_id: UUID, *, by: str, reason: str, rule: str = "") -> DeletionAnswer:
        """Decide to delete a recording; jobs of its hosts erase it. There is no way back."""
        row = await self._database.row(
            "begin_deletion", recording_id, storable(by), checked_reason(reason), storable(rule)
        )
        return DeletionAnswer(refused=row["refused"], begun=row["begun"])

    async def begin_capture_erasure(self, recording_id: UUID, *, by: str, reason: str) -> DeletionAnswer:
        """Decide to erase the captures of a finished recording. It cannot be rendered again and takes no session."""
        row = await self._database.row("begin_capture_erasure", recording_id, storable(by), checked_reason(reason))
        return DeletionAnswer(refused=row["refused"], begun=row["begun"])

    async def due(self, recording_id: UUID, host: str) -> Erasure | None:
        """Return what a host has to erase now; None when it is done, or when a hold forbids it."""
        row = await self._database.row("erasure", recording_id, host)
        if not row["due"]:
            return None
        return Erasure(captures=tuple(row["captures"]), files=tuple((store, path) for store, path in row["files"]))

    async def erased(self, recording_id: UUID, host: str, *, job: ClaimedJob, keep: Sequence[str] = ()) -> bool:
        """Say that a host's part is erased and synced, and complete its job; True when it was the last part.

        The last part of a deletion makes it final: what was in the recording leaves the catalog, but for the call
        facts in `keep` (of `CALL_FACTS`).
        """
        return bool(
            await self._database.value("host_erased", recording_id, host, list(keep), job.job_id, job.worker, job.lock)
        )

    async def tombstone(self, recording_id: UUID) -> Tombstone | None:
        """Return who deleted a recording and why; None when nobody did."""
        row = await self._database.optional_row("tombstone_of", recording_id)
        return tombstone_of(row) if row else None


def tombstone_of(row: asyncpg.Record) -> Tombstone:
    """Return a tombstone from a row of `tombstone_of`."""
    return Tombstone(**{**row, "files": tuple(row["files"])})
