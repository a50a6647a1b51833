"""When the media of a source happened: the lower envelope of its packets' delays.

A packet can only come late, never early, so among packets that lie close together the one with the least delay tells
best how media time and wall clock belong together. The least delay of each bin of media time is kept; their *median*
is the offset. It ignores bins spoilt by an outage, and when sender and recorder clocks drift apart it is right in the
middle of the source, so the error at either end is half of the drift (see `drift` for what is done about it). Pure; RFC
3550 §6.4.4 and §8 do not prescribe a method.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_BIN_NS: Final = 10_000_000_000
"""Width of a bin at first: long enough for one undelayed packet in it, short against clock drift (1 ms at 100 ppm)."""

_MAX_BINS: Final = 256
"""When more are needed, neighbours are merged and the width doubles: the memory is constant."""

_DRIFT_BINS: Final = 6
"""Least number of bins for a drift figure: over a minute, 1 ms of network jitter already feigns 17 ppm."""


class LagEnvelope:
    """Least lags of one run, fed in any order of time; all times in nanoseconds.

    The *lag* of a packet is its arrival time minus the media time of its end; media time counts from any fixed point
    of the run.
    """

    def __init__(self) -> None:
        self._width = _BIN_NS
        self._least: dict[int, int] = {}

    def feed(self, media_ns: NDArray[np.int64], lags_ns: NDArray[np.int64]) -> None:
        """Take packets: media time and lag, shape (n,) each."""
        if not len(media_ns):
            return
        bins = media_ns // self._width
        order = np.argsort(bins, kind="stable")
        bins = bins[order]
        first = np.flatnonzero(np.append(True, np.diff(bins) > 0))
        for number, least in zip(
            bins[first].tolist(), np.minimum.reduceat(lags_ns[order], first).tolist(), strict=True
        ):
            self._least[number] = min(least, self._least.get(number, least))
        while len(self._least) > _MAX_BINS:
            self._merge()

    def points(self) -> list[tuple[int, int]]:
        """Return (media time of the middle of a bin, least lag in it), in order of media time."""
        return [(number * self._width + self._width // 2, least) for number, least in sorted(self._least.items())]

    def _merge(self) -> None:
        self._width *= 2
        merged: dict[int, int] = {}
        for number, least in self._least.items():
            merged[number // 2] = min(least, merged.get(number // 2, least))
        self._least = merged


def offset_ns(points: list[tuple[int, int]]) -> int:
    """Return the wall clock at media time zero: the median of the least lags, the lower one of two middle ones."""
    return sorted(lag for _, lag in points)[(len(points) - 1) // 2]


def drift_ppm(points: list[tuple[int, int]]) -> float | None:
    """Return how much slower the media clock runs than the wall clock, parts per million; None if it cannot be told.

    The median of the slopes between all pairs of points (Theil and Sen): up to 29 % of the bins may be wrong.
    """
    if len(points) < _DRIFT_BINS:
        return None
    table = np.array(points, np.float64)
    table -= table[0]
    later, earlier = np.triu_indices(len(points), 1)[::-1]
    slopes = (table[later, 1] - table[earlier, 1]) / (table[later, 0] - table[earlier, 0])
    return round(median(slopes) * 1e6, 3)


def drift_spread_ns(points: list[tuple[int, int]], ppm: float | None) -> float:
    """Return how far least lags typically lie from the line that `ppm`, their drift, draws through them; ns.

    0 without a drift.
    """
    if ppm is None:
        return 0.0
    table = np.array(points, np.float64)
    table -= table[0]
    beside = table[:, 1] - table[:, 0] * ppm / 1e6
    return median(np.abs(beside - median(beside)))


def median(values: NDArray[np.float64]) -> float:
    """Return the middle value, of two middle ones their mean; shape (n,), n at least 1, no NaN.

    As NumPy's, which imports its masked arrays for it, and takes four times as long.
    """
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
