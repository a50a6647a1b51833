"""Holds the gaps that a catalog declares for one party against what is really missing in the file.

Pure; positions are samples from the start of the recording. Adjoining gaps count as one interval with several kinds,
because how a recorder cuts an interval into causes at one place is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.conversation import FRAME_SAMPLES
from recorder.simulator.g711 import SAMPLE_RATE

LOST: Final = "lost"
PAUSED: Final = "paused"
SILENT: Final = "silent"

_ROUNDING: Final = 2
"""Samples by which gaps that touch may seem apart, since the catalog counts in seconds."""


@dataclass(frozen=True, slots=True)
class DeclaredGap:
    """A gap as the catalog has it."""

    party: int
    start_s: float
    """Seconds from the start of the recording."""
    duration_s: float
    kind: str
    """lost, silent or paused."""


@dataclass(frozen=True, slots=True)
class GapFault:
    """A gap that is not declared, or declared and not there."""

    second: float
    detail: str


@dataclass(slots=True)
class _Interval:
    begin: int
    end: int
    kinds: set[str]
    doubtful: bool = False
    """True when it touches packets that may or may not belong to a pause."""

    def __str__(self) -> str:
        kinds = " and ".join(sorted(self.kinds))
        return f"{kinds}, {(self.end - self.begin) / SAMPLE_RATE * 1000:.1f} ms at {self.begin / SAMPLE_RATE:.3f} s"


def check_gaps(
    *,
    present: npt.NDArray[np.int64],
    paused: Sequence[tuple[int, int]],
    doubtful: npt.NDArray[np.int64],
    declared: Sequence[DeclaredGap],
    tolerance: int,
) -> list[GapFault]:
    """Return what is wrong with the declared gaps of one party.

    Args:
        present: where the packets that were found begin, rising.
        paused: intervals (begin, end) in which recording was paused.
        doubtful: where packets begin that a pause may or may not have covered.
        declared: the catalog's gaps of this party.
        tolerance: samples by which an edge may be off.

    """
    if not len(present):
        return []
    first, last = int(present[0]), int(present[-1]) + FRAME_SAMPLES
    truth = _missing_intervals(present, paused, doubtful)
    claims = [claim for claim in _claimed_intervals(declared) if not _outside(claim, first, last, tolerance)]
    faults: list[GapFault] = []
    unmatched = list(claims)
    for gap in truth:
        match = next((c for c in unmatched if _same(c, gap, tolerance)), None)
        if match is None:
            near = next((c for c in unmatched if c.begin < gap.end and gap.begin < c.end), None)
            hint = f"; the catalog has: {near}" if near else ""
            faults.append(GapFault(gap.begin / SAMPLE_RATE, f"missing but not declared so: {gap}{hint}"))
            unmatched = [c for c in unmatched if c is not near]
            continue
        unmatched = [c for c in unmatched if c is not match]
        agreed = match.kinds <= gap.kinds if gap.doubtful else match.kinds == gap.kinds
        if not agreed:
            faults.append(GapFault(gap.begin / SAMPLE_RATE, f"declared as {match}, but it is {gap}"))
    faults += [GapFault(c.begin / SAMPLE_RATE, f"declared but not missing: {c}") for c in unmatched]
    return faults


def _same(one: _Interval, other: _Interval, tolerance: int) -> bool:
    # One sample more for the rounding of the catalog's seconds.
    return abs(one.begin - other.begin) <= tolerance + 1 and abs(one.end - other.end) <= tolerance + 1


def _outside(claim: _Interval, first: int, last: int, tolerance: int) -> bool:
    """Tell whether a claim speaks only of the time before the first or after the last packet: nothing to hold it to."""
    return claim.end <= first + tolerance or claim.begin >= last - tolerance


def _missing_intervals(
    present: npt.NDArray[np.int64], paused: Sequence[tuple[int, int]], doubtful: npt.NDArray[np.int64]
) -> list[_Interval]:
    holes = np.flatnonzero(np.diff(present) > FRAME_SAMPLES)
    return [_explain(int(present[hole]) + FRAME_SAMPLES, int(present[hole + 1]), paused, doubtful) for hole in holes]


def _explain(begin: int, end: int, paused: Sequence[tuple[int, int]], doubtful: npt.NDArray[np.int64]) -> _Interval:
    within_pause = sum(max(0, min(end, until) - max(begin, since)) for since, until in paused)
    unsure = int(((doubtful >= begin) & (doubtful < end)).sum()) * FRAME_SAMPLES
    kinds = set()
    if within_pause or unsure:
        kinds.add(PAUSED)
    if within_pause + unsure < end - begin:
        kinds.add(LOST)
    return _Interval(begin, end, kinds, doubtful=bool(unsure))


def _claimed_intervals(declared: Sequence[DeclaredGap]) -> list[_Interval]:
    claims: list[_Interval] = []
    for gap in sorted(declared, key=lambda gap: gap.start_s):
        begin = round(gap.start_s * SAMPLE_RATE)
        end = round((gap.start_s + gap.duration_s) * SAMPLE_RATE)
        if claims and begin <= claims[-1].end + _ROUNDING:
            claims[-1].end = max(claims[-1].end, end)
            claims[-1].kinds.add(gap.kind)
        else:
            claims.append(_Interval(begin, end, {gap.kind}))
    return claims
