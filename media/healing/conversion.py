"""A copy rewritten as 16-bit samples of another rate, so that copies in different codecs share one timeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from media.healing.sound import Sound, open_sound
from media.pipeline.canvas import Rows
from media.pipeline.output import WavEncoding, WavFile
from media.pipeline.report import Gap
from media.pipeline.resampling import reach, resample

_STRETCH_SECONDS: Final = 20
"""Whole seconds: they begin at a whole sample of either rate."""


def convert(sound: Sound, sample_rate: int, target: Path) -> Sound:
    """Write `sound` as 16-bit samples at `sample_rate` to `target` and open that; the sound itself if it is so already.

    Coverage and gaps are scaled outwards and inwards to whole frames: what is not wholly covered is not covered.
    """
    if sound.law is None and sound.sample_rate == sample_rate:
        return sound
    frames = sound.frames * sample_rate // sound.sample_rate
    file = WavFile(target, WavEncoding.PCM16, sample_rate, len(sound.voices), frames)
    try:
        for stretch in _stretches(sound, sample_rate, frames):
            file.write(stretch)
    finally:
        file.close()
    return open_sound(
        target,
        started_at_ns=sound.started_at_ns,
        coverage={party: _coverage(sound, party, sample_rate) for party in sound.voices},
        gaps=[gap for party in sound.voices for gap in _gaps(sound, party, sample_rate)],
    )


def _stretches(sound: Sound, sample_rate: int, frames: int) -> Iterator[Rows]:
    """Yield interleaved frames, shape (frames, channels)."""
    side = reach(sound.sample_rate, sample_rate) if sound.sample_rate != sample_rate else 0
    for start in range(0, frames, _STRETCH_SECONDS * sample_rate):
        wanted = min(_STRETCH_SECONDS * sample_rate, frames - start)
        first = start * sound.sample_rate // sample_rate
        last = first + -(-wanted * sound.sample_rate // sample_rate)
        stretch: Rows = np.empty((wanted, len(sound.voices)), np.int16)
        for party, voice in sound.voices.items():
            samples = voice.read_linear(first - side, last + side)
            stretch[:, party] = resample(samples, sound.sample_rate, sample_rate)[:wanted] if side else samples[:wanted]
        yield stretch


def _coverage(sound: Sound, party: int, sample_rate: int) -> list[tuple[int, int]]:
    return [
        (-(-start * sample_rate // sound.sample_rate), end * sample_rate // sound.sample_rate)
        for start, end in sound.voices[party].audio.pairs()
    ]


def _gaps(sound: Sound, party: int, sample_rate: int) -> list[Gap]:
    found = []
    for gap in sound.voices[party].gaps:
        start = gap.start_frame * sample_rate // sound.sample_rate
        end = -(-(gap.start_frame + gap.frames) * sample_rate // sound.sample_rate)
        found.append(Gap(party=party, start_frame=start, frames=end - start, kind=gap.kind, cause=gap.cause))
    return found
