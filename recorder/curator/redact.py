"""Redact: make the master anew without what is to be silenced, put it in the master's place, erase the old file.

The old file stays in the catalog until its bytes are gone, so that a job that dies anywhere goes on where it was. The
captures are erased by their own jobs (`erase`); they hold the stretch as well and are never changed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from uuid import UUID

import structlog

from media.healing.redaction import Silenced, silence_wav
from storage.catalog import Catalog
from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger, overlaid
from storage.catalog.records import ClaimedJob, GapKind, RenderedFile, RenderedGap
from storage.catalog.redactions import REDACTED, Stretch
from storage.catalog.views import FileView, GapView, RecordingDetail
from storage.errors import StorageMisused, StoreFailed
from storage.files import FileStore, file_name

_log = structlog.get_logger()


class Redactor:
    """Does the redact jobs of one curator."""

    def __init__(self, catalog: Catalog, store: FileStore) -> None:
        self._catalog = catalog
        self._store = store

    async def redact(self, job: ClaimedJob) -> None:
        """Do one job. Errors: those of the file system and the store; `UnderLegalHold` when a hold came in between."""
        recording_id = UUID(str(job.payload["recording_id"]))
        recording = await self._catalog.get_recording(recording_id)
        pending = await self._catalog.redactions.pending(recording_id)
        if not isinstance(recording, RecordingDetail) or not pending:
            await self._catalog.complete_job(job)
            return
        master = _one(recording.files, "master")
        if master is None:
            raise StorageMisused(f"recording {recording_id} has no master to redact")
        # One that died after the swap has only the old file left to erase.
        if _one(recording.files, "to-erase") is None:
            await self._swap(recording, master, pending, job)
        recording = await self._catalog.get_recording(recording_id)
        files = recording.files if isinstance(recording, RecordingDetail) else ()
        for old in (file for file in files if file.kind == "to-erase"):
            await asyncio.to_thread(self._store.delete, old.path)
        await self._catalog.redactions.finish(recording_id, [one.redaction_id for one in pending], job=job)
        _log.info("redacted", recording=str(recording_id), stretches=len(pending))

    async def _swap(
        self, recording: RecordingDetail, master: FileView, pending: Sequence[Stretch], job: ClaimedJob
    ) -> None:
        recording_id = recording.summary.recording_id
        file = await self._made(recording, master, pending)
        if file.path == master.path:
            return  # it was silent there already
        refused = await self._catalog.redactions.swap(
            recording_id,
            old_sha256=master.sha256,
            file=file,
            gaps=redacted_gaps(recording.summary.gaps, pending, master),
            ledger=redacted_ledger(await self._catalog.redactions.ledger(recording_id), pending),
            job=job,
        )
        if refused is not None:
            await self._catalog.files.withdraw(recording_id)
            raise StorageMisused(f"recording {recording_id} was changed meanwhile ({refused}); it is tried again")

    async def _made(self, recording: RecordingDetail, master: FileView, pending: Sequence[Stretch]) -> RenderedFile:
        """Make the redacted file and publish it, its intent first: whatever dies, the catalog knows of it."""
        rate = master.sample_rate
        stretches = [
            Silenced(*_frames(one, rate), channel=None if master.channels == 1 else one.party) for one in pending
        ]
        recording_id = recording.summary.recording_id
        path = PurePosixPath(master.path)
        draft = await asyncio.to_thread(self._store.begin, path.parent)
        with draft:
            await asyncio.to_thread(silence_wav, self._store.locate(master.path), draft.path, stretches)
            published = await asyncio.to_thread(
                draft.seal,
                lambda digest: file_name(recording.summary.record_identifier, recording_id, digest, path.suffix),
                expected_bytes=master.size_bytes,
            )
            if not await self._catalog.files.intend(
                recording_id, self._store.name, published.path, published.sha256, None
            ):
                raise StoreFailed(f"{published.path} is being removed; it will be made again")
            await asyncio.to_thread(draft.link)
        return RenderedFile(
            kind="master",
            store=published.store,
            path=published.path,
            format=master.format,
            sample_rate=rate,
            channels=master.channels,
            frames=master.frames,
            size_bytes=published.size_bytes,
            sha256=published.sha256,
        )


def redacted_gaps(gaps: Sequence[GapView], pending: Sequence[Stretch], master: FileView) -> list[RenderedGap]:
    """Return the gaps with the stretches in them; what a stretch covers of a gap is the stretch's."""
    rate, length_s = master.sample_rate, master.frames / master.sample_rate
    made = [_gap(gap.party, gap.start_s, gap.start_s + gap.duration_s, gap) for gap in gaps]
    for one in pending:
        start, end = (frame / rate for frame in _frames(one, rate))
        end = min(end, length_s)
        for party in range(master.channels) if one.party is None else (one.party,):
            kept = [gap for gap in made if gap.party != party]
            for gap in (gap for gap in made if gap.party == party):
                last = gap.start_s + gap.duration_s
                if gap.start_s < start:
                    kept.append(_gap(party, gap.start_s, min(last, start), gap))
                if last > end:
                    kept.append(_gap(party, max(gap.start_s, end), last, gap))
            kept.append(
                RenderedGap(party=party, start_s=start, duration_s=end - start, kind=GapKind.PAUSED, cause=REDACTED)
            )
            made = kept
    return sorted(made, key=lambda gap: (gap.start_s, gap.party))


def redacted_ledger(ledger: Sequence[PartyLedger], pending: Sequence[Stretch]) -> list[PartyLedger]:
    """Return the ledger with the stretches written over it."""
    return [
        overlaid(
            party,
            [
                LedgerInterval(*_frames(one, party.sample_rate), LedgerKind.PAUSED, REDACTED)
                for one in pending
                if one.party in (None, party.party)
            ],
        )
        for party in ledger
    ]


def _frames(one: Stretch, rate: int) -> tuple[int, int]:
    """Return the frames of a stretch: never less than was asked for."""
    return math.floor(one.start_s * rate), math.ceil(one.end_s * rate)


def _gap(party: int, start_s: float, end_s: float, like: GapView | RenderedGap) -> RenderedGap:
    return RenderedGap(
        party=party,
        start_s=start_s,
        duration_s=end_s - start_s,
        kind=like.kind,
        cause=like.cause,
        segment_id=like.segment_id,
    )


def _one(files: Sequence[FileView], kind: str) -> FileView | None:
    return next((file for file in files if file.kind == kind), None)
