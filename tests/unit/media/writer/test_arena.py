"""Receiving into the arena, and what a successor finds there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.errors import LocalError, LostError
from media.writer.arena import PER_CALL, RTCP_BIT, SLOTS, Arena, Discarder
from media.writer.kernel import MSG_TRUNC, prepare_socket
from media.writer.slots import HEAD, MAX_DATAGRAM, Slots
from tests.integration.media_writer_kit import delivering


class Pair:
    """A receiving socket and one that sends to it."""

    def __init__(self) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        prepare_socket(self.receiver)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect(self.receiver.getsockname())

    @property
    def fd(self) -> int:
        return self.receiver.fileno()

    def send(self, *packets: bytes) -> None:
        with delivering():
            for packet in packets:
                self.sender.send(packet)

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    found = [Pair() for _ in range(3)]
    yield found
    for pair in found:
        pair.close()


def note(arena: Arena, *ports: int) -> None:
    arena.note(np.array(ports, np.uint32))


def contents(datagrams: Slots) -> list[bytes]:
    return [
        (datagrams.heads[slot].tobytes() + datagrams.rests[slot].tobytes())[: int(datagrams.messages["length"][slot])]
        for slot in range(len(datagrams))
    ]


def test_datagrams_come_socket_by_socket_with_source_and_time(pairs: list[Pair]) -> None:
    arena = Arena(None, 3)
    pairs[0].send(b"a", b"bb")
    pairs[2].send(bytes(range(256)) * 5)
    note(arena, 1, 2, 3)
    assert arena.fill([pair.fd for pair in pairs], 0) == 3
    assert arena.counts(0, 3).tolist() == [2, 0, 1]
    found = arena.filled()
    assert contents(found) == [b"a", b"bb", bytes(range(256)) * 5]
    port = int.from_bytes(found.name(2)[2:4], "big")
    assert port == pairs[2].sender.getsockname()[1]
    assert (found.messages["control_length"] == 32).all()
    assert (found.controls[:, 2] > 1_700_000_000).all()


def test_a_socket_gives_a_call_s_worth_and_the_rest_at_its_next_turn(pairs: list[Pair]) -> None:
    arena = Arena(None, 3)
    packets = [bytes([number]) for number in range(PER_CALL + 5)]
    pairs[0].send(*packets)
    note(arena, 1)
    arena.fill([pairs[0].fd], 0)
    first = contents(arena.filled())
    arena.give_back()
    arena.fill([pairs[0].fd], 0)
    assert first + contents(arena.filled()) == packets
    assert len(first) == PER_CALL


def test_a_full_arena_stops_in_front_of_the_next_socket() -> None:
    turns = SLOTS // PER_CALL + 2
    many = [Pair() for _ in range(turns)]
    arena = Arena(None, turns)
    for pair in many:
        pair.send(*[b"x"] * PER_CALL)
    note(arena, *range(turns))
    stops, taken, first = [], 0, 0
    while first < turns:
        stop = arena.fill([pair.fd for pair in many], first)
        taken += int(arena.counts(first, stop).sum())
        arena.give_back()
        stops.append(stop)
        first = stop
    assert stops == [SLOTS // PER_CALL, turns]
    assert taken == turns * PER_CALL
    for pair in many:
        pair.close()


def test_a_datagram_above_the_limit_is_cut_and_says_so(pairs: list[Pair]) -> None:
    arena = Arena(None, 1)
    pairs[0].send(bytes(MAX_DATAGRAM), bytes(MAX_DATAGRAM + 1))
    note(arena, 1)
    arena.fill([pairs[0].fd], 0)
    found = arena.filled()
    assert found.messages["length"].tolist() == [MAX_DATAGRAM, MAX_DATAGRAM]
    assert (found.messages["flags"] & MSG_TRUNC).astype(bool).tolist() == [False, True]


def test_a_closed_descriptor_is_lost_not_silent(pairs: list[Pair]) -> None:
    arena = Arena(None, 1)
    note(arena, 1)
    fd = pairs[0].fd
    pairs[0].receiver.close()
    with pytest.raises(LostError, match="Bad file descriptor"):
        arena.fill([fd], 0)


def test_a_successor_saves_what_was_read_and_not_given_back(pairs: list[Pair], tmp_path: Path) -> None:
    path = tmp_path / "arena"
    arena = Arena(path, 3)
    assert not arena.inherited
    pairs[0].send(b"old")
    note(arena, 4000, 4002)
    arena.fill([pairs[0].fd, pairs[1].fd], 0)
    arena.give_back()
    long = bytes(range(200)) * 3
    pairs[0].send(b"one", long)
    pairs[2].send(b"report")
    note(arena, 4000, 4002, 4004 | RTCP_BIT)
    arena.fill([pair.fd for pair in pairs], 0)
    arena.close()  # as the kernel does at kill -9
    successor = Arena(path, 3)
    assert successor.inherited
    found = {port: [contents(run) for run in runs] for port, runs in successor.recovered.items()}
    assert found == {4000: [[b"one", long]], 4004 | RTCP_BIT: [[b"report"]]}
    third = Arena(path.with_name("other"), 3)
    assert third.recovered == {}


def test_a_successor_finds_nothing_where_everything_was_given_back(pairs: list[Pair], tmp_path: Path) -> None:
    arena = Arena(tmp_path / "arena", 1)
    pairs[0].send(b"one")
    note(arena, 4000)
    arena.fill([pairs[0].fd], 0)
    arena.give_back()
    arena.close()
    assert Arena(tmp_path / "arena", 1).recovered == {}


def test_a_second_part_of_a_visit_is_not_taken_for_the_first(pairs: list[Pair], tmp_path: Path) -> None:
    """The first sockets were given back already; their ports must not get the packets of later ones."""
    arena = Arena(tmp_path / "arena", 3)
    pairs[0].send(b"zero")
    pairs[2].send(b"two")
    fds = [pair.fd for pair in pairs]
    note(arena, 4000, 4002, 4004)
    assert arena.fill(fds[:2], 0) == 2
    arena.give_back()
    arena.fill(fds, 2)
    arena.close()
    recovered = Arena(tmp_path / "arena", 3).recovered
    assert {port: contents(runs[0]) for port, runs in recovered.items()} == {4004: [b"two"]}


def test_busy_ports_and_told_drops_are_inherited(tmp_path: Path) -> None:
    arena = Arena(tmp_path / "arena", 2)
    arena.busy[1] = 1
    arena.told_drops[1, 0] = 77
    arena.close()
    successor = Arena(tmp_path / "arena", 2)
    assert successor.busy.tolist() == [0, 1]
    assert successor.told_drops.tolist() == [[0, 0], [77, 0]]
    successor.close()
    other_range = Arena(tmp_path / "arena", 5)
    assert (other_range.inherited, other_range.busy.tolist()) == (False, [0] * 5)


def test_two_live_writers_cannot_share_an_arena(tmp_path: Path) -> None:
    arena = Arena(tmp_path / "arena", 1)
    with pytest.raises(LocalError, match="another running writer"):
        Arena(tmp_path / "arena", 1)
    arena.close()


def test_a_place_that_cannot_be_used_costs_the_safety_net_only(
    pairs: list[Pair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arena = Arena(tmp_path / "missing" / "arena", 1)
    assert "no shared memory" in caplog.text
    pairs[0].send(b"one")
    note(arena, 1)
    arena.fill([pairs[0].fd], 0)
    assert contents(arena.filled()) == [b"one"]


def test_a_file_of_garbage_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "arena"
    path.write_bytes(b"\xff" * 10_000_000)
    arena = Arena(path, 1)
    assert (arena.inherited, arena.recovered) == (False, {})


def test_discarding_empties_a_socket_and_counts(pairs: list[Pair]) -> None:
    pairs[0].send(*[bytes(HEAD)] * 70)
    discarder = Discarder()
    assert discarder.discard(pairs[0].fd, 1000) == 70
    assert discarder.discard(pairs[0].fd, 1000) == 0
    pairs[0].send(*[b"x"] * (2 * PER_CALL + 1))
    assert discarder.discard(pairs[0].fd, 10) == PER_CALL
