"""Upload and discard jobs: files reach the object store, and what nothing claims any more is removed.

Order of truth: bytes durable in the other store, then the catalog's row with its audit entry, then removal.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from recorder.depot import ENCRYPTED, Depot
from storage.catalog import Catalog
from storage.catalog.file_lives import FileClaim
from storage.catalog.records import ClaimedJob
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken, StoreFailed
from storage.files import Store

_log = structlog.get_logger()

FORGOTTEN: Final = timedelta(hours=1)
"""An intent that is older belongs to nobody any more: a claim follows within moments."""


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
        for claim in await self._catalog.files.in_store(recording_id, self._depot.local.name):
            await self._upload(recording_id, claim, remote, job)
        await self._catalog.complete_job(job)

    async def discard(self, job: ClaimedJob) -> None:
        """Remove one file that nothing claims any more."""
        store, path = str(job.payload["store"]), str(job.payload["path"])
        if await self._catalog.files.is_doomed(store, path):
            await asyncio.to_thread(self._depot.remove, self._depot.store(store), path)
            await self._catalog.files.discarded(store, path)
        await self._catalog.complete_job(job)

    async def withdraw(self) -> None:
        """Doom what was intended long ago and never claimed."""
        if doomed := await self._catalog.files.withdraw(None, older_than=FORGOTTEN):
            _log.info("intents withdrawn", files=doomed)

    async def _upload(self, recording_id: UUID, claim: FileClaim, remote: Store, job: ClaimedJob) -> None:
        local = self._depot.local
        await self._intend(recording_id, claim, remote)
        if claim.path.endswith(ENCRYPTED):
            await asyncio.to_thread(self._copy_keys, claim.path, remote)
        await asyncio.to_thread(
            remote.put,
            local.locate(claim.path),
            claim.path,
            size_bytes=claim.size_bytes,
            sha256=claim.sha256,
        )
        # While that took its time the intent may have been withdrawn, and the object removed or not.
        await self._intend(recording_id, claim, remote)
        if await asyncio.to_thread(remote.stat, claim.path) is None:
            raise StoreFailed(f"{remote.name}:{claim.path} was removed meanwhile; it will be uploaded again")
        if not await self._catalog.files.move(recording_id, claim, source=local.name, target=remote.name, job=job):
            # The object is there. Whoever withdrew its intent may have looked before it was: intended again, it goes.
            await self._intend(recording_id, claim, remote)
            await self._catalog.files.withdraw(recording_id)
            raise StoreFailed(f"recording {recording_id} was changed during the upload of {claim.path}")
        _log.info("file uploaded", recording=str(recording_id), path=claim.path, bytes=claim.size_bytes)

    async def _intend(self, recording_id: UUID, claim: FileClaim, remote: Store) -> None:
        if not await self._catalog.files.intend(recording_id, remote.name, claim.path, claim.sha256):
            raise StoreFailed(f"{remote.name}:{claim.path} is being removed; it will be uploaded again")

    def _copy_keys(self, path: str, remote: Store) -> None:
        keys = b"".join(self._depot.local.read(path + KEYS_SUFFIX))
        if not keys:
            raise IntegrityBroken(f"{path}{KEYS_SUFFIX} is empty")
        remote.replace(keys, path + KEYS_SUFFIX)
