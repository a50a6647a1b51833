"""A writer that stood still records nothing before it knows what was agreed meanwhile: the engine, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.container import read_capture
from media.writer.arena import Arena
from media.writer.protocol import ListSessions, Reply, SessionList, SettleSessions, StreamSpec
from media.writer.standstill import PATIENCE_S
from tests.integration.media_writer_kit import deliver, packets_of, rtp
from tests.unit.media.writer.test_engine import SPEC, Bench, name, opened

LIMIT_S = 0.5
AWAY_S = 0.6
PAUSED = StreamSpec(index=0, party=0, payload_types=SPEC.payload_types, recording=False)


class Site(Bench):
    """An engine of a site of several hosts, that knows everything at its start."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, standstill_s=LIMIT_S)
        self.settle()
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent: list[bytes] = []

    @property
    def standstill(self) -> int:
        replies: list[Reply] = []
        self.engine.handle(ListSessions(request=1, epoch=1), replies.append)
        (listed,) = replies
        assert isinstance(listed, SessionList)
        return listed.standstill

    def settle(self, *untold: str, number: int | None = None) -> None:
        replies: list[Reply] = []
        told = self.standstill if number is None else number
        self.engine.handle(SettleSessions(request=1, epoch=1, standstill=told, untold=list(untold)), replies.append)
        assert len(replies) == 1

    def send(self, port: int, *sequences: int) -> list[bytes]:
        packets = [rtp(one) for one in sequences]
        deliver(self.sender, self.sockets[(port - 20000) // 2].getsockname()[1], packets)
        self.sent += packets
        return packets

    def visits(self, count: int = 3) -> None:
        for _ in range(count):
            self.clocks.advance(0.4)
            self.engine.visit()

    def away(self) -> None:
        self.clocks.advance(AWAY_S)

    def close_all(self) -> None:
        self.engine.stop("test over")
        for sock in (*self.sockets, self.sender):
            sock.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close_all()


def heard(path: str) -> list[bytes]:
    return packets_of(read_capture(Path(path)))


def test_nothing_is_recorded_after_a_standstill_before_somebody_says_what_was_agreed(site: Site) -> None:
    session = name()
    reply = opened(site.open(session))
    site.send(reply.ports[0], 1, 2)
    site.visits()
    site.away()
    site.send(reply.ports[0], 3, 4)
    site.visits()
    assert heard(reply.capture_path) == site.sent[:2]
    assert site.engine.next_turn() is None
    assert site.engine.heartbeat().standstill == site.standstill == 2
    site.settle()
    site.visits()
    assert heard(reply.capture_path) == site.sent
    assert site.engine.heartbeat().standstill == 0


def test_a_session_that_the_writer_was_not_told_of_loses_what_waits_and_is_mute_until_it_is_told(site: Site) -> None:
    moved, stays = name(), name()
    first, second = opened(site.open(moved)), opened(site.open(stays))
    site.away()
    secret = site.send(first.ports[0], 1, 2)
    kept = site.send(second.ports[0], 5)
    site.settle(moved)
    site.visits()
    secret += site.send(first.ports[0], 3)
    site.visits()
    assert (heard(first.capture_path), heard(second.capture_path)) == ([], kept)
    site.modify(moved, SPEC)
    resumed = site.send(first.ports[0], 4)
    site.visits()
    assert heard(first.capture_path) == resumed
    capture = Path(first.capture_path).read_bytes()
    assert not [packet for packet in secret if packet[12:] in capture]


@pytest.mark.parametrize("streams", [[PAUSED], []], ids=["paused", "closed"])
def test_what_came_before_such_a_session_is_told_or_closed_is_not_drained_into_it(
    site: Site, streams: list[StreamSpec]
) -> None:
    session = name()
    reply = opened(site.open(session))
    site.away()
    site.send(reply.ports[0], 1, 2)
    site.settle(session)
    if streams:
        site.modify(session, *streams)
    site.close(session)
    capture = read_capture(Path(reply.capture_path))
    assert packets_of(capture) == []
    assert capture.end is not None
    assert [one.paused for one in capture.end.streams] == [2]


def test_what_is_said_of_an_earlier_standstill_does_not_release_what_came_during_the_next_one(site: Site) -> None:
    session = name()
    reply = opened(site.open(session))
    site.away()
    told = site.standstill
    site.away()
    site.send(reply.ports[0], 1)
    site.settle(number=told)
    site.visits()
    assert heard(reply.capture_path) == []
    site.settle()
    site.visits()
    assert heard(reply.capture_path) == site.sent


def test_when_nobody_says_anything_what_came_meanwhile_is_dropped_and_recording_goes_on(site: Site) -> None:
    session = name()
    reply = opened(site.open(session))
    site.away()
    site.send(reply.ports[0], 1, 2)
    site.visits(int(PATIENCE_S / 0.4) + 2)
    assert site.standstill == 0
    after = site.send(reply.ports[0], 3)
    site.visits()
    assert heard(reply.capture_path) == after


def test_an_orderly_end_before_anybody_has_said_anything_records_nothing_more(tmp_path: Path) -> None:
    site = Site(tmp_path)
    reply = opened(site.open(name()))
    site.away()
    site.send(reply.ports[0], 1)
    site.close_all()
    assert heard(reply.capture_path) == []


@pytest.mark.parametrize("untold", [False, True], ids=["kept", "dropped"])
def test_a_standstill_within_a_visit_keeps_back_what_it_reads(
    site: Site, monkeypatch: pytest.MonkeyPatch, untold: bool
) -> None:
    """The process is frozen between two system calls: what it reads next came while it was away."""
    session = name()
    reply = opened(site.open(session))
    fill: Callable[[Arena, list[int], int], int] = Arena.fill
    frozen: list[bool] = []

    def frozen_fill(arena: Arena, sockets: list[int], first: int) -> int:
        if not frozen:
            frozen.append(True)
            site.away()
            site.send(reply.ports[0], 1, 2)
        return fill(arena, sockets, first)

    monkeypatch.setattr(Arena, "fill", frozen_fill)
    site.visits()
    assert frozen
    assert heard(reply.capture_path) == []
    site.send(reply.ports[0], 3)
    site.settle(*[session] if untold else [])
    site.visits()
    assert heard(reply.capture_path) == ([] if untold else site.sent)


def test_a_writer_of_a_host_that_is_alone_asks_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    reply = opened(bench.open(name()))
    bench.clocks.advance(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deliver(sender, bench.sockets[(reply.ports[0] - 20000) // 2].getsockname()[1], [rtp(1)])
    bench.engine.visit()
    assert heard(reply.capture_path) == [rtp(1)]
    assert bench.engine.heartbeat().standstill == 0
    bench.engine.stop("test over")
    for sock in bench.sockets:
        sock.close()
