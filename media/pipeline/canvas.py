"""Planes of samples on a timeline, and the mixing of layers. Pure; knows no packets and no files.

A plane holds G.711 codes when the whole output does (nothing is decoded then), else 16-bit samples. What no packet
covers is silence.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from media.pipeline.codec import Law, Samples
from media.pipeline.codec.g711 import SILENCE, compress, expand

Rows = NDArray[np.uint8 | np.int16]
"""Samples of packets of equal length, shape (packets, samples)."""


class Plane:
    """Samples of one sample rate on the timeline.

    Args:
        silence: what an empty sample is.
        dtype: uint8 for codes, int16 for samples.

    """

    def __init__(self, silence: int, dtype: type[np.uint8] | type[np.int16]) -> None:
        self._silence = silence
        self._buffer: Rows = np.zeros(0, dtype)
        self.start = 0
        """Position of the first sample that is still held."""

    def put(self, positions: NDArray[np.int64], rows: Rows) -> None:
        """Lay packets down: first sample of each, shape (n,), and their samples, shape (n, length).

        Where packets overlap the last one stays. Positions before `start` are a defect of the caller.
        """
        count, length = rows.shape
        if not count or not length:
            return
        places = positions - self.start
        self._reserve(int(places.max()) + length)
        if count == 1 or (np.diff(places) == length).all():
            first = int(places[0])
            self._buffer[first : first + count * length] = rows.reshape(-1)
        else:
            sliding_window_view(self._buffer, length, writeable=True)[places] = rows

    def window(self, start: int, end: int) -> Rows:
        """Return the samples of `[start, end)`, to be read before the next `put`.

        Silence where there are none, or none any more.
        """
        first, last = max(start, self.start), min(end, self.start + len(self._buffer))
        if (first, last) == (start, end):
            return self._buffer[first - self.start : last - self.start]
        found = np.full(end - start, self._silence, self._buffer.dtype)
        if first < last:
            found[first - start : last - start] = self._buffer[first - self.start : last - self.start]
        return found

    def forget(self, until: int) -> None:
        """Give up the samples before `until`; nothing may be put there any more."""
        if until > self.start:
            self._buffer = self._buffer[until - self.start :].copy()
            self.start = until

    def _reserve(self, size: int) -> None:
        held = len(self._buffer)
        if size > held:
            # Half as much again: packets come in order, a little at a time.
            grown: Rows = np.empty(max(size, held + held // 2), self._buffer.dtype)
            grown[:held] = self._buffer
            grown[held:] = self._silence
            self._buffer = grown


def mix_codes(layers: list[NDArray[np.uint8]], law: Law) -> NDArray[np.uint8]:
    """Return layers of codes as one: what only one of them holds unchanged, the sum where several do."""
    mixed = layers[0]
    for layer in layers[1:]:
        both = (mixed != SILENCE[law]) & (layer != SILENCE[law])
        mixed = np.where(mixed == SILENCE[law], layer, mixed)
        if both.any():
            mixed[both] = compress(mix_samples([expand(mixed[both], law), expand(layer[both], law)]), law)
    return mixed


def mix_samples(layers: list[Samples]) -> Samples:
    """Return the sum of layers, limited to 16 bits."""
    if len(layers) == 1:
        return layers[0]
    total = np.sum(layers, axis=0, dtype=np.int32)
    return np.clip(total, -32768, 32767).astype(np.int16)
