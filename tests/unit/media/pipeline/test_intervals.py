"""Sets of intervals, exact values and laws."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from media.pipeline.intervals import Intervals

pairs = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), max_size=12)


def members(found: list[tuple[int, int]]) -> set[int]:
    return {point for start, end in found for point in range(start, end)}


def test_touching_and_overlapping_intervals_become_one() -> None:
    assert Intervals.of((5, 7), (0, 3), (3, 5), (20, 21)).pairs() == [(0, 7), (20, 21)]


def test_empty_and_inverted_intervals_count_for_nothing() -> None:
    assert Intervals.of((3, 3), (9, 2)).pairs() == []
    assert len(Intervals.merged()) == 0


def test_a_contained_interval_does_not_shorten() -> None:
    assert Intervals.of((0, 10), (2, 3), (4, 12)).pairs() == [(0, 12)]


def test_the_complement_is_what_is_left() -> None:
    assert Intervals.of((2, 4), (6, 8)).complement(0, 10).pairs() == [(0, 2), (4, 6), (8, 10)]
    assert Intervals.of((-5, 2), (9, 20)).complement(0, 10).pairs() == [(2, 9)]
    assert Intervals.empty().complement(3, 5).pairs() == [(3, 5)]


def test_the_overlap_with_an_interval_is_measured() -> None:
    found = Intervals.of((2, 4), (6, 10)).overlap(np.array([0, 3, 4, 7]), np.array([3, 7, 6, 20]))
    assert found.tolist() == [1, 2, 0, 3]
    assert Intervals.empty().overlap(np.array([0]), np.array([9])).tolist() == [0]


@given(pairs)
def test_the_union_holds_exactly_the_members(given_pairs: list[tuple[int, int]]) -> None:
    found = Intervals.of(*given_pairs)
    assert members(found.pairs()) == members(given_pairs)
    assert found.total == len(members(given_pairs))
    assert all(end < start for (_, end), (start, _) in zip(found.pairs(), found.pairs()[1:], strict=False))


@given(pairs, pairs)
def test_complement_contains_and_overlap_agree(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    found = Intervals.of(*one)
    points = np.arange(-60, 60)
    assert set(points[found.contains(points)].tolist()) == members(one)
    assert members(found.complement(-60, 60).pairs()) == set(points.tolist()) - members(one)
    for start, end in other:
        if start <= end:
            overlap = found.overlap(np.array([start]), np.array([end]))
            assert overlap.tolist() == [len(members(one) & set(range(start, end)))]
