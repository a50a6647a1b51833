"""Parties whose media clocks run at different speeds, kept together by slips of single samples. Pure.

Two telephones count 8,000 samples a second by crystals of their own; after an hour they may be 300 ms apart. The party
that was heard longest is the measure. Any other that differs from it by more than can be heard or be an error of the
estimate gets a *slip* now and then, as in digital trunks (ITU-T G.822): a packet is placed one clock unit later, and
the sample before it lasts twice as long, or one unit earlier, and a sample is covered. No code is changed, nothing is
resampled; between slips every sample is where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.pipeline.alignment import Anchor
from media.pipeline.envelope import median

LEAST_SECONDS: Final = 0.01
"""Drift that adds up to less over a whole source is left alone: it cannot be heard."""
MOST_PPM: Final = 1000.0
"""No clock is so wrong; a sender that is sends something else than it says."""
CERTAINTY: Final = 6.0
"""The drift of a whole source has to be so many times the spread of what it was estimated from."""

_NANOSECONDS: Final = 1_000_000_000
_PPM: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Slips:
    """When a source slips, and where to."""

    at: NDArray[np.int64]
    """Timestamps in the anchor's space, rising: packets that begin there or later are moved by one unit more."""
    direction: int
    """1 for later, -1 for earlier, 0 without slips."""

    def units(self, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return by how many clock units packets with these timestamps are moved."""
        if not self.direction:
            return np.zeros(len(timestamps), np.int64)
        return self.direction * np.searchsorted(self.at, timestamps, "right")

    def shifted(self, by: int) -> Slips:
        """Return the same slips for timestamps that are so much smaller."""
        return Slips(self.at - by, self.direction)


NO_SLIPS: Final = Slips(np.zeros(0, np.int64), 0)


def correct_drift(anchors: Sequence[Anchor]) -> dict[Anchor, Slips]:
    """Return the slips of the anchors that need some, and move `wall_ns` of all to the clock of the reference."""
    drifts = {anchor: ppm for anchor in anchors if (ppm := _drift_ppm(anchor)) is not None}
    if not any(drifts.values()):
        return {}
    reference = max(drifts, key=lambda anchor: (anchor.end - anchor.start) / anchor.clock_rate)
    pace = drifts[reference] * _PPM
    for anchor, ppm in drifts.items():
        if not anchor.adjusted_ns:
            anchor.wall_ns += _middle_of_line_ns(anchor, ppm * _PPM) - _middle_ns(anchor)
    middle_ns = _middle_ns(reference)
    found = {}
    for anchor in anchors:
        if anchor is reference:
            continue
        # Each source stands right in its own middle; what the reference had gained or lost by then is taken off.
        anchor.wall_ns -= round((_middle_ns(anchor) - middle_ns) * pace)
        apart_ppm = drifts.get(anchor, drifts[reference]) - drifts[reference]
        slips = _slips(anchor, apart_ppm, reference.drift_spread_ns)
        if slips.direction:
            found[anchor] = slips
            # The middle stays where it is, so the beginning moves.
            anchor.wall_ns -= slips.direction * len(slips.at) * _NANOSECONDS // (2 * anchor.clock_rate)
    return found


def _drift_ppm(anchor: Anchor) -> float | None:
    """Return the drift, 0 if it is not certain that there is any; None if the source does not tell."""
    points, ppm = anchor.points(), anchor.drift_ppm
    if ppm is None or abs(ppm) > MOST_PPM:
        return None
    total_ns = abs(ppm) * _PPM * (points[-1][0] - points[0][0])
    return ppm if total_ns >= CERTAINTY * anchor.drift_spread_ns else 0.0


def _slips(anchor: Anchor, ppm: float, reference_spread_ns: float) -> Slips:
    units = anchor.end - anchor.start
    total_s = abs(ppm) * _PPM * units / anchor.clock_rate
    spread_s = (anchor.drift_spread_ns + reference_spread_ns) / _NANOSECONDS
    if total_s < max(LEAST_SECONDS, CERTAINTY * spread_s):
        return NO_SLIPS
    every = 1 / (abs(ppm) * _PPM)
    at = anchor.start + np.arange(every / 2, units, every)
    return Slips(at.astype(np.int64), 1 if ppm > 0 else -1)


def _middle_ns(anchor: Anchor) -> int:
    return anchor.wall_at((anchor.start + anchor.end) // 2)


def _middle_of_line_ns(anchor: Anchor, pace: float) -> int:
    """Return the wall clock of the anchor's middle by the line through its least lags, which is finer than any bin."""
    points = anchor.points()
    first, lag_ns = points[0]
    beside = np.array([lag - lag_ns - pace * (media - first) for media, lag in points])
    # The least lag of a bin was that of one of its ends, not of its middle.
    width = min((later - earlier for (earlier, _), (later, _) in itertools.pairwise(points)), default=0)
    media = ((anchor.start + anchor.end) // 2 - anchor.base) * _NANOSECONDS // anchor.clock_rate
    return lag_ns + media + round(median(beside) + pace * (media - first) + abs(pace) * width / 2)
