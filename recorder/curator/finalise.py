"""Finalise one recording: captures of its segments to one published file and its rows in the catalog.

Order of truth: intent in the catalog, audio durable under its name, then the catalog's transaction, which also queues
the removal of what it replaced and the manifest of the new result.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import structlog

from media.healing import Healing
from media.pipeline import OutputFormat, Rendering, RenderOptions, render
from media.pipeline.report import RenderingKind
from recorder.config import Settings
from recorder.curator.accounting import ledger_of
from recorder.depot import Depot, Draft, Subject
from storage.catalog import Catalog
from storage.catalog.records import (
    ClaimedJob,
    GapKind,
    RecordedSegment,
    RecordingSegments,
    RecordingState,
    RenderedFile,
    RenderedGap,
    RenderedRecording,
    RenderedStream,
)
from storage.files import PublishedFile

_log = structlog.get_logger()

_FORMATS: Final = {
    "g711": OutputFormat.AUTO,
    "pcm16": OutputFormat.WAV_PCM16,
    "flac": OutputFormat.FLAC,
    "opus": OutputFormat.OGG_OPUS,
}
_SUFFIXES: Final = {OutputFormat.FLAC: ".flac", OutputFormat.OGG_OPUS: ".opus"}
_MASTER: Final = "master"


def master_format(settings: Settings) -> OutputFormat:
    """Return the format of finished files."""
    return _FORMATS[settings.recordings.format]


def rendered_file(published: PublishedFile, rendering: Rendering | Healing) -> RenderedFile:
    """Return what the catalog is told of a finished file."""
    return RenderedFile(
        kind=_MASTER,
        store=published.store,
        path=published.path,
        format=rendering.format.value,
        sample_rate=rendering.sample_rate,
        channels=rendering.channels,
        frames=rendering.frames,
        size_bytes=published.size_bytes,
        sha256=published.sha256,
    )


def suffix_of(format_: OutputFormat) -> str:
    """Return how the names of files of a format end."""
    return _SUFFIXES.get(format_, ".wav")


class Finaliser:
    """Does the finalise jobs of one curator."""

    def __init__(self, catalog: Catalog, settings: Settings, depot: Depot) -> None:
        self._catalog = catalog
        self._options = RenderOptions(format=master_format(settings))
        self._depot = depot

    async def finalise(self, job: ClaimedJob) -> None:
        """Do one job; a recording that has changed meanwhile is left to the job that follows the change."""
        recording_id = UUID(str(job.payload["recording_id"]))
        recording = await self._catalog.recording_segments(recording_id)
        if recording is None:
            await self._catalog.complete_job(job)
            return
        subject = Subject(recording.recording_id, recording.started_at, recording.facts)
        with await asyncio.to_thread(self._depot.draft, subject) as draft:
            rendering, missing = await asyncio.to_thread(self._render, recording, draft)
            files: tuple[RenderedFile, ...] = ()
            if rendering.kind is RenderingKind.AUDIO:
                files = (rendered_file(await self._depot.publish(draft), rendering),)
        rendered = _rendered(recording, rendering, files, missing)
        publication = await self._catalog.publish(rendered, job=job)
        log = _log.bind(record_identifier=recording.record_identifier, recording=str(recording_id))
        if publication.refused:
            log.info("rendering not published", reason=publication.refused.value)
            await self._catalog.complete_job(job)
            return
        log.info(
            "recording finalised",
            state=rendered.state.value,
            seconds=round(rendered.duration_s, 3),
            gaps=len(rendered.gaps),
            path=rendered.files[0].path if rendered.files else "",
            warnings=rendering.warnings,
        )

    def _render(self, recording: RecordingSegments, draft: Draft) -> tuple[Rendering, list[str]]:
        """Render into the draft and seal it; returns also which captures are missing."""
        captures = {
            Path(capture.path): number
            for number, segment in enumerate(recording.segments)
            for capture in segment.captures
        }
        present = [path for path in captures if path.exists()]
        missing = [f"capture missing: {path}" for path in captures if path not in present]
        # Rendering makes its own file; the draft only reserves the name.
        draft.path.unlink()
        options = msgspec.structs.replace(
            self._options, title=recording.record_identifier, comment=f"recording {recording.recording_id}"
        )
        rendering = render(present, draft.path, options, sessions=[captures[path] for path in present])
        if rendering.kind is RenderingKind.AUDIO:
            draft.seal(suffix_of(rendering.format))
        return rendering, missing


def _rendered(
    recording: RecordingSegments, rendering: Rendering, files: tuple[RenderedFile, ...], missing: list[str]
) -> RenderedRecording:
    rate = rendering.sample_rate or 1
    started_at = (
        datetime.fromtimestamp(rendering.started_at_ns / 1e9, UTC) if rendering.started_at_ns else recording.started_at
    )
    return RenderedRecording(
        recording_id=recording.recording_id,
        segment_ids=tuple(segment.segment_id for segment in recording.segments),
        state=_state(recording.segments, rendering, missing),
        started_at=started_at,
        duration_s=rendering.duration_s,
        files=files,
        gaps=tuple(
            RenderedGap(
                party=gap.party,
                start_s=gap.start_frame / rate,
                duration_s=gap.frames / rate,
                kind=GapKind(gap.kind.value),
                cause=gap.cause.value,
            )
            for gap in rendering.gaps
        ),
        streams=_streams(recording.segments, rendering),
        warnings=(*missing, *rendering.warnings),
        ledger=ledger_of(rendering, recording.segments, started_at),
    )


def _state(segments: tuple[RecordedSegment, ...], rendering: Rendering, missing: list[str]) -> RecordingState:
    if any(segment.interrupted for segment in segments) or missing:
        return RecordingState.INTERRUPTED
    return RecordingState.COMPLETE if rendering.kind is RenderingKind.AUDIO else RecordingState.NO_MEDIA


def _streams(segments: tuple[RecordedSegment, ...], rendering: Rendering) -> tuple[RenderedStream, ...]:
    """Attach each stream's figures to the last segment that had it; the figures cover all segments."""
    latest = {stream.index: segment.segment_id for segment in segments for stream in segment.streams}
    return tuple(
        RenderedStream(segment_id=latest[quality.stream], index=quality.stream, quality=msgspec.to_builtins(quality))
        for quality in rendering.streams
        if quality.stream in latest
    )
