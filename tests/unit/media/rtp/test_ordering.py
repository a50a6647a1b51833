"""Order, duplicates and loss of one source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from media.rtp.ordering import Ordered, Resequencer


def order(resequencer: Resequencer, numbers: Sequence[int], *, run: int = 0, flush: bool = True) -> Ordered:
    return resequencer.order(np.full(len(numbers), run, np.int32), np.array(numbers, np.int64), flush=flush)


def emitted(numbers: Sequence[int]) -> list[int]:
    result = order(Resequencer(), numbers)
    return [numbers[n] for n in result.emitted]


def test_reordered_packets_come_out_in_order() -> None:
    assert emitted([10, 12, 11, 15, 13]) == [10, 11, 12, 13, 15]


def test_the_first_of_two_equal_packets_is_kept() -> None:
    result = order(Resequencer(), [10, 11, 10, 11])
    assert (result.emitted.tolist(), result.duplicates) == ([0, 1], 2)


def test_missing_numbers_are_counted_once_each_run() -> None:
    resequencer = Resequencer()
    order(resequencer, [10, 12, 15])
    assert (resequencer.received, resequencer.lost) == (3, 3)
    order(resequencer, [90, 92], run=1)
    assert (resequencer.received, resequencer.lost) == (5, 4)


def test_the_latest_hundred_numbers_wait_for_those_before_them() -> None:
    resequencer = Resequencer()
    result = order(resequencer, range(1000, 1300), flush=False)
    assert (len(result.emitted), len(result.held)) == (200, 100)
    assert result.held.tolist() == list(range(200, 300))


def test_held_packets_given_again_meet_their_latecomers() -> None:
    resequencer = Resequencer()
    numbers = [n for n in range(1000, 1300) if n != 1250]
    first = order(resequencer, numbers, flush=False)
    again = [numbers[n] for n in first.held] + [1250, 1300]
    result = order(resequencer, again)
    assert [again[n] for n in result.emitted] == list(range(1200, 1301))
    assert (result.overdue, resequencer.lost) == (0, 0)


def test_an_overdue_packet_is_emitted_at_the_front_and_no_longer_lost() -> None:
    resequencer = Resequencer()
    order(resequencer, [n for n in range(1000, 1300) if n != 1020])
    assert resequencer.lost == 1
    result = order(resequencer, [1300, 1020])
    assert (result.emitted.tolist(), result.overdue, resequencer.lost) == ([1, 0], 1, 0)


def test_an_overdue_duplicate_is_dropped() -> None:
    resequencer = Resequencer()
    order(resequencer, range(1000, 1300))
    result = order(resequencer, [1300, 1020])
    assert (result.emitted.tolist(), result.duplicates) == ([0], 1)


def test_a_packet_of_the_cycle_before_is_a_duplicate() -> None:
    resequencer = Resequencer()
    order(resequencer, range(0, 140_000, 2))
    assert order(resequencer, [3]).duplicates == 1


def test_a_packet_from_before_the_first_lowers_the_base() -> None:
    resequencer = Resequencer()
    order(resequencer, [100, 101])
    order(resequencer, [97])
    assert resequencer.lost == 2


def test_a_cycle_later_a_number_is_not_mistaken_for_its_predecessor() -> None:
    resequencer = Resequencer()
    order(resequencer, [n for n in range(0, 66_000) if n != 65_900])
    assert order(resequencer, [65_900]).overdue == 1


def test_a_run_that_ended_holds_nothing_back() -> None:
    runs = np.array([0, 0, 1, 1], np.int32)
    result = Resequencer().order(runs, np.array([5, 6, 900, 901]), flush=False)
    assert (result.emitted.tolist(), result.held.tolist()) == ([0, 1], [2, 3])


def test_no_packets_are_ordered_as_none() -> None:
    result = order(Resequencer(), [], flush=False)
    assert (len(result.emitted), len(result.held), result.duplicates, result.overdue) == (0, 0, 0, 0)
