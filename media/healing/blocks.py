"""A voice in blocks of 20 ms: which of them are covered, loud, and unlike every other block of the voice. Pure.

*Telling* blocks are the evidence that two recordings hold the same sound: sample values that change, and that occur
once in the voice. Silence, tones, ringing and looped music repeat themselves; they fit many places and prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.healing.sound import Voice
from media.pipeline.canvas import Rows
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import EXPANSION
from media.pipeline.intervals import Intervals
from media.pipeline.levels import SPEECH_DBFS

BLOCKS_PER_SECOND: Final = 50
STRETCH_BLOCKS: Final = 4096
"""Blocks that are looked at together: 82 s, some hundred kilobytes."""

_CHANGES: Final = 0.25
"""Share of neighbouring samples that differ in a telling block; the least noise of a line has more."""
_WORD: Final = 8
_THRESHOLD: Final = 32768.0**2 * 10 ** (SPEECH_DBFS / 10)
_SQUARES: Final = {law: np.square(values.astype(np.float32)) for law, values in EXPANSION.items()}

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """What is known of each block of a voice, shape (blocks,); a last block that is not whole is left out."""

    length: int
    """Frames of a block."""
    covered: Mask
    """Holds received audio all through."""
    loud: Mask
    """Covered, and above the speech threshold."""
    telling: Mask
    """Covered, and can prove that two recordings are of one call."""

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.covered)


def block_length(sample_rate: int) -> int:
    """Return the frames of a block, a whole number of 64-bit words of any sample width."""
    return max(sample_rate // BLOCKS_PER_SECOND // _WORD * _WORD, _WORD)


def take_blocks(voice: Voice) -> Blocks:
    """Look at all blocks of a voice."""
    length = block_length(voice.sample_rate)
    count = voice.frames // length
    covered = covers(voice.audio, length, 0, count)
    loud, changing = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    names = np.zeros(count, np.uint64)
    for start, end in stretches(0, count):
        if not covered[start:end].any():
            continue
        rows = voice.read(start * length, end * length).reshape(-1, length)
        loud[start:end] = are_loud(rows, voice.law)
        changing[start:end] = (rows[:, 1:] != rows[:, :-1]).sum(axis=1) >= _CHANGES * length
        names[start:end] = _names(rows)
    telling = covered & changing
    telling[telling] = _occur_once(names[telling])
    return Blocks(length, covered, covered & loud, telling)


def covers(audio: Intervals, length: int, first_frame: int, count: int) -> Mask:
    """Say for each of `count` blocks from `first_frame` on whether audio covers all of it."""
    starts = first_frame + np.arange(count, dtype=np.int64) * length
    whole: Mask = audio.overlap(starts, starts + length) == length
    return whole


def are_loud(rows: Rows, law: Law | None) -> Mask:
    """Say for each row of codes or samples, shape (blocks, frames), whether it is above the speech threshold."""
    squares = np.square(rows.astype(np.float32)) if law is None else _SQUARES[law][rows]
    loud: Mask = squares.mean(axis=1) > _THRESHOLD
    return loud


def stretches(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield `[start, end)` in parts of bounded size."""
    for first in range(start, end, STRETCH_BLOCKS):
        yield first, min(first + STRETCH_BLOCKS, end)


def _names(rows: Rows) -> NDArray[np.uint64]:
    """Return a number for each row that equal rows share and others hardly ever do."""
    words = rows.view(np.uint64)
    factors = np.random.default_rng(0x54414E44).integers(1, 1 << 63, words.shape[1], np.uint64) | np.uint64(1)
    names: NDArray[np.uint64] = (words * factors).sum(axis=1, dtype=np.uint64)
    return names


def _occur_once(names: NDArray[np.uint64]) -> Mask:
    _, members, counts = np.unique(names, return_inverse=True, return_counts=True)
    once: Mask = counts[members] == 1
    return once
