"""The helpers that the machines share."""

from __future__ import annotations

from signaling.transaction.machine import earliest, is_due


def test_the_earliest_of_nothing_is_none() -> None:
    assert earliest(None, None) is None


def test_the_earliest_ignores_what_is_not_set() -> None:
    assert (earliest(None, 3.0), earliest(3.0, None), earliest(3.0, 2.0)) == (3.0, 3.0, 2.0)


def test_a_timer_is_due_from_its_moment_on() -> None:
    assert (is_due(2.0, 1.9), is_due(2.0, 2.0), is_due(None, 2.0)) == (False, True, False)
