"""When rounds begin."""

from __future__ import annotations

from media.writer.rounds import Rounds


def test_a_round_is_due_every_interval_however_long_it_takes() -> None:
    rounds = Rounds(0.5, 10.0)
    begun = []
    for tenth in range(100, 121):
        if rounds.begin(tenth / 10):
            begun.append(tenth)
            rounds.under_way = False
    assert begun == [100, 105, 110, 115, 120]


def test_rounds_that_a_late_loop_has_missed_are_not_made_up_for() -> None:
    rounds = Rounds(0.5, 10.0)
    assert rounds.begin(17.0)
    assert not rounds.begin(17.4)
    assert rounds.begin(17.5)


def test_there_is_something_to_visit_as_long_as_a_round_is_under_way() -> None:
    rounds = Rounds(0.5, 10.0)
    assert rounds.next_turn == 10.0
    rounds.begin(10.0)
    assert rounds.next_turn == 0.0
    rounds.under_way = False
    assert rounds.next_turn == 10.5
