"""Manifest jobs: state what a recording is, sign it, keep the statement beside the audio, and send both on.

A new version follows each new result; the audio's digests are those that the publication recorded, the captures' are
taken here. Nothing is stated twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from recorder.depot import Depot, Draft, Subject
from recorder.settings import Settings
from recorder.state_dir import StateDir
from storage.catalog import Catalog
from storage.catalog.file_lives import FileClaim
from storage.catalog.records import ClaimedJob, RecordingState
from storage.catalog.sealing import LatestManifest, StatedFile, StatedRecording, StatedSegment
from storage.catalog.statement import parts_of
from storage.errors import IntegrityBroken
from storage.files.durable import digest_file
from storage.integrity import SigningKeys
from storage.integrity.keys import DIRECTORY
from storage.integrity.manifest import SUFFIX, Manifest, compose, same_statement, sign

_log = structlog.get_logger()

_FINISHED: Final = (RecordingState.COMPLETE, RecordingState.INTERRUPTED, RecordingState.NO_MEDIA)


class Stating:
    """Does the manifest jobs of one curator."""

    def __init__(self, catalog: Catalog, settings: Settings, depot: Depot) -> None:
        self._catalog = catalog
        self._depot = depot
        self._node = settings.node
        self._upload = settings.recordings.store != "local"
        self._keys = SigningKeys.open(StateDir(settings.state_dir).root / DIRECTORY)

    async def state(self, job: ClaimedJob) -> None:
        """Do one job; a recording that has changed meanwhile is left to the job that follows the change."""
        recording = await self._catalog.files.to_state(UUID(str(job.payload["recording_id"])))
        if recording is None or recording.finalised_at is None or recording.state not in _FINISHED:
            await self._catalog.complete_job(job)
            return
        made = await asyncio.to_thread(self._make, recording)
        # Whoever dies before the upload is asked for has not done the job.
        last = None if self._upload else job
        if made is not None:
            refused = await self._keep(*made, recording, recording.finalised_at, last)
            if refused:
                _log.info("manifest not kept", recording=str(recording.recording_id), reason=refused)
        if self._upload:
            await self._catalog.files.enqueue_upload(recording.recording_id)
        if made is None or last is None:
            await self._catalog.complete_job(job)

    def _make(self, recording: StatedRecording) -> tuple[dict[str, Any], Draft] | None:
        """Make the next manifest, sealed and without its name; None if there is nothing new to state. Blocks."""
        latest = recording.latest
        document = compose(
            recording=str(recording.recording_id),
            version=latest.version + 1 if latest else 1,
            previous=latest.sha256 if latest else None,
            sealed_at=datetime.now(UTC),
            node=self._node,
            log=recording.log,
            parts=parts_of(recording),
            files=[_file(file) for file in recording.files],
            captures=_captures(recording.segments),
        )
        if latest is not None and self._states_the_same(latest, document):
            return None
        subject = Subject(recording.recording_id, recording.started_at, recording.facts)
        draft = self._depot.draft(subject, encrypt=False)
        try:
            draft.path.write_bytes(sign(document, self._keys))
            draft.seal(SUFFIX)
        except BaseException:
            draft.discard()
            raise
        return document, draft

    async def _keep(
        self,
        document: dict[str, Any],
        draft: Draft,
        recording: StatedRecording,
        finalised_at: datetime,
        job: ClaimedJob | None,
    ) -> str | None:
        """Publish a manifest and record it, which completes `job`; returns the race that was lost."""
        with draft:
            published = await self._depot.publish(draft)
        return await self._catalog.files.record_manifest(
            recording.recording_id,
            finalised_at,
            version=document["version"],
            previous=recording.latest.sha256 if recording.latest else None,
            store=published.store,
            claim=FileClaim(published.path, published.size_bytes, published.sha256),
            root=bytes.fromhex(document["root"]),
            key_id=self._keys.key_id,
            job=job,
        )

    def _states_the_same(self, latest: LatestManifest, document: dict[str, Any]) -> bool:
        store = self._depot.stores.get(latest.store)
        if store is None:
            # Another host has it; what follows names its digest, and states anew.
            return False
        try:
            data = b"".join(store.read(latest.path))
            former = Manifest.read(data, self._keys.trusted(), name=latest.path)
        except IntegrityBroken as error:
            _log.error("the former manifest cannot be trusted", path=latest.path, reason=str(error))
            return False
        return same_statement(former.document, document)


def _file(file: StatedFile) -> dict[str, Any]:
    clear = file.clear_sha256 and {"size_bytes": file.clear_bytes, "sha256": file.clear_sha256.hex()}
    return {
        "kind": file.kind,
        "path": file.path,
        "format": file.format,
        "sample_rate": file.sample_rate,
        "channels": file.channels,
        "frames": file.frames,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256.hex(),
        "clear": clear,
    }


def _captures(segments: Sequence[StatedSegment]) -> list[dict[str, Any]]:
    """Digest the captures that are on this host; of the others only their names are stated."""
    stated = []
    for segment in segments:
        for capture in segment.captures:
            entry: dict[str, Any] = {
                "segment": str(segment.segment_id),
                "writer": capture.writer,
                "host": capture.host,
                "path": Path(capture.path).name,
                "size_bytes": None,
                "sha256": None,
            }
            try:
                size, digest = digest_file(Path(capture.path))
                entry |= {"size_bytes": size, "sha256": digest.hex()}
            except OSError as error:
                _log.debug("capture not stated", path=capture.path, reason=str(error))
            stated.append(entry)
    return stated
