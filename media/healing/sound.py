"""One copy of a call as healing sees it: the finished audio of each party, and where that is received audio.

The timeline of a copy counts frames from its own first sample. It knows nothing of captures and of other copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.healing.wav_source import WavSource, open_wav
from media.pipeline.canvas import Rows
from media.pipeline.codec import Law, Samples
from media.pipeline.codec.g711 import SILENCE, expand
from media.pipeline.intervals import Intervals
from media.pipeline.report import Gap, GapKind


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One party of a copy."""

    party: int
    sample_rate: int
    law: Law | None
    """None for 16-bit linear samples."""
    frames: int
    audio: Intervals
    """Where audio was received; everything else is silence for want of it."""
    gaps: tuple[Gap, ...]
    """As declared for this party."""
    _source: WavSource

    @property
    def paused(self) -> Intervals:
        """Where the recording was not to record."""
        return Intervals.of(
            *((gap.start_frame, gap.start_frame + gap.frames) for gap in self.gaps if gap.kind is GapKind.PAUSED)
        )

    def read(self, start: int, end: int) -> Rows:
        """Return the frames `[start, end)`, codes or samples, contiguous; silence beyond the file's ends."""
        first, last = max(start, 0), min(end, self.frames)
        if first >= last:
            return np.full(max(end - start, 0), self._silence, self._dtype)
        found = self._source.read(self.party, first, last)
        if last - first == end - start:
            return found
        padded = np.full(end - start, self._silence, self._dtype)
        padded[first - start : last - start] = found
        return padded

    def read_linear(self, start: int, end: int) -> Samples:
        """Return the frames `[start, end)` as 16-bit samples."""
        found = self.read(start, end)
        return expand(found.view(np.uint8), self.law) if self.law is not None else found.view(np.int16)

    @property
    def _silence(self) -> int:
        return SILENCE[self.law] if self.law is not None else 0

    @property
    def _dtype(self) -> type[np.uint8] | type[np.int16]:
        return np.uint8 if self.law is not None else np.int16


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One copy."""

    started_at_ns: int
    """Wall clock of frame 0 at the recorder that received it; nanoseconds since 1970."""
    sample_rate: int
    law: Law | None
    frames: int
    voices: Mapping[int, Voice]
    """By party."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.sample_rate


def open_sound(
    path: Path, *, started_at_ns: int, coverage: Mapping[int, Sequence[tuple[int, int]]], gaps: Sequence[Gap]
) -> Sound:
    """Open a finished file: a lossless WAV with one channel per party.

    Args:
        path: as `media.pipeline.render` wrote it, layout `parties`.
        started_at_ns: wall clock of frame 0.
        coverage: per party, the frames that hold received audio; a party that is not named holds none.
        gaps: as declared for this file.

    Errors:
        `SoundUnreadable`.

    """
    source = open_wav(path)
    voices = {
        party: Voice(
            party=party,
            sample_rate=source.sample_rate,
            law=source.law,
            frames=source.frames,
            audio=Intervals.of(*((max(start, 0), min(end, source.frames)) for start, end in coverage.get(party, ()))),
            gaps=tuple(gap for gap in gaps if gap.party == party),
            _source=source,
        )
        for party in range(source.channels)
    }
    return Sound(started_at_ns, source.sample_rate, source.law, source.frames, voices)
