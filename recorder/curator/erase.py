"""Erase what the catalog has given up: this host's captures of a recording, and its files when it is deleted.

The order of a deletion: the intent is in the catalog before this job exists; each file is unlinked and its directory
synced here; only then the catalog forgets. A job that dies anywhere is repeated from the start: what is gone is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from recorder.depot import ENCRYPTED
from storage.catalog import Catalog
from storage.catalog.deletions import Erasure
from storage.catalog.records import ClaimedJob
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import StorageMisused
from storage.files import FileStore, Store

_log = structlog.get_logger()


class Eraser:
    """Does the erase jobs of one host.

    Args:
        catalog: where the intents are.
        host: whose jobs; empty for recordings without captures, which any host erases.
        captures: the directory of this host's captures.
        stores: by name, where files are.
        keep: call facts that stay with a tombstone.

    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        host: str,
        captures: FileStore,
        stores: Mapping[str, Store],
        keep: Sequence[str] = (),
    ) -> None:
        self._catalog = catalog
        self._host = host
        self._captures = captures
        self._stores = stores
        self._keep = tuple(keep)

    async def erase(self, job: ClaimedJob) -> None:
        """Do one job. Errors: `StorageMisused` for a path outside our directories, and those of the file system."""
        recording_id = UUID(str(job.payload["recording_id"]))
        due = await self._catalog.deletions.due(recording_id, self._host)
        if due is None:
            await self._catalog.complete_job(job)
            return
        await asyncio.to_thread(self._remove, due)
        last = await self._catalog.deletions.erased(recording_id, self._host, job=job, keep=self._keep)
        _log.info(
            "erased", recording=str(recording_id), captures=len(due.captures), files=len(due.files), complete=last
        )

    def _remove(self, due: Erasure) -> None:
        # All paths are looked at before the first is gone.
        captures = [_inside(self._captures, path) for path in due.captures]
        unknown = {store for store, _ in due.files} - self._stores.keys()
        if unknown:
            raise StorageMisused(f"no store {', '.join(sorted(unknown))} is configured on this host")
        for path in captures:
            self._captures.delete(path)
        for store, path in due.files:
            self._stores[store].delete(path)
            if path.endswith(ENCRYPTED):
                self._stores[store].delete(path + KEYS_SUFFIX)


def _inside(store: FileStore, path: str) -> str:
    """Return a capture's path relative to the directory of captures; a row never leads out of it."""
    if not path.startswith(f"{store.root}/"):
        raise StorageMisused(
            f"capture {path} is not in {store.root}, the directory of this host's captures: move it there, or start "
            "the recorder with the state directory that it was made with"
        )
    return path.removeprefix(f"{store.root}/")
