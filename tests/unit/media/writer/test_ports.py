"""Ports rest after use, and a predecessor's wait for their sessions."""

from __future__ import annotations

from media.writer.ports import PortAllocator


def test_each_port_is_given_once() -> None:
    ports = PortAllocator(3, 5.0)
    assert [ports.take(0.0) for _ in range(4)] == [0, 1, 2, None]


def test_a_used_port_rests_and_the_longest_unused_is_given_first() -> None:
    ports = PortAllocator(2, 5.0)
    assert ports.take(0.0) == 0
    ports.release(0, 10.0)
    assert ports.take(10.0) == 1
    assert ports.take(14.9) is None
    assert ports.available(15.0) == 1
    assert ports.take(15.0) == 0


def test_a_port_can_be_taken_by_number_also_while_it_rests() -> None:
    ports = PortAllocator(2, 5.0)
    assert ports.take_exactly(1)
    assert not ports.take_exactly(1)
    ports.release(1, 0.0)
    assert ports.take_exactly(1)
    assert not ports.take_exactly(7)


def test_an_old_rest_does_not_shorten_a_new_one() -> None:
    ports = PortAllocator(1, 5.0)
    assert ports.take_exactly(0)
    ports.release(0, 0.0)
    assert ports.take_exactly(0)
    ports.release(0, 4.0)
    assert ports.take(5.0) is None
    assert ports.take(9.0) == 0


def test_a_reserved_port_goes_to_who_names_it_or_to_anybody_later() -> None:
    ports = PortAllocator(2, 5.0)
    ports.reserve(0, 30.0)
    ports.reserve(1, 30.0)
    assert ports.take(29.9) is None
    assert ports.take_exactly(1)
    assert ports.take(30.0) == 0
    assert ports.take(30.0) is None


def test_a_port_given_back_is_free_at_once() -> None:
    ports = PortAllocator(1, 5.0)
    assert ports.take(0.0) == 0
    ports.give_back(0)
    assert ports.take(0.0) == 0
