"""Turns of groups: spread, regular, and never in a hurry."""

from __future__ import annotations

import itertools
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


def test_nobody_to_visit_has_no_turn() -> None:
    carousel = Carousel(0.4)
    assert carousel.next_turn() is None
    assert carousel.due(100.0) is None


def test_a_session_is_visited_once_an_interval(make: Make) -> None:
    carousel = Carousel(0.4)
    carousel.add(make(1), now=10.0)
    turns = [step for step in range(30) if carousel.due(10.001 + step / 20) is not None]
    assert turns == [0, 8, 16, 24]


def test_a_late_visit_is_told_and_missed_ones_are_not_made_up_for(make: Make) -> None:
    carousel = Carousel(0.4)
    carousel.add(make(1), now=10.0)
    due = carousel.due(13.0)
    assert due is not None
    assert due[1] == 3.0
    assert carousel.due(13.0) is None
    assert carousel.next_turn() == 13.4


def test_sessions_share_a_group_until_it_is_full_and_groups_are_spread(make: Make) -> None:
    carousel = Carousel(0.4)
    for slot in range(7):
        carousel.add(make(slot, streams=64), now=0.0)
    visits = {}
    for step in range(400):
        due = carousel.due(step / 1000)
        if due is not None:
            visits[step] = sorted(due[0].sessions)
    assert sorted(visits.values()) == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(later - earlier > 50 for earlier, later in itertools.pairwise(sorted(visits)))


def test_a_session_that_left_is_visited_no_more_and_its_place_is_used_again(make: Make) -> None:
    carousel = Carousel(0.4)
    first, second = make(1), make(2)
    carousel.add(first, now=0.0)
    carousel.add(second, now=0.0)
    carousel.remove(first)
    due = carousel.due(0.0)
    assert due is not None
    assert list(due[0].sessions) == [2]
    carousel.remove(second)
    assert carousel.due(1.0) is None
    assert carousel.next_turn() is None
    carousel.add(first, now=2.0)
    assert carousel.due(3.0) is not None


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
    carousel = Carousel(0.4)
    live = make(1, streams=2)
    carousel.add(live, now=0.0)
    del live.streams[1]
    carousel.refresh(live)
    due = carousel.due(0.0)
    assert due is not None
    assert due[0].rtp.rows.tolist() == [100]
