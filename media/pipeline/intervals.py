"""Sets of half-open integer intervals as pairs of numpy arrays: union, complement, membership. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Disjoint, non-empty, non-touching intervals `[start, end)` in rising order; shape (n,) each, int64."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @staticmethod
    def empty() -> Intervals:
        """Return the empty set."""
        return Intervals(np.zeros(0, np.int64), np.zeros(0, np.int64))

    @staticmethod
    def union(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Intervals:
        """Return the union of any intervals, in any order; empty and inverted ones count for nothing."""
        real = ends > starts
        if not real.all():
            starts, ends = starts[real], ends[real]
        if not len(starts):
            return Intervals.empty()
        if len(starts) == 1:
            return Intervals(starts.copy(), ends.copy())
        if (np.diff(starts) < 0).any():
            order = np.argsort(starts, kind="stable")
            starts, ends = starts[order], ends[order]
        reach = np.maximum.accumulate(ends)
        opens = np.ones(len(starts), np.bool_)
        opens[1:] = starts[1:] > reach[:-1]
        first = np.flatnonzero(opens)
        last = np.append(first[1:], len(starts)) - 1
        return Intervals(starts[first], reach[last])

    @staticmethod
    def of(*pairs: tuple[int, int]) -> Intervals:
        """Return the union of a few intervals given as numbers."""
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return Intervals.union(table[:, 0], table[:, 1])

    @staticmethod
    def merged(*sets: Intervals) -> Intervals:
        """Return the union of sets."""
        if not sets:
            return Intervals.empty()
        return Intervals.union(np.concatenate([s.starts for s in sets]), np.concatenate([s.ends for s in sets]))

    @property
    def total(self) -> int:
        """Sum of the lengths."""
        return int((self.ends - self.starts).sum())

    def __len__(self) -> int:
        return len(self.starts)

    def pairs(self) -> list[tuple[int, int]]:
        """Return the intervals as Python numbers."""
        return list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))

    def complement(self, start: int, end: int) -> Intervals:
        """Return what `[start, end)` holds beside this set."""
        starts = np.clip(np.append(start, self.ends), start, end)
        ends = np.clip(np.append(self.starts, end), start, end)
        return Intervals.union(starts, ends)

    def contains(self, points: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for each point whether the set holds it."""
        if not len(self):
            return np.zeros(len(points), np.bool_)
        position = np.searchsorted(self.starts, points, "right") - 1
        inside: NDArray[np.bool_] = (position >= 0) & (points < self.ends[position])
        return inside

    def overlap(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how much of each interval `[start, end)` lies in this set; shape (n,)."""
        return self._measure_below(ends) - self._measure_below(starts)

    def _measure_below(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how much of the set lies below each point."""
        lengths = np.append(0, np.cumsum(self.ends - self.starts))
        position = np.searchsorted(self.starts, points, "right")
        if not len(self):
            return np.zeros(len(points), np.int64)
        excess = np.maximum(self.ends[position - 1] - points, 0)
        return np.where(position > 0, lengths[position] - excess, 0)
