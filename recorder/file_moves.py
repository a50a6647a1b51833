"""Move a finished file from one store to another, so that a death at any point loses nothing and leaves nothing.

Order of truth: the intent in the catalog, bytes durable and compared in the other store, then the catalog's row with
its audit entry, then removal here (a `discard` job). Repeating a move that was interrupted goes on where it was.
"""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from uuid import UUID

from recorder.depot import ENCRYPTED
from storage.catalog import Catalog
from storage.catalog.file_lives import FileClaim
from storage.catalog.records import ClaimedJob
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken, StorageMisused, StoreFailed
from storage.files import FileStore, Store


class FileMover:
    """Moves files of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def move(
        self,
        recording_id: UUID,
        claim: FileClaim,
        source: Store,
        target: Store,
        *,
        by: str,
        job: ClaimedJob | None = None,
    ) -> None:
        """Move one file, and the keys beside encrypted audio.

        Args:
            recording_id: whose file it is.
            claim: as the catalog has it in `source`.
            source: where it is.
            target: where it shall be.
            by: who the audit log says moved it.
            job: on whose claim it depends; None for a person's wish.

        Errors: `StoreFailed` when it has to be tried again, `IntegrityBroken` when the bytes are not what the catalog
        says, and those of the stores.

        """
        await self._intend(recording_id, claim, target)
        if claim.path.endswith(ENCRYPTED):
            await asyncio.to_thread(_copy_keys, claim.path, source, target)
        await asyncio.to_thread(_copy, claim, source, target)
        # While that took its time the intent may have been withdrawn, and the file removed or not.
        await self._intend(recording_id, claim, target)
        if await asyncio.to_thread(target.stat, claim.path) is None:
            raise StoreFailed(f"{target.name}:{claim.path} was removed meanwhile; it will be moved again")
        if not await self._catalog.files.move(
            recording_id, claim, source=source.name, target=target.name, by=by, job=job
        ):
            # It is there. Whoever withdrew its intent may have looked before it was: intended again, it goes.
            await self._intend(recording_id, claim, target)
            await self._catalog.files.withdraw(recording_id)
            raise StoreFailed(f"recording {recording_id} was changed while {claim.path} was moved")

    async def _intend(self, recording_id: UUID, claim: FileClaim, target: Store) -> None:
        if not await self._catalog.files.intend(recording_id, target.name, claim.path, claim.sha256):
            raise StoreFailed(f"{target.name}:{claim.path} is being removed; it will be moved again")


def _copy(claim: FileClaim, source: Store, target: Store) -> None:
    if isinstance(source, FileStore):
        target.put(source.locate(claim.path), claim.path, size_bytes=claim.size_bytes, sha256=claim.sha256)
        return
    if not isinstance(target, FileStore):
        raise StorageMisused(f"from {source.name} to {target.name}: one of the two has to be a directory")
    with target.begin(PurePosixPath(claim.path).parent) as fetched:
        with fetched.path.open("wb") as file:
            for block in source.read(claim.path):
                file.write(block)
        target.put(fetched.path, claim.path, size_bytes=claim.size_bytes, sha256=claim.sha256)


def _copy_keys(path: str, source: Store, target: Store) -> None:
    keys = b"".join(source.read(path + KEYS_SUFFIX))
    if not keys:
        raise IntegrityBroken(f"{path}{KEYS_SUFFIX} is empty")
    target.replace(keys, path + KEYS_SUFFIX)
