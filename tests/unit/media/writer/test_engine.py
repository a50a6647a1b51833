"""Decisions that need a failing disk, a jumping clock or a late loop: the engine in this process, on real sockets."""

from __future__ import annotations

import errno
import select
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from media.container import Clock, Late, Streams, read_capture
from media.writer import syncing
from media.writer.config import PortPair, WriterConfig
from media.writer.engine import Engine
from media.writer.protocol import (
    CloseSession,
    Codec,
    ModifySession,
    OpenSession,
    RefusalReason,
    Refused,
    Reply,
    SessionClosed,
    SessionModified,
    SessionOpened,
    StreamSpec,
)

SPEC = StreamSpec(index=0, party=0, payload_types={0: Codec(name="PCMU", clock_rate=8000)})

PACKET = struct.pack("!BBHII", 0x80, 0, 1, 160, 7) + bytes(160)


class Clocks:
    """Monotonic and wall clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wall = 1_772_366_400_000_000_000

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += int(seconds * 1e9)


class Bench:
    def __init__(self, directory: Path, ports: int = 2, sessions: int = 3, **settings: object) -> None:
        self.clocks = Clocks()
        self.sockets: list[socket.socket] = []
        pairs = [PortPair(20000 + 2 * one, self._udp(), None, "127.0.0.1") for one in range(ports)]
        values: dict[str, object] = {"writer": "w1", "capture_dir": directory, "min_free_bytes": 0, **settings}
        self.engine = Engine(
            WriterConfig(**values),  # type: ignore[arg-type]
            pairs,
            max_sessions=sessions,
            clock=lambda: self.clocks.now,
            wall_ns=lambda: self.clocks.wall,
            uptime=lambda: self.clocks.now,
        )
        self.replies: list[Reply] = []
        self._number = 0

    def _udp(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.sockets.append(sock)
        return sock

    def _send(self, make: Callable[[int], OpenSession | CloseSession | ModifySession]) -> Reply:
        self._number += 1
        self.engine.handle(make(self._number), self.replies.append)
        while not self.replies:
            assert select.select([self.engine.syncer.fd], [], [], 10.0)[0], "no sync came back"
            self.engine.collect()
        return self.replies.pop()

    def open(self, session: str, *streams: StreamSpec) -> Reply:
        return self._send(
            lambda number: OpenSession(
                request=number, epoch=1, session=session, descriptor={}, streams=list(streams or [SPEC])
            )
        )

    def close(self, session: str) -> Reply:
        return self._send(lambda number: CloseSession(request=number, epoch=1, session=session, cause="bye"))

    def modify(self, session: str, *streams: StreamSpec) -> Reply:
        return self._send(
            lambda number: ModifySession(request=number, epoch=1, session=session, streams=list(streams), cause="test")
        )

    def round(self) -> int:
        """Make the round that is due; return its number of visits."""
        visits = 0
        while self.engine.visit():
            visits += 1
        return visits

    def synced(self) -> None:
        """A round, and the end of its sync."""
        self.round()
        assert select.select([self.engine.syncer.fd], [], [], 10.0)[0]
        self.engine.collect()

    def stop(self) -> None:
        self.engine.stop("test over")
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def broken_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(syncing, "sync_file_system", fail)
    monkeypatch.setattr("os.fsync", fail)


def name() -> str:
    return uuid.uuid4().hex


def opened(reply: Reply) -> SessionOpened:
    assert isinstance(reply, SessionOpened), reply
    return reply


def reason(reply: Reply) -> RefusalReason:
    assert isinstance(reply, Refused), reply
    return reply.reason


def test_an_error_of_the_periodic_sync_fails_the_writer(bench: Bench, broken_disk: None) -> None:
    del broken_disk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        session = name()
        opened(bench.open(session))
    bench.synced()
    assert "Input/output error" in bench.engine.failed
    assert [told.session for told in bench.engine.announcements()] == [session]
    assert bench.engine.announcements() == []
    assert bench.engine.next_turn() is None
    assert not bench.engine.visit()
    assert reason(bench.open(name())) is RefusalReason.DISK_FAILED
    assert reason(bench.modify(session, SPEC)) is RefusalReason.DISK_FAILED
    beat = bench.engine.heartbeat()
    assert (beat.failed, beat.free_ports) == (bench.engine.failed, 0)


def test_a_session_whose_first_block_is_not_durable_is_not_opened(bench: Bench, broken_disk: None) -> None:
    del broken_disk
    assert reason(bench.open(name())) is RefusalReason.DISK_FAILED
    assert bench.engine.failed


def test_a_capture_that_cannot_be_made_durable_is_not_reported_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = name()
    opened(bench.open(session))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    assert reason(bench.close(session)) is RefusalReason.DISK_FAILED
    assert bench.engine.failed


def test_a_sync_that_takes_long_is_not_joined_by_another(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(bench.engine.syncer, "sync_file_system", lambda fd, _: asked.append(fd))
    bench.round()
    bench.clocks.advance(0.5)
    bench.round()
    assert len(asked) == 1


def test_a_step_of_the_wall_clock_is_told_in_every_capture(bench: Bench) -> None:
    session = name()
    reply = opened(bench.open(session))
    bench.clocks.advance(1)
    bench.round()
    bench.clocks.wall += 3_600_000_000_000
    bench.round()
    bench.clocks.advance(1)
    bench.round()
    assert isinstance(bench.close(session), SessionClosed)
    steps = [event for event in read_capture(Path(reply.capture_path)).events if isinstance(event, Clock)]
    assert [event.step_ns for event in steps] == [3_600_000_000_000]


def test_a_step_is_told_before_anything_that_has_its_time_from_the_clock_after_it(bench: Bench) -> None:
    """Else a pause that began a moment after the step is put where no step has been."""
    session = name()
    reply = opened(bench.open(session))
    bench.clocks.advance(1)
    bench.clocks.wall -= 3_600_000_000_000
    assert isinstance(bench.modify(session, msgspec.structs.replace(SPEC, recording=False)), SessionModified)
    bench.clocks.wall += 1_800_000_000_000
    assert bench.engine.visit()
    assert isinstance(bench.close(session), SessionClosed)
    events = read_capture(Path(reply.capture_path)).events
    found = [event.step_ns if isinstance(event, Clock) else type(event) for event in events]
    assert found == [-3_600_000_000_000, Streams, 1_800_000_000_000]


def test_a_session_that_is_opened_after_a_step_knows_of_none(bench: Bench) -> None:
    opened(bench.open(name()))
    bench.clocks.wall += 3_600_000_000_000
    reply = opened(bench.open(name()))
    assert bench.round()
    assert not [one for one in read_capture(Path(reply.capture_path)).events if isinstance(one, Clock)]


def test_a_late_visit_is_told_in_the_captures_of_its_group(bench: Bench) -> None:
    session = name()
    reply = opened(bench.open(session))
    assert bench.round() == 1
    bench.clocks.advance(0.5)
    assert bench.round() == 1
    bench.clocks.advance(3.0)
    assert bench.round() == 1
    events = read_capture(Path(reply.capture_path)).events
    assert [round(event.stalled_ns / 1e9, 3) for event in events if isinstance(event, Late)] == [3.0]


def test_rounds_keep_their_pace_and_missed_ones_are_not_made_up_for(bench: Bench) -> None:
    opened(bench.open(name()))
    made = []
    for step, seconds in enumerate([0.0, 0.25, 0.25, 0.375, 0.125, 3.25, 0.125, 0.375]):
        bench.clocks.advance(seconds)
        if bench.round():
            made.append(step)
    assert made == [0, 2, 4, 5, 7]
    assert bench.engine.next_turn() == bench.clocks.now + 0.5


def test_a_sync_begins_when_every_session_has_been_visited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a power loss costs what came since the last round, and nothing that had come before it."""
    bench = Bench(tmp_path, ports=200, sessions=100)
    second = msgspec.structs.replace(SPEC, index=1)
    paths = [Path(opened(bench.open(name(), SPEC, second)).capture_path) for _ in range(100)]
    on_disk: list[int] = []
    monkeypatch.setattr(
        bench.engine.syncer,
        "sync_file_system",
        lambda *_: on_disk.append(sum(read_capture(path).packet_count for path in paths)),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for sock in bench.sockets:
            sender.sendto(PACKET, sock.getsockname())
    visits = bench.round()
    bench.stop()
    assert visits == 2
    assert on_disk == [200]


def test_captures_are_filed_under_the_utc_day_of_their_opening(bench: Bench) -> None:
    first = opened(bench.open(name()))
    bench.clocks.advance(12 * 3600)
    second = opened(bench.open(name()))
    days = [Path(reply.capture_path).parent.name for reply in (first, second)]
    assert days == ["2026-03-01", "2026-03-02"]


def test_admission_stops_before_descriptors_run_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ports=5)
    for _ in range(3):
        opened(bench.open(name()))
    reply = bench.open(name())
    assert reason(reply) is RefusalReason.NO_FREE_PORT
    assert "descriptor" in getattr(reply, "detail", "")
    bench.engine.stop("test over")
    for sock in bench.sockets:
        sock.close()


def test_a_moved_local_port_is_a_new_port_for_the_same_stream(bench: Bench) -> None:
    session = name()
    first = opened(bench.open(session))
    other = 20000 + 20002 - first.ports[0]
    moved = bench.modify(session, StreamSpec(index=0, party=0, payload_types=SPEC.payload_types, port=other))
    assert isinstance(moved, SessionModified)
    assert moved.ports == {0: other}
    closed = bench.close(session)
    assert isinstance(closed, SessionClosed)
    assert [report.port for report in closed.streams] == [first.ports[0], other]


def test_stopping_ends_what_is_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    reply = opened(bench.open(name()))
    bench.engine.stop("writer-stopped")
    for sock in bench.sockets:
        sock.close()
    capture = read_capture(Path(reply.capture_path))
    assert capture.end is not None
    assert capture.end.cause == "writer-stopped"
