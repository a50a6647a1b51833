"""Turns of groups: each once a round, one after another."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.writer.arena import RTCP_BIT
from media.writer.capture_file import CaptureFile
from media.writer.carousel import Carousel, sockets_of
from media.writer.config import PortPair
from media.writer.protocol import StreamSpec
from media.writer.sources import SourceLock
from media.writer.stream import LiveSession, LiveStream
from tests.unit.media.container.captures import session

Make = Callable[..., LiveSession]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    sockets: list[socket.socket] = []
    files: list[CaptureFile] = []

    def udp() -> socket.socket:
        sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        return sockets[-1]

    def build(slot: int, *, streams: int = 1, recording: bool = True) -> LiveSession:
        files.append(CaptureFile(tmp_path / f"{slot}.tcap", session()))
        live = LiveSession(identifier=str(slot), slot=slot, requested=[], file=files[-1], host="h", streams={})
        for index in range(streams):
            spec = StreamSpec(index=index, party=0, payload_types={}, recording=recording)
            pair = PortPair(20000 + 2 * (slot * 100 + index), udp(), udp(), "h")
            live.streams[index] = LiveStream(spec, slot * 100 + index, pair, socket.AF_INET, SourceLock(None))
        return live

    yield build
    for sock in sockets:
        sock.close()
    for file in files:
        file.close()


def round_of(carousel: Carousel, now: float) -> list[tuple[list[int], float]]:
    """The slots of each group in its turn, and the seconds since its last one."""
    carousel.begin()
    found = []
    while (due := carousel.due(now)) is not None:
        found.append((sorted(due[0].sessions), due[1]))
    return found


def test_without_sessions_a_round_has_no_turn() -> None:
    assert round_of(Carousel(), 100.0) == []


def test_before_a_round_has_begun_and_behind_its_last_turn_nobody_is_visited(make: Make) -> None:
    carousel = Carousel()
    carousel.add(make(1), now=10.0)
    assert carousel.due(10.0) is None
    assert round_of(carousel, 10.0) == [([1], 0.0)]
    assert carousel.due(11.0) is None


def test_every_turn_says_how_long_ago_the_last_one_of_its_group_was(make: Make) -> None:
    carousel = Carousel()
    carousel.add(make(1), now=10.0)
    assert round_of(carousel, 10.25) == [([1], 0.25)]
    assert round_of(carousel, 13.25) == [([1], 3.0)]


def test_sessions_share_a_group_until_it_is_full(make: Make) -> None:
    carousel = Carousel()
    for slot in range(7):
        carousel.add(make(slot, streams=64), now=0.0)
    assert [slots for slots, _ in round_of(carousel, 0.0)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_session_that_left_is_visited_no_more_and_its_place_is_used_again(make: Make) -> None:
    carousel = Carousel()
    first, second = make(1), make(2)
    carousel.add(first, now=0.0)
    carousel.add(second, now=0.0)
    carousel.remove(first)
    assert round_of(carousel, 0.0) == [([2], 0.0)]
    carousel.remove(second)
    assert round_of(carousel, 1.0) == []
    carousel.add(first, now=2.0)
    assert round_of(carousel, 2.5) == [([1], 0.5)]


def test_who_leaves_or_comes_during_a_round_disturbs_it_not(make: Make) -> None:
    carousel = Carousel()
    sessions = [make(slot, streams=200) for slot in range(4)]
    for live in sessions[:3]:
        carousel.add(live, now=0.0)
    carousel.begin()
    due = carousel.due(0.0)
    assert due is not None
    assert list(due[0].sessions) == [0]
    carousel.remove(sessions[1])
    carousel.add(sessions[3], now=0.0)
    due = carousel.due(0.0)
    assert due is not None
    assert list(due[0].sessions) == [3]
    due = carousel.due(0.0)
    assert due is not None
    assert list(due[0].sessions) == [2]
    assert carousel.due(0.0) is None


def test_streams_are_listed_by_what_is_done_with_them(make: Make) -> None:
    recorded, paused = make(1, streams=2), make(2, recording=False)
    rtp, rtcp, dropped = sockets_of(recorded, paused)
    assert rtp.rows.tolist() == [100, 101]
    assert rtp.noted.tolist() == [20200, 20202]
    assert rtp.fds == [stream.pair.rtp.fileno() for stream in recorded.streams.values()]
    assert rtcp.rows.tolist() == [100, 101, 200]
    assert (rtcp.noted & RTCP_BIT != 0).all()
    assert dropped == [(paused.streams[0].pair.rtp.fileno(), 200)]


def test_a_changed_session_is_listed_anew(make: Make) -> None:
    carousel = Carousel()
    live = make(1, streams=2)
    carousel.add(live, now=0.0)
    del live.streams[1]
    carousel.refresh(live)
    carousel.begin()
    due = carousel.due(0.0)
    assert due is not None
    assert due[0].rtp.rows.tolist() == [100]
