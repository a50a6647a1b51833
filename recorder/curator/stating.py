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

from recorder.config import Settings
from recorder.depot import Depot, Subject
from recorder.state_dir import StateDir
from storage.catalog import Catalog
from storage.catalog.file_lives import FileClaim, ManifestRow
from storage.catalog.records import ClaimedJob, RecordingState
from storage.catalog.views import RecordingDetail, SegmentView
from storage.errors import IntegrityBroken
from storage.files.durable import digest_file
from storage.integrity import SigningKeys
from storage.integrity.chain import instant
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
        recording_id = UUID(str(job.payload["recording_id"]))
        finalised_at = await self._catalog.files.finalised_at(recording_id)
        recording = await self._catalog.get_recording(recording_id)
        if isinstance(recording, RecordingDetail) and finalised_at and recording.summary.state in _FINISHED:
            refused = await self._seal(recording, finalised_at)
            if refused:
                _log.info("manifest not kept", recording=str(recording_id), reason=refused)
            if self._upload:
                await self._catalog.files.enqueue_upload(recording_id)
        await self._catalog.complete_job(job)

    async def _seal(self, recording: RecordingDetail, finalised_at: datetime) -> str | None:
        """Make the next manifest if there is something new to state; returns the race that was lost."""
        recording_id = recording.summary.recording_id
        versions = await self._catalog.files.manifests(recording_id)
        latest = versions[-1] if versions else None
        document = compose(
            recording=str(recording_id),
            version=latest.version + 1 if latest else 1,
            previous=latest.sha256 if latest else None,
            sealed_at=datetime.now(UTC),
            node=self._node,
            parts={
                "facts": _facts(recording),
                "segments": await self._segments(recording),
                "gaps": _gaps(recording),
            },
            files=await self._files(recording),
            captures=await asyncio.to_thread(_captures, recording.segments),
        )
        if latest is not None and await asyncio.to_thread(self._states_the_same, latest, document):
            return None
        subject = Subject(recording_id, recording.summary.started_at, layout_facts(recording))
        with await asyncio.to_thread(lambda: self._depot.draft(subject, encrypt=False)) as draft:
            await asyncio.to_thread(draft.path.write_bytes, sign(document, self._keys))
            await asyncio.to_thread(draft.seal, SUFFIX)
            published = await self._depot.publish(draft)
        return await self._catalog.files.record_manifest(
            recording_id,
            finalised_at,
            version=document["version"],
            previous=latest.sha256 if latest else None,
            store=published.store,
            claim=FileClaim(published.path, published.size_bytes, published.sha256),
            root=bytes.fromhex(document["root"]),
            key_id=self._keys.key_id,
        )

    def _states_the_same(self, latest: ManifestRow, document: dict[str, Any]) -> bool:
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

    async def _segments(self, recording: RecordingDetail) -> list[dict[str, Any]]:
        digests = await self._catalog.files.metadata_digests(recording.summary.recording_id)
        return [
            {
                "id": str(segment.segment_id),
                "ordinal": segment.ordinal,
                "door": segment.door.value,
                "sip_call_id": segment.sip_call_id,
                "opened_at": instant(segment.opened_at),
                "closed_at": segment.closed_at and instant(segment.closed_at),
                "end_cause": segment.end_cause,
                "interrupted": segment.interrupted,
                "parties": [
                    {"stream": stream.index, "party": stream.party, "label": stream.label} for stream in segment.streams
                ],
                "metadata": [
                    {
                        "received_at": instant(document.received_at),
                        "content_type": document.content_type,
                        "sha256": document.sha256.hex(),
                    }
                    for document in digests
                    if document.segment_id == segment.segment_id
                ],
            }
            for segment in recording.segments
        ]

    async def _files(self, recording: RecordingDetail) -> list[dict[str, Any]]:
        stated = []
        for file in recording.files:
            envelope = await self._catalog.files.envelope(file.sha256)
            stated.append(
                {
                    "kind": file.kind,
                    "path": file.path,
                    "format": file.format,
                    "sample_rate": file.sample_rate,
                    "channels": file.channels,
                    "frames": file.frames,
                    "size_bytes": file.size_bytes,
                    "sha256": file.sha256.hex(),
                    "clear": envelope and {"size_bytes": envelope.clear_bytes, "sha256": envelope.clear_sha256.hex()},
                }
            )
        return stated


def layout_facts(recording: RecordingDetail) -> dict[str, str | None]:
    """Return the values of a layout's template."""
    summary = recording.summary
    return {
        "identifier": summary.record_identifier,
        "door": summary.door.value,
        "call_uuid": summary.call_uuid,
        "conn_id": summary.conn_id,
        "ani": summary.ani,
        "dnis": summary.dnis,
        "dn": summary.dn,
        "other_dn": summary.other_dn,
        "record_dn": summary.record_dn,
        "agent_id": summary.agent_id,
        "sips_app_name": summary.sips_app_name,
        "tenant": summary.tenant,
    }


def _facts(recording: RecordingDetail) -> dict[str, Any]:
    summary = recording.summary
    return {
        **layout_facts(recording),
        "state": summary.state.value,
        "started_at": instant(summary.started_at),
        "ended_at": summary.ended_at and instant(summary.ended_at),
        "duration_us": None if summary.duration_s is None else round(summary.duration_s * 1e6),
        "parameters": [list(pair) for pair in recording.parameters],
        "warnings": list(recording.warnings),
    }


def _gaps(recording: RecordingDetail) -> list[dict[str, Any]]:
    return [
        {
            "party": gap.party,
            "start_us": round(gap.start_s * 1e6),
            "duration_us": round(gap.duration_s * 1e6),
            "kind": gap.kind.value,
            "cause": gap.cause,
        }
        for gap in recording.summary.gaps
    ]


def _captures(segments: Sequence[SegmentView]) -> list[dict[str, Any]]:
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
