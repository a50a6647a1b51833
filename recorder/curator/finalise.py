"""Finalise one recording: captures of its segments to one published file and its rows in the catalog.

Order of truth: intent in the catalog, audio durable under its name, then the catalog's transaction, which also queues
the removal of what it replaced and the manifest of the new result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import structlog

from media.healing import Healing
from media.pipeline import OutputFormat, Rendering, RenderOptions
from media.pipeline.report import Gap, RenderingKind
from recorder.curator.accounting import ledger_of
from recorder.curator.captures import Captures
from recorder.curator.sessions import Rendered, render_recording
from recorder.depot import Depot, Draft, Subject
from recorder.settings import Settings
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
    SegmentState,
)
from storage.catalog.views import RecordingDetail
from storage.errors import CaptureOutOfReach
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


def rendered_gaps(gaps: Iterable[Gap], sample_rate: int) -> tuple[RenderedGap, ...]:
    """Return gaps of a timeline as the catalog has them; `sample_rate` in frames per second."""
    return tuple(
        RenderedGap(
            party=gap.party,
            start_s=gap.start_frame / sample_rate,
            duration_s=gap.frames / sample_rate,
            kind=GapKind(gap.kind.value),
            cause=gap.cause.value,
        )
        for gap in gaps
    )


class Finaliser:
    """Does the finalise jobs of one curator."""

    def __init__(self, catalog: Catalog, settings: Settings, depot: Depot, captures: Captures) -> None:
        self._catalog = catalog
        self._captures = captures
        self._options = RenderOptions(format=master_format(settings))
        self._depot = depot

    async def finalise(self, job: ClaimedJob) -> None:
        """Do one job; a recording that has changed meanwhile is left to the job that follows the change.

        Errors: `CaptureOutOfReach` when a result would lack what a capture holds, or what the present file has.
        """
        recording_id = UUID(str(job.payload["recording_id"]))
        recording = await self._catalog.recording_segments(recording_id)
        if recording is None:
            await self._catalog.complete_job(job)
            return
        async with self._captures.gathered(recording) as (places, missing):
            await self._publish(job, recording, places, missing)

    async def _publish(
        self, job: ClaimedJob, recording: RecordingSegments, places: Mapping[str, Path], missing: Sequence[str]
    ) -> None:
        recording_id = recording.recording_id
        await self._keep_what_has_more(recording, missing)
        subject = Subject(recording.recording_id, recording.started_at, recording.facts)
        with await asyncio.to_thread(self._depot.draft, subject) as draft:
            rendered = await asyncio.to_thread(self._render, recording, draft, places)
            rendering = rendered.rendering
            files: tuple[RenderedFile, ...] = ()
            if rendering.kind is RenderingKind.AUDIO:
                files = (rendered_file(await self._depot.publish(draft), rendering),)
        result = _result(recording, rendered, files, missing)
        publication = await self._catalog.publish(result, job=job)
        log = _log.bind(record_identifier=recording.record_identifier, recording=str(recording_id))
        if publication.refused:
            log.info("rendering not published", reason=publication.refused.value)
            await self._catalog.complete_job(job)
            return
        log.info(
            "recording finalised",
            state=result.state.value,
            seconds=round(result.duration_s, 3),
            gaps=len(result.gaps),
            path=result.files[0].path if result.files else "",
            warnings=rendering.warnings,
        )

    async def _keep_what_has_more(self, recording: RecordingSegments, missing: Sequence[str]) -> None:
        """Refuse to replace a file that holds what a missing capture held."""
        if not missing or all(segment.state is not SegmentState.FINALISED for segment in recording.segments):
            return
        found = await self._catalog.get_recording(str(recording.recording_id))
        if not isinstance(found, RecordingDetail) or not found.files:
            return
        # What it was made without is in its warnings.
        in_file = sorted(set(map(_warning, missing)) - set(found.warnings))
        if in_file:
            raise CaptureOutOfReach(
                f"{', '.join(in_file)}: the finished file has it and stays; bring the capture back, then "
                "`recorder-admin jobs retry`"
            )

    def _render(self, recording: RecordingSegments, draft: Draft, places: Mapping[str, Path]) -> Rendered:
        """Render into the draft and seal it; `places` has where each capture that is not lost can be read."""
        present = {
            places[capture.path]: number
            for number, segment in enumerate(recording.segments)
            for capture in segment.captures
            if capture.path in places
        }
        options = msgspec.structs.replace(
            self._options, title=recording.record_identifier, comment=f"recording {recording.recording_id}"
        )
        rendered = render_recording(present, recording.segments, draft.path, self._depot.local, options)
        if rendered.rendering.kind is RenderingKind.AUDIO:
            draft.seal(suffix_of(rendered.rendering.format))
        return rendered


def _warning(path: str) -> str:
    return f"capture missing: {path}"


def _result(
    recording: RecordingSegments, rendered: Rendered, files: tuple[RenderedFile, ...], missing: Sequence[str]
) -> RenderedRecording:
    rendering = rendered.rendering
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
        gaps=rendered_gaps(rendering.gaps, rate),
        streams=_streams(recording.segments, rendered),
        warnings=(*map(_warning, missing), *rendering.warnings),
        ledger=ledger_of(rendering, recording.segments, started_at),
    )


def _state(segments: tuple[RecordedSegment, ...], rendering: Rendering, missing: Sequence[str]) -> RecordingState:
    if any(segment.interrupted for segment in segments) or missing:
        return RecordingState.INTERRUPTED
    return RecordingState.COMPLETE if rendering.kind is RenderingKind.AUDIO else RecordingState.NO_MEDIA


def _streams(segments: tuple[RecordedSegment, ...], rendered: Rendered) -> tuple[RenderedStream, ...]:
    """Attach each stream's figures to the last segment that had it; the figures cover all segments they are of.

    The party is that of the result: it differs from the session's where sessions at the same time have other parties.
    """
    found = []
    for sessions, quality in rendered.streams:
        having = tuple(
            segments[number].segment_id
            for number in sessions
            if any(stream.index == quality.stream for stream in segments[number].streams)
        )
        if having:
            found.append(
                RenderedStream(
                    segment_id=having[-1],
                    index=quality.stream,
                    quality=msgspec.to_builtins(quality),
                    party=quality.party,
                    segment_ids=having,
                )
            )
    return tuple(found)
