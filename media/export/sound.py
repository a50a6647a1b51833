"""Frames of a finished file, whatever its format: our WAV as it lies on disk, FLAC and Ogg through libsndfile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import soundfile

from media.healing.errors import SoundUnreadable
from media.healing.wav_source import open_wav
from media.pipeline.canvas import Rows
from media.pipeline.codec import Law

BLOCK_FRAMES: Final = 1 << 19
"""Frames in memory at once: some MB, whatever the length of the recording."""


@dataclass(frozen=True, slots=True)
class FinishedSound:
    """A finished file."""

    path: Path
    law: Law | None
    """Of the rows: G.711 codes, or None for 16-bit samples."""
    sample_rate: int
    channels: int
    frames: int

    def blocks(self, start: int, end: int) -> Iterator[list[Rows]]:
        """Yield the frames `[start, end)` block by block, one contiguous row for each channel."""
        if self.path.suffix == ".wav":
            source = open_wav(self.path)
            for at in range(start, end, BLOCK_FRAMES):
                until = min(at + BLOCK_FRAMES, end)
                yield [source.read(channel, at, until) for channel in range(self.channels)]
            return
        try:
            with soundfile.SoundFile(str(self.path)) as file:
                file.seek(start)
                for at in range(start, end, BLOCK_FRAMES):
                    table = file.read(min(BLOCK_FRAMES, end - at), dtype="int16", always_2d=True)
                    yield [table[:, channel].copy() for channel in range(self.channels)]
        except (soundfile.LibsndfileError, OSError) as error:
            raise SoundUnreadable(str(self.path), str(error)) from error


def open_finished(path: Path) -> FinishedSound:
    """Read the header of a finished file; raises `SoundUnreadable`. Its suffix is that of its format."""
    if path.suffix == ".wav":
        source = open_wav(path)
        return FinishedSound(path, source.law, source.sample_rate, source.channels, source.frames)
    try:
        facts = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise SoundUnreadable(str(path), str(error)) from error
    return FinishedSound(path, None, facts.samplerate, facts.channels, facts.frames)
