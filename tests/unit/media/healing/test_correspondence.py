"""Where time of one copy lies in another one: exact where it is known, and never less than what was asked for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.healing import Piece, Placement, Stretch, by_audio, compare, first_strand, placement_in, placement_of
from media.healing.correspondence import MARGIN_S, PlacedParty, Segment, through
from tests.unit.media.healing.copies import copy as sound_of
from tests.unit.media.healing.copies import talk

RATE = 8000


def placed(*parties: tuple[int, int, bool], pieces: tuple[Piece, ...]) -> Placement:
    return Placement(
        sample_rate=RATE,
        parties=tuple(
            PlacedParty(party=party, onto=onto, proven=proven, pieces=pieces) for party, onto, proven in parties
        ),
    )


SHIFTED = (Piece(0, 80_000, 1600.0, 1600.0),)
"""The copy begins 0.2 s after the timeline."""


def test_a_copy_that_began_later_with_its_parties_the_other_way_round() -> None:
    copy = placed((0, 1, True), (1, 0, True), pieces=SHIFTED)
    assert copy.in_copy(Stretch(0, 2.0, 3.0), 2) == [Stretch(1, 1.8, 2.8)]
    assert copy.on_timeline(Stretch(0, 2.0, 3.0), 2) == [Stretch(1, 2.2, 3.2)]
    assert copy.in_copy(Stretch(None, 2.0, 3.0), 2) == [Stretch(0, 1.8, 2.8), Stretch(1, 1.8, 2.8)]


def test_outside_of_what_was_compared_time_runs_on() -> None:
    copy = placed((0, 0, True), (1, 1, True), pieces=SHIFTED)
    assert copy.in_copy(Stretch(0, 0.0, 0.1), 2) == [Stretch(0, -0.2, -0.1)]
    assert copy.in_copy(Stretch(0, 20.0, 21.0), 2) == [Stretch(0, 19.8, 20.8)]


def test_a_party_that_nobody_proved_may_be_any_that_is_not_another_one() -> None:
    copy = placed((0, 0, True), (1, 1, False), pieces=SHIFTED)
    assert copy.in_copy(Stretch(0, 2.0, 3.0), 2) == [Stretch(0, 1.8, 2.8)]
    assert copy.in_copy(Stretch(1, 2.0, 3.0), 3) == [Stretch(1, 1.8, 2.8), Stretch(2, 1.8, 2.8)]
    unknown = placed((0, 0, False), (1, 1, False), pieces=SHIFTED)
    assert not unknown.known
    assert len(unknown.in_copy(Stretch(0, 2.0, 3.0), 2)) == 2


def test_what_lies_between_two_pieces_counts_whole() -> None:
    """The copy was away from 1 to 3 s of the timeline, and its frames 8,000 to 9,000 were found nowhere."""
    copy = placed((0, 0, True), pieces=(Piece(0, 8000, 0.0, 0.0), Piece(9000, 40_000, 15_000.0, 15_000.0)))
    assert copy.in_copy(Stretch(0, 0.5, 1.5), 1) == [Stretch(0, 0.5, 9000 / RATE)]
    assert copy.in_copy(Stretch(0, 2.0, 2.5), 1) == [Stretch(0, 1.0, 9000 / RATE)]
    assert copy.in_copy(Stretch(0, 3.5, 4.0), 1) == [Stretch(0, 1.625, 2.125)]
    gapless = placed((0, 0, True), pieces=(Piece(0, 8000, 0.0, 0.0), Piece(8000, 40_000, 16_000.0, 16_000.0)))
    assert gapless.in_copy(Stretch(0, 1.5, 2.5), 1) == [], "the copy has nothing of that time"


def test_a_clock_that_drifts_gets_a_margin() -> None:
    copy = placed((0, 0, True), pieces=(Piece(0, 80_000, 0.0, 8.0),))
    ((party, start, end),) = copy.in_copy(Stretch(0, 5.0, 6.0), 1)
    assert party == 0
    assert start == pytest.approx(5.0 - 0.0005 - MARGIN_S, abs=1e-4)
    assert end == pytest.approx(6.0 - 0.0006 + MARGIN_S, abs=1e-4)


def test_what_comparing_and_placing_found_is_what_was_said(tmp_path: Path) -> None:
    """The copy begins a second later and has its parties the other way round."""
    spoken = [talk(party, 9.0) for party in (0, 1)]
    one = sound_of(tmp_path, "one", [codes[:64_000] for codes in spoken])
    other = sound_of(tmp_path, "other", [spoken[1][8000:], spoken[0][8000:]], start_s=1.1)
    comparison = compare(one, other)
    placement = placement_in(comparison)
    assert placement.known
    assert placement.in_copy(Stretch(0, 3.0, 4.0), 2) == [Stretch(1, 2.0, 3.0)]
    # The same on a master that begins half a second before the first copy.
    placed_on_master = placement_of(by_audio(other, comparison, first_strand(one)), RATE, -4000)
    assert placed_on_master.in_copy(Stretch(0, 3.5, 4.5), 2) == [Stretch(1, 2.0, 3.0)]
    assert placed_on_master.on_timeline(Stretch(1, 2.0, 3.0), 2) == [Stretch(0, 3.5, 4.5)]
    kept = msgspec.convert(msgspec.json.decode(msgspec.json.encode(placed_on_master)), type(placed_on_master))
    assert kept == placed_on_master


@given(
    steps=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=6),
    start=st.integers(-20, 300),
    length=st.integers(1, 100),
)
def test_never_less_than_what_was_asked_for(steps: list[tuple[int, int, int]], start: int, length: int) -> None:
    """Every frame inside of a segment whose time was asked for is in what comes out."""
    segments, at, to = [], 0, 1000
    for size, skipped, lost in steps:
        segments.append(Segment(at, at + size, to, to + size))
        at, to = at + size + skipped, to + size + lost
    moved = through(segments, start, start + length)
    wanted = [
        frame - one.start + one.to_start
        for one in segments
        for frame in range(int(one.start), int(one.end))
        if start <= frame < start + length
    ]
    if moved is None:
        assert not wanted
    else:
        assert all(moved[0] <= frame and frame + 1 <= moved[1] for frame in wanted)
