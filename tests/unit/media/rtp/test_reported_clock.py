"""Sender reports as witnesses of a media clock."""

from __future__ import annotations

import numpy as np
import pytest

from media.rtp.reported_clock import NO_REPORTS, ReportedClock
from media.rtp.source import SourceTracker

RATE = 8000
FRAME = 160
FIRST = 2**32 - 40_000
"""Timestamp at media time 0: it wraps after five seconds."""
SENDER_NS = 5_000_000_000_000
"""How far the sender's wall clock is off."""


def clock(*reports: tuple[float, float] | tuple[float, float, float]) -> ReportedClock:
    """Reports by arrival, media time and, if it is not that of arrival, time of the sender's clock; seconds each."""
    return ReportedClock(
        np.array([round(one[0] * 1e9) for one in reports], np.int64),
        np.array([round(one[-1 if len(one) > 2 else 0] * 1e9) + SENDER_NS for one in reports], np.int64),
        np.array([(FIRST + round(one[1] * RATE)) % 2**32 for one in reports], np.uint32),
    )


def located(reports: ReportedClock, *late_s: tuple[float, float]) -> tuple[list[int], list[bool]]:
    """Run and lateness, by media second, of a source of 12 s that is so late from media times on."""
    media = np.arange(12 * 50) * 0.02
    behind = np.zeros(len(media))
    for since, late in late_s:
        behind[media >= since] = late
    numbers = np.arange(len(media))
    found = SourceTracker(RATE, reports).locate(
        (65_400 + numbers).astype(np.uint16),
        ((FIRST + numbers * FRAME) % 2**32).astype(np.uint32),
        np.full(len(media), FRAME, np.int64),
        ((media + 0.02 + behind) * 1e9).astype(np.int64),
        final=True,
    )
    assert (np.diff(found.extended_timestamps) == FRAME).all()
    return found.runs[25::50].tolist(), found.late[25::50].tolist()


@pytest.mark.parametrize(
    "reports",
    [
        clock((1, 1), (6, 6), (12, 12)),
        clock((1, 1), (6, 6), (14.9, 14, 14), (15, 15)),
        clock((1, 1), (6, 6), (15, 12, 12)),
        clock((1, 1), (6, 6), (12, 12, 4000)),
        clock((12, 12)),
        clock((0, 1.5), (12, 13.5)),
    ],
    ids=["in time", "one late", "as late as the packets", "sender's clock set", "none before", "before the packets"],
)
def test_packets_of_a_clock_that_went_on_are_late(reports: ReportedClock) -> None:
    assert located(reports, (8, 3)) == ([0] * 12, [False] * 8 + [True] * 4)


@pytest.mark.parametrize(
    "reports",
    [NO_REPORTS, clock((1, 1), (6, 6)), clock((1, 1), (6, 6), (12, 9)), clock((12, 9)), clock((1, 1), (6, 6), (9, 9))],
    ids=["no report", "none after", "it stood still", "none before", "only meanwhile"],
)
def test_packets_of_a_clock_of_which_nobody_says_that_it_went_on_stand_where_they_came(reports: ReportedClock) -> None:
    assert located(reports, (8, 3)) == ([0] * 8 + [1] * 4, [False] * 12)


def test_who_is_known_to_be_late_may_become_later_after_the_last_report() -> None:
    assert located(clock((1, 1), (8, 8)), (4, 3), (9, 5)) == ([0] * 12, [False] * 4 + [True] * 8)


def test_each_gap_is_judged_by_the_reports_since_the_clock_last_stood_still() -> None:
    stood = clock((1, 1), (7, 5), (15, 13))
    assert located(stood, (4, 2), (9, 5)) == ([0] * 4 + [1] * 8, [False] * 9 + [True] * 3)
    assert located(clock((1, 1), (7, 5), (15, 10)), (4, 2), (9, 5)) == ([0] * 4 + [1] * 5 + [2] * 3, [False] * 12)


def test_only_reports_outside_of_the_gap_are_looked_at() -> None:
    before, after = clock(*[(second, second) for second in range(20)]).around(
        2_000_000_000, 9_500_000_000, 12_500_000_000
    )
    assert (before.arrival_ns // 10**9).tolist() == [7, 8, 9]
    assert (after.arrival_ns // 10**9).tolist() == [13, 14, 15]
