"""How loud each party is: level, clipping and share of speech, from the samples as rendered. Pure."""

from __future__ import annotations

import math
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


class LevelMeter:
    """Measures one party, fed stretch by stretch.

    Args:
        sample_rate: Hz.
        law: of the codes that are fed; None for 16-bit samples.

    """

    def __init__(self, sample_rate: int, law: Law | None) -> None:
        self._frame = max(int(sample_rate * _FRAME_SECONDS), 1)
        self._threshold = _REFERENCE**2 * 10 ** (SPEECH_DBFS / 10) * self._frame
        self._squares: NDArray[np.int32] | None = None
        if law is not None:
            self._squares = np.square(EXPANSION[law], dtype=np.int32)
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
        if self._squares is not None:
            squares = np.take(self._squares, samples, mode="clip")
        else:
            squares = np.square(samples, dtype=np.int32)
        whole = len(squares) // self._frame * self._frame
        energies = squares[:whole].reshape(-1, self._frame).sum(axis=1, dtype=np.int64)
        self._energy += int(energies.sum()) + int(squares[whole:].sum(dtype=np.int64))
        self._frames += len(energies)
        self._speech += int(np.count_nonzero(energies > self._threshold))
        self.clipped += int(np.count_nonzero(squares >= FULL_SCALE**2))

    def level_dbfs(self, frames: int) -> float | None:
        """Return the mean level over so many frames of audio; None if there is no sound at all."""
        if not frames or not self._energy:
            return None
        return round(10 * math.log10(self._energy / frames / _REFERENCE**2), 2)
