"""Serial arithmetic of RTP numbers, exact values."""

import numpy as np
import pytest

from media.rtp.sequence import (
    extend_sequence_numbers,
    extend_timestamps,
    nearest_extended,
    sequence_steps,
    signed_distance,
)


def u16(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.array(numbers, np.uint16)


def u32(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(numbers, np.uint32)


def test_steps_are_taken_the_nearer_way_round() -> None:
    assert sequence_steps(u16(65535, 0, 1, 65534, 32766), 65534).tolist() == [1, 1, 1, -3, -32768]


def test_steps_take_an_extended_previous_number() -> None:
    assert sequence_steps(u16(2), 3 * 65536 + 1).tolist() == [1]


def test_steps_of_nothing_are_nothing() -> None:
    assert sequence_steps(u16(), 7).tolist() == []


def test_sequence_numbers_go_on_through_the_wrap() -> None:
    assert extend_sequence_numbers(u16(65534, 65535, 0, 1), 65533).tolist() == [65534, 65535, 65536, 65537]


def test_reordering_around_the_wrap_costs_no_cycle() -> None:
    assert extend_sequence_numbers(u16(65535, 1, 0, 65534, 2), 65533).tolist() == [65535, 65537, 65536, 65534, 65538]


def test_a_packet_from_before_the_first_one_lies_below_it() -> None:
    assert extend_sequence_numbers(u16(0, 65535), 65536).tolist() == [65536, 65535]


def test_two_cycles_are_counted() -> None:
    numbers = (np.arange(0, 140_000, 7) % 65536).astype(np.uint16)
    assert extend_sequence_numbers(numbers, 0).tolist() == list(range(0, 140_000, 7))


def test_timestamps_go_on_through_the_wrap() -> None:
    assert extend_timestamps(u32(2**32 - 160, 0, 160), 2**32 - 320).tolist() == [2**32 - 160, 2**32, 2**32 + 160]


def test_a_reordered_timestamp_at_the_wrap_is_no_jump_of_a_whole_cycle() -> None:
    assert extend_timestamps(u32(0, 2**32 - 160, 160), 2**32 - 160).tolist() == [2**32, 2**32 - 160, 2**32 + 160]


def test_a_wrong_timestamp_harms_only_itself() -> None:
    extended = extend_timestamps(u32(1000, 0x90000000, 1160), 1000)
    assert (extended[0], extended[2]) == (1000, 1160)


@pytest.mark.parametrize(
    ("number", "expected", "found"),
    [(5, 5, 5), (5, 65536 + 9, 65541), (65535, 65536, 65535), (0, 3 * 65536 - 1, 3 * 65536), (32768, 0, -32768)],
)
def test_the_nearest_extended_number_is_found(number: int, expected: int, found: int) -> None:
    assert nearest_extended(number, expected) == found


@pytest.mark.parametrize(
    ("later", "earlier", "distance"), [(0, 2**32 - 1, 1), (2**32 - 1, 0, -1), (2**31, 0, -(2**31)), (7, 7, 0)]
)
def test_signed_distance_of_timestamps(later: int, earlier: int, distance: int) -> None:
    assert signed_distance(later, earlier) == distance
