"""Jobs about finished files: they reach the object store, are held there, and go when nothing claims them any more.

How a file moves so that no death loses it is in `recorder.file_moves`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from recorder.depot import ENCRYPTED, Depot, remove_file
from recorder.file_moves import FileMover
from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import StoreFailed

_log = structlog.get_logger()

FORGOTTEN: Final = timedelta(hours=1)
"""An intent that is older belongs to nobody any more: a claim follows within moments."""

STALE: Final = timedelta(minutes=15)
"""A worker that lost its claim is stopped within seconds; after this time none acts on what it knew."""

_ACTOR: Final = "curator"


class Keeping:
    """Does the upload and discard jobs of one curator, and withdraws what crashes leave intended."""

    def __init__(self, catalog: Catalog, depot: Depot) -> None:
        self._catalog = catalog
        self._depot = depot

    async def upload(self, job: ClaimedJob) -> None:
        """Bring what a recording has here to the object store; an outage gives the job back."""
        recording_id = UUID(str(job.payload["recording_id"]))
        remote = self._depot.remote
        if remote is None:
            raise StoreFailed("an upload waits for [s3] of the settings, which is not configured")
        if await self._catalog.redactions.pending(recording_id):
            raise StoreFailed(f"recording {recording_id} is being redacted; it is uploaded afterwards")
        mover = FileMover(self._catalog)
        for claim in await self._catalog.files.in_store(recording_id, self._depot.local.name):
            await mover.move(recording_id, claim, self._depot.local, remote, by=_ACTOR, job=job)
            _log.info("file uploaded", recording=str(recording_id), path=claim.path, bytes=claim.size_bytes)
        await self._catalog.complete_job(job)

    async def hold_objects(self, job: ClaimedJob) -> None:
        """Give what a recording has in the object store the legal hold that it has in the catalog, or take it off."""
        recording_id = UUID(str(job.payload["recording_id"]))
        remote = self._depot.remote
        if remote is None:
            raise StoreFailed("the legal hold of objects waits for [s3] of the settings, which is not configured")
        held = bool(await self._catalog.holds.held_among([recording_id]))
        for claim in await self._catalog.files.in_store(recording_id, remote.name):
            paths = [claim.path, claim.path + KEYS_SUFFIX] if claim.path.endswith(ENCRYPTED) else [claim.path]
            for path in paths:
                if await asyncio.to_thread(partial(remote.hold, path, on=held)):
                    _log.info("legal hold of an object", recording=str(recording_id), path=path, on=held)
        await self._catalog.complete_job(job)

    async def discard(self, job: ClaimedJob) -> None:
        """Remove one file that nothing claims any more."""
        store, path = str(job.payload["store"]), str(job.payload["path"])
        if await self._catalog.files.is_doomed(store, path):
            await asyncio.to_thread(remove_file, self._depot.store(store), path)
            await self._catalog.files.discarded(store, path, alone=job.lock == 1)
        await self._catalog.complete_job(job)

    async def withdraw(self) -> None:
        """Doom what was intended long ago and never claimed."""
        if doomed := await self._catalog.files.withdraw(None, older_than=FORGOTTEN):
            _log.info("intents withdrawn", files=doomed)
        await self._catalog.files.free_names(older_than=STALE)
