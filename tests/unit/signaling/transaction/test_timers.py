"""Timer values against RFC 3261 table 4."""

from __future__ import annotations

import pytest

from signaling.transaction.timers import Timers


def test_defaults_are_those_of_the_table() -> None:
    timers = Timers()
    assert (timers.t1, timers.t2, timers.t4, timers.d, timers.timeout) == (0.5, 4.0, 5.0, 32.0, 32.0)


def test_the_late_hundred_comes_when_timer_e_has_been_reset_to_t2() -> None:
    assert Timers().late_trying == 3.5


@pytest.mark.parametrize(("t1", "t2", "late"), [(0.01, 0.04, 0.03), (0.01, 0.05, 0.07), (1.0, 1.0, 0.0)])
def test_timers_scale(t1: float, t2: float, late: float) -> None:
    assert Timers(t1=t1, t2=t2).late_trying == pytest.approx(late)
