"""When a writer must ask what was agreed without it."""

from __future__ import annotations

import math

from media.writer.standstill import PATIENCE_S, Standstill


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def begun(limit_s: float = 0.2) -> tuple[Standstill, Clock]:
    """One that knows everything at 50 s."""
    clock = Clock()
    standstill = Standstill(limit_s, clock)
    standstill.settle(1)
    return standstill, clock


def test_who_has_just_begun_does_not_know() -> None:
    standstill = Standstill(0.2, Clock())
    assert (standstill.look(), standstill.number) == (True, 1)
    standstill.settle(1)
    assert not standstill.look()


def test_turns_in_time_are_no_standstill() -> None:
    standstill, clock = begun()
    for _ in range(100):
        clock.now += 0.19
        assert not standstill.look()


def test_a_late_turn_is_one() -> None:
    standstill, clock = begun()
    clock.now += 0.3
    assert (standstill.look(), standstill.number) == (True, 2)


def test_what_was_decided_of_an_earlier_one_decides_nothing() -> None:
    standstill, clock = begun()
    for number in (2, 3):
        clock.now += 0.3
        standstill.look()
        assert standstill.number == number
    standstill.settle(2)
    assert standstill.look()
    standstill.settle(3)
    assert not standstill.look()


def test_patience_counts_from_the_thaw() -> None:
    standstill, clock = begun(limit_s=PATIENCE_S)
    clock.now += 2 * PATIENCE_S
    standstill.look()
    for _ in range(2):
        assert not standstill.overdue
        clock.now += 0.6 * PATIENCE_S
        standstill.look()
    assert standstill.overdue


def test_where_nobody_else_could_agree_to_anything_there_is_none() -> None:
    clock = Clock()
    standstill = Standstill(math.inf, clock)
    clock.now += 1e6
    assert not standstill.look()
    assert standstill.number == 0


def test_who_records_nothing_any_more_asks_nothing() -> None:
    standstill, clock = begun()
    clock.now += 1
    standstill.look()
    standstill.forget()
    clock.now += 1
    assert not standstill.look()
