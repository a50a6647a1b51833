"""Open the sound of a finished recording, lossless and as it was received: its file, or its captures rendered again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from uuid import UUID

import soundfile

from media.healing import Sound, SoundUnreadable, open_sound
from media.pipeline import OutputFormat
from media.pipeline.output import WavEncoding, WavFile
from media.pipeline.report import Gap, GapCause, GapKind, RenderingKind
from recorder.curator.sessions import render_recording
from recorder.depot import ENCRYPTED, SCRATCH
from storage.catalog import Catalog
from storage.catalog.copy_records import FinishedAudio
from storage.catalog.records import RecordingSegments
from storage.catalog.views import GapView
from storage.files import FileStore

_MAPPED: Final = (OutputFormat.WAV_MULAW, OutputFormat.WAV_ALAW, OutputFormat.WAV_PCM16)
"""Formats whose samples are read where they lie."""
_LOSSLESS: Final = OutputFormat.FLAC
_UNKNOWN: Final = {
    GapKind.LOST: GapCause.NETWORK,
    GapKind.SILENT: GapCause.NOT_SENT,
    GapKind.PAUSED: GapCause.PAUSED,
}
"""What a cause that a later or another recorder wrote counts as: what matters for copies is the kind."""
_BLOCK: Final = 1 << 16


class AudioReader:
    """Opens the sound of recordings of one catalog and store."""

    def __init__(self, catalog: Catalog, store: FileStore) -> None:
        self._catalog = catalog
        self._store = store

    async def open(self, recording_id: UUID) -> Sound:
        """Return the sound of a recording that has a finished file.

        What has to be made for it lies in a file without a name, which is gone with the sound.

        Errors: `SoundUnreadable` when neither file nor captures can be read.
        """
        audio = await self._catalog.copies.audio(recording_id)
        if audio is None:
            raise SoundUnreadable(str(recording_id), "it has no audio")
        path = self._store.locate(audio.path)
        here = audio.store == self._store.name and not audio.path.endswith(ENCRYPTED) and path.exists()
        if here and audio.format in _MAPPED:
            return await asyncio.to_thread(_open, path, audio)
        segments = await self._catalog.recording_segments(recording_id)
        captures = [Path(capture.path) for one in segments.segments for capture in one.captures] if segments else []
        if segments and captures and all(capture.exists() for capture in captures):
            return await asyncio.to_thread(self._render, segments, audio)
        if here and audio.format == _LOSSLESS:
            return await asyncio.to_thread(self._decode, path, audio)
        raise SoundUnreadable(audio.path, "neither a lossless file in clear nor all captures of it are here")

    def _render(self, recording: RecordingSegments, audio: FinishedAudio) -> Sound:
        captures = {
            Path(capture.path): number
            for number, segment in enumerate(recording.segments)
            for capture in segment.captures
        }
        with self._store.begin(SCRATCH) as pending:
            pending.path.unlink()
            rendering = render_recording(captures, recording.segments, pending.path, self._store).rendering
            if rendering.kind is not RenderingKind.AUDIO:
                raise SoundUnreadable(audio.path, "its captures hold no audio")
            return open_sound(
                pending.path,
                started_at_ns=rendering.started_at_ns,
                coverage={party.party: party.coverage for party in rendering.parties},
                gaps=rendering.gaps,
            )

    def _decode(self, path: Path, audio: FinishedAudio) -> Sound:
        with self._store.begin(SCRATCH) as pending:
            with soundfile.SoundFile(path) as source:
                file = WavFile(pending.path, WavEncoding.PCM16, source.samplerate, source.channels, len(source))
                try:
                    for block in source.blocks(_BLOCK, dtype="int16", always_2d=True):
                        file.write(block)
                finally:
                    file.close()
            return _open(pending.path, audio)


def _open(path: Path, audio: FinishedAudio) -> Sound:
    gaps = [
        Gap(
            party=gap.party,
            start_frame=round(gap.start_s * audio.sample_rate),
            frames=round(gap.duration_s * audio.sample_rate),
            kind=GapKind(gap.kind.value),
            cause=_cause(gap),
        )
        for gap in audio.gaps
    ]
    return open_sound(
        path,
        started_at_ns=round(audio.started_at.timestamp() * 1_000_000) * 1000,
        coverage=audio.recorded,
        gaps=gaps,
    )


def _cause(gap: GapView) -> GapCause:
    """Return the cause of a gap as the catalog has it; of one that is not known here, the plainest of its kind."""
    try:
        return GapCause(gap.cause)
    except ValueError:
        return _UNKNOWN[GapKind(gap.kind.value)]
