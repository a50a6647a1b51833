"""Redact one recording: make its audio anew, put it in the old one's place, erase the old one.

The old file stays in the catalog until its bytes are gone, so that whoever dies anywhere goes on where it was. Once it
is replaced, its erasure is repeated for as long as a store keeps it (object lock). Captures are erased by jobs of their
own (`erase`); they hold the stretch as well and are never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from media.healing.redaction import Silenced
from recorder.depot import ENCRYPTED, remove_file
from recorder.redaction.making import Maker
from recorder.redaction.telling import frames_of, redacted_gaps, redacted_ledger
from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob
from storage.catalog.redactions import Stretch
from storage.catalog.views import FileView, RecordingDetail
from storage.encryption import PrivateKey
from storage.errors import StorageMisused
from storage.files import FileStore, Store

_log = structlog.get_logger()


class Redactor:
    """Silences what is to be silenced in recordings of one catalog; the arguments are those of `Maker`."""

    def __init__(self, catalog: Catalog, store_of: Callable[[str], Store], workshop: FileStore) -> None:
        self._catalog = catalog
        self._store_of = store_of
        self._maker = Maker(catalog, store_of, workshop)

    async def redact(self, recording_id: UUID, *, key: PrivateKey | None = None, job: ClaimedJob | None = None) -> None:
        """Do what waits for a recording, and complete the job. What needs a key waits for who has one.

        Args:
            recording_id: without anything that waits nothing is done.
            key: for encrypted audio.
            job: on whose claim it depends. None where a person does it; the catalog then queues one that erases the
                former file when this cannot.

        Errors: those of files, stores and keys; `StoreForbidden` while the store keeps the former file;
        `UnderLegalHold` when a hold came in between; `StorageMisused` when it lost a race and has to be repeated.

        """
        recording = await self._catalog.get_recording(recording_id)
        pending = await self._catalog.redactions.pending(recording_id)
        if isinstance(recording, RecordingDetail) and key is None and _is_encrypted(recording):
            pending = [one for one in pending if one.silenced]
        if not isinstance(recording, RecordingDetail) or not pending:
            if job is not None:
                await self._catalog.complete_job(job)
            return
        waiting = [one for one in pending if not one.silenced]
        if waiting:
            await self._silence(recording, waiting, key, job)
            recording = await self._catalog.get_recording(recording_id)
        files = recording.files if isinstance(recording, RecordingDetail) else ()
        former = [file for file in files if file.kind == "to-erase"]
        for old in former:
            await asyncio.to_thread(remove_file, self._store_of(old.store), old.path)
        await self._catalog.redactions.finish(
            recording_id, [one.redaction_id for one in pending], erased=[old.sha256 for old in former], job=job
        )
        _log.info("redacted", recording=str(recording_id), stretches=len(pending))

    async def _silence(
        self, recording: RecordingDetail, waiting: Sequence[Stretch], key: PrivateKey | None, job: ClaimedJob | None
    ) -> None:
        recording_id = recording.summary.recording_id
        master = _master_of(recording)
        if master is None:
            raise StorageMisused(f"recording {recording_id} has no master to redact")
        file = await self._maker.make(recording_id, master, _silenced(waiting, master), key)
        if file.path == master.path:
            return  # it was silent there already
        refused = await self._catalog.redactions.swap(
            recording_id,
            [one.redaction_id for one in waiting],
            old_sha256=master.sha256,
            file=file,
            gaps=redacted_gaps(recording.summary.gaps, waiting, master),
            ledger=redacted_ledger(await self._catalog.redactions.ledger(recording_id), waiting),
            job=job,
        )
        if refused is not None:
            await self._catalog.files.withdraw(recording_id)
            raise StorageMisused(f"recording {recording_id} was changed meanwhile ({refused}); repeat it")


def _master_of(recording: RecordingDetail) -> FileView | None:
    return next((file for file in recording.files if file.kind == "master"), None)


def _is_encrypted(recording: RecordingDetail) -> bool:
    master = _master_of(recording)
    return master is not None and master.path.endswith(ENCRYPTED)


def _silenced(stretches: Sequence[Stretch], file: FileView) -> list[Silenced]:
    return [
        Silenced(*frames_of(one, file.sample_rate), channel=None if file.channels == 1 else one.party)
        for one in stretches
    ]
