"""How loud each party is: level, clipping and share of speech, from the samples as rendered. Pure."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.pipeline.canvas import Rows
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import EXPANSION

SPEECH_DBFS: Final = -45.0
"""Level of 20 ms above which they count as speech: room noise of a headset lies below it, quiet speech above."""
FULL_SCALE: Final = 32_124
"""Magnitude from which a sample counts as clipped: the largest that mu-law can say."""

_FRAME_SECONDS: Final = 0.02
_REFERENCE: Final = 32768.0
_FRAMES: Final = 400
"""Frames that are looked up at once."""


class LevelMeter:
    """Measures one party, fed stretch by stretch.

    Args:
        sample_rate: Hz.
        law: of the codes that are fed; None for 16-bit samples.

    """

    def __init__(self, sample_rate: int, law: Law | None) -> None:
        self._frame = max(int(sample_rate * _FRAME_SECONDS), 1)
        self._threshold = _REFERENCE**2 * 10 ** (SPEECH_DBFS / 10) * self._frame
        self._codes = None if law is None else _Codes(law, self._frame)
        self._energy = 0
        self._frames = 0
        self._speech = 0
        self.clipped = 0
        """Samples at full scale."""

    @property
    def speech_share(self) -> float:
        """Part of the frames of 20 ms that are speech, 0..1."""
        return self._speech / self._frames if self._frames else 0.0

    def feed(self, samples: Rows) -> None:
        """Take the next samples, shape (n,); what is left of the last 20 ms of a stretch is not judged."""
        if not len(samples):
            return
        whole = len(samples) // self._frame * self._frame
        if self._codes is not None:
            codes = samples.view(np.uint8)
            energies, rest = self._codes.energies(codes[:whole]), self._codes.energy(codes[whole:])
            self.clipped += self._codes.clipped(codes)
        else:
            squares = np.square(samples, dtype=np.int32)
            energies = squares[:whole].reshape(-1, self._frame).sum(axis=1, dtype=np.int64)
            rest = int(squares[whole:].sum(dtype=np.int64))
            self.clipped += int(np.count_nonzero(squares >= FULL_SCALE**2))
        self._energy += int(energies.sum()) + rest
        self._frames += len(energies)
        self._speech += int(np.count_nonzero(energies > self._threshold))

    def level_dbfs(self, frames: int) -> float | None:
        """Return the mean level over so many frames of audio; None if there is no sound at all."""
        if not frames or not self._energy:
            return None
        return round(10 * math.log10(self._energy / frames / _REFERENCE**2), 2)


class _Codes:
    """Energies of G.711 codes by table: of two codes at once, since looking up is what takes the time."""

    def __init__(self, law: Law, frame: int) -> None:
        self._squares, pairs = _tables(law)
        self._full = np.flatnonzero(self._squares >= FULL_SCALE**2).tolist()
        self._pairs = pairs if frame % 2 == 0 else None
        self._lookups = frame if self._pairs is None else frame // 2
        """Per frame."""

    def energies(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the energy of each frame of whole frames, shape (frames,)."""
        table, found = (self._squares, codes) if self._pairs is None else (self._pairs, codes.view(np.uint16))
        energies = np.empty(len(found) // self._lookups, np.int64)
        # Some frames at a time: what numpy makes on the way stays in the cache.
        for first in range(0, len(energies), _FRAMES):
            own = found[first * self._lookups : (first + _FRAMES) * self._lookups]
            squares = table.take(own, mode="clip").reshape(-1, self._lookups)
            squares.sum(axis=1, dtype=np.int64, out=energies[first : first + _FRAMES])
        return energies

    def energy(self, codes: NDArray[np.uint8]) -> int:
        """Return the energy of a few codes."""
        return int(self._squares[codes].sum(dtype=np.int64))

    def clipped(self, codes: NDArray[np.uint8]) -> int:
        """Return how many codes are at full scale."""
        return sum(int(np.count_nonzero(codes == code)) for code in self._full)


@cache
def _tables(law: Law) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the squares of the 256 codes of a law, and the sums of those of any two codes."""
    squares = np.square(EXPANSION[law], dtype=np.int32)
    # Two codes at full scale still fit into 32 bits: 2 * 32,256^2 of A-law.
    return squares, (squares[:, None] + squares).reshape(-1)
