"""Datagrams of a batch in memory of our own, back to back, where they are opened in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Columns, Datagrams


class Opened:
    """Copies of datagrams, each at most as long as it was.

    Args:
        sealed: the datagrams as they were received.
        data: their bytes.
        starts: where each one starts in `data`.

    """

    def __init__(self, sealed: Datagrams, data: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self.sealed = sealed
        self._data = data
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def addresses(self) -> NDArray[np.int64]:
        """Address of each datagram in this process."""
        found: NDArray[np.int64] = self._starts + self._data.ctypes.data
        return found

    def put(self, position: int, packet: bytes) -> None:
        """Put other bytes in the place of a datagram; not more than it had."""
        start = int(self._starts[position])
        self._data[start : start + len(packet)] = np.frombuffer(packet, np.uint8)

    def columns(self) -> Columns:
        """Return what was looked at before they were opened."""
        return self.sealed.columns()

    def name(self, position: int) -> bytes:
        """Return one packed source address."""
        return self.sealed.name(position)

    def drop_counters(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the drop counter of the socket as each of these datagrams came with it."""
        return self.sealed.drop_counters(positions)

    def lay_out(
        self, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Copy the chosen datagrams back to back, as `Datagrams.lay_out`."""
        starts = self._starts if chosen is None else self._starts[chosen]
        edges = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        data = np.empty(int(edges[-1]), np.uint8)
        # One gather for each length that occurs, never one step per packet.
        for size in np.unique(lengths).tolist():
            members = np.flatnonzero(lengths == size)
            if size:
                _windows(data, size)[edges[members]] = _windows(self._data, size)[starts[members]]
        return data, edges


def _windows(data: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return every place of an array as the start of a row: overlapping."""
    return np.ndarray((data.size - width + 1, width), np.uint8, data, 0, (1, 1))
