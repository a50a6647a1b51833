"""The writer as a process: what was sent is what is on disk."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from media.container import Capture, Foreign, Source, Streams, read_capture
from media.writer.protocol import Codec, RefusalReason, Refused, Reply, StreamSpec
from tests.failover.chaos.faults import stopped
from tests.integration.media_writer_kit import (
    LIMIT_S,
    SOURCES,
    Frontend,
    Ports,
    Sender,
    Writer,
    capture_at,
    new_session,
    packets_of,
    rtcp_report,
    rtp,
    running_writer,
    stream,
)
from tests.kit.running import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def writer(tmp_path: Path, source: str) -> Iterator[Writer]:
    with running_writer(tmp_path, arena_path=str(tmp_path / "arena"), source=source) as found:
        yield found


@pytest.fixture
def frontend(writer: Writer) -> Iterator[Frontend]:
    found = writer.frontend()
    yield found
    found.disconnect()


def refusal(reply: Reply) -> RefusalReason:
    assert isinstance(reply, Refused), reply
    return reply.reason


def recorded_from(capture: Capture) -> int:
    """Wall clock of the first packet."""
    return min(int(batch.records["arrival_ns"].min()) for batch in capture.packets())


def test_every_packet_sent_is_in_the_capture_byte_for_byte(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream(0), stream(1))
    caller, callee = senders(ssrc=1), senders(ssrc=2)
    before = time.time_ns()
    for sequence in range(200):
        caller.send(opened.ports[0], sequence)
        callee.send(opened.ports[1], sequence, size=sequence)
    frontend.until_packets(400)
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert capture.complete
    assert packets_of(capture, 0) == caller.sent
    assert packets_of(capture, 1) == callee.sent
    assert before <= recorded_from(capture) <= time.time_ns()
    assert capture.session.descriptor == {"call": session}
    assert capture.session.streams[0].payload_types[0].name == "PCMU"
    assert closed.capture_path == opened.capture_path
    assert [(one.packets, one.octets) for one in closed.streams] == [
        (200, sum(map(len, caller.sent))),
        (200, sum(map(len, callee.sent))),
    ]


def test_the_last_packet_received_before_a_bye_is_the_last_packet_on_disk(
    frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    port = 0
    for _ in range(10):
        session = new_session()
        opened = frontend.open(session, stream(port=port))
        port = opened.ports[0]
        sender = senders()
        sender.send(opened.ports[0], *range(7))
        closed = frontend.close_session(session)  # at once: no visit may have come between
        assert packets_of(capture_at(closed.capture_path)) == sender.sent


def test_the_session_block_is_on_disk_when_the_session_is_opened(frontend: Frontend) -> None:
    session = new_session()
    opened = frontend.open(session, stream(0, label="caller", remote_host="192.0.2.1", remote_port=4000))
    capture = capture_at(opened.capture_path)
    assert capture.session.session == session
    assert (capture.session.writer, capture.session.host) == ("w1", "127.0.0.1")
    assert capture.session.streams[0].port == opened.ports[0]
    assert capture.session.streams[0].label == "caller"
    assert not capture.complete


def test_nothing_of_a_paused_stream_reaches_the_disk(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream())
    sender = senders()
    kept = sender.send(opened.ports[0], *range(10))
    frontend.modify(session, stream(recording=False), cause="pause")
    secret = sender.send(opened.ports[0], *range(10, 40), fill=0x5EC2E7)
    time.sleep(0.2)  # several visits while paused
    secret += sender.send(opened.ports[0], *range(40, 50), fill=0x5EC2E7)
    frontend.modify(session, stream(), cause="resume")
    kept += sender.send(opened.ports[0], *range(50, 60))
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert packets_of(capture) == kept
    assert closed.streams[0].paused == len(secret)
    assert struct.pack(">I", 0x5EC2E7) not in capture.path.read_bytes()
    changes = [event for event in capture.events if isinstance(event, Streams)]
    assert [(one.cause, one.streams[0].recording) for one in changes] == [("pause", False), ("resume", True)]


@pytest.mark.parametrize("size", [160, 800], ids=["short", "long"])
def test_nothing_of_a_paused_stream_is_left_in_any_memory(
    tmp_path: Path, writer: Writer, frontend: Frontend, senders: Callable[..., Sender], size: int
) -> None:
    session = new_session()
    opened = frontend.open(session, stream())
    sender = senders()
    spoken, secret = os.urandom(size), os.urandom(size)
    sender.send_raw(opened.ports[0], rtp(1)[:12] + spoken)
    frontend.until_packets(1)
    frontend.modify(session, stream(recording=False), cause="pause")
    for sequence in range(2, 42):
        sender.send_raw(opened.ports[0], rtp(sequence)[:12] + secret)
    deadline = time.monotonic() + LIMIT_S
    while frontend.list().sessions[0].streams[0].paused < 40:
        assert time.monotonic() < deadline, "the packets of the pause were not taken"
    places = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert Path(opened.capture_path) in places
    assert tmp_path / "arena" in places
    pieces = secret[:32], secret[size // 2 :][:32], secret[-32:]
    # The kernel queues a long packet before it has finished its frame in the ring: the next visit blanks that one.
    while remembered := writer.remembers(*pieces):
        assert time.monotonic() < deadline, remembered
    for path in places:
        assert not any(piece in path.read_bytes() for piece in pieces), path
    # The search finds what is there.
    assert writer.remembers(session.encode())
    assert spoken in Path(opened.capture_path).read_bytes()


def test_a_session_that_begins_inactive_records_from_its_resumption(
    frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    session = new_session()
    opened = frontend.open(session, stream(recording=False))
    sender = senders()
    sender.send(opened.ports[0], 1, 2)
    frontend.modify(session, stream(), cause="resume")
    kept = sender.send(opened.ports[0], 3)
    assert packets_of(capture_at(frontend.close_session(session).capture_path)) == kept


def test_a_foreign_source_and_garbage_are_kept_out_and_counted(
    frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    session = new_session()
    sender, stranger = senders(), senders(host="127.0.0.9", ssrc=0xBAD)
    opened = frontend.open(session, stream(remote_host="127.0.0.1", remote_port=sender.port))
    for sequence in range(20):
        sender.send(opened.ports[0], sequence)
        stranger.send(opened.ports[0], sequence)
        sender.send_raw(opened.ports[0], b"\x00" * sequence)
    frontend.until_packets(20)
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert packets_of(capture) == sender.sent
    assert (closed.streams[0].foreign, closed.streams[0].malformed) == (20, 20)
    told = [event for event in capture.events if isinstance(event, Foreign)]
    assert [(one.host, one.port) for one in told] == [("127.0.0.9", stranger.port)]


def test_where_the_sdp_names_a_private_address_the_first_sender_is_learned_and_strangers_are_kept_out(
    frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    session = new_session()
    behind_nat, stranger = senders(), senders(host="127.0.0.9", ssrc=0xBAD)
    opened = frontend.open(session, stream(remote_host="10.1.2.3", remote_port=4000))
    behind_nat.send(opened.ports[0], 0)
    frontend.until_packets(1)
    for sequence in range(1, 30):
        stranger.send(opened.ports[0], sequence)
        behind_nat.send(opened.ports[0], sequence)
    frontend.until_packets(30)
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert packets_of(capture) == behind_nat.sent
    assert closed.streams[0].foreign == 29
    learned = [event for event in capture.events if isinstance(event, Source)]
    assert [(one.host, one.port, one.cause) for one in learned] == [("127.0.0.1", behind_nat.port, "learned")]
    assert [event.host for event in capture.events if isinstance(event, Foreign)] == ["127.0.0.9"]


def test_an_announced_move_is_followed_at_once(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    old, new = senders(), senders(host="127.0.0.2")
    opened = frontend.open(session, stream(remote_host="127.0.0.1", remote_port=old.port))
    kept = old.send(opened.ports[0], 1, 2)
    frontend.until_packets(2)
    frontend.modify(session, stream(remote_host="127.0.0.2", remote_port=new.port))
    kept += old.send(opened.ports[0], 3) + new.send(opened.ports[0], 4, 5)
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert packets_of(capture) == kept
    causes = [event.cause for event in capture.events if isinstance(event, Source)]
    assert causes == ["announced", "moved"]


def test_streams_are_added_and_removed_in_the_middle(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream(0))
    one, two = senders(ssrc=1), senders(ssrc=2)
    one.send(opened.ports[0], 1)
    modified = frontend.modify(session, stream(0), stream(3))
    assert modified.ports[0] == opened.ports[0]
    two.send(modified.ports[3], 1)
    one.send(opened.ports[0], 2)
    frontend.modify(session, stream(3))
    two.send(modified.ports[3], 2)
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert (packets_of(capture, 0), packets_of(capture, 3)) == (one.sent, two.sent)
    assert {report.index: report.packets for report in closed.streams} == {0: 2, 3: 2}


def test_a_change_that_needs_a_port_too_many_changes_nothing(
    frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    session = new_session()
    opened = frontend.open(session, stream(0))
    reply = frontend.try_modify(session, *(stream(index) for index in range(1, 5)))
    assert refusal(reply) is RefusalReason.NO_FREE_PORT
    sender = senders()
    sender.send(opened.ports[0], 1)
    closed = frontend.close_session(session)
    assert packets_of(capture_at(closed.capture_path)) == sender.sent


def test_rtcp_is_kept_apart(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream())
    sender = senders()
    sender.send(opened.ports[0], 1)
    sender.send_raw(opened.ports[0] + 1, rtcp_report(1))
    sender.send_raw(opened.ports[0], rtcp_report(2))
    closed = frontend.close_session(session)
    capture = capture_at(closed.capture_path)
    assert packets_of(capture) == sender.sent
    found = [batch.packet(one) for batch in capture.rtcp() for one in range(len(batch.records))]
    assert sorted(found) == sorted([rtcp_report(1), rtcp_report(2)])


def test_a_repeated_command_is_answered_as_the_first_time(frontend: Frontend) -> None:
    session = new_session()
    first = frontend.open(session, stream())
    again = frontend.open(session, stream())
    assert (again.ports, again.capture_path) == (first.ports, first.capture_path)
    assert refusal(frontend.try_open(session, stream(), stream(1))) is RefusalReason.SESSION_EXISTS
    closed = frontend.close_session(session)
    repeated = frontend.close_session(session)
    assert (repeated.capture_path, repeated.streams) == (closed.capture_path, closed.streams)
    assert refusal(frontend.try_open(session, stream())) is RefusalReason.SESSION_EXISTS
    assert len(list(Path(closed.capture_path).parent.iterdir())) == 1


def test_one_session_is_listed_without_the_others(frontend: Frontend) -> None:
    sessions = [new_session() for _ in range(3)]
    for session in sessions:
        frontend.open(session, stream())
    assert {one.session for one in frontend.list().sessions} == set(sessions)
    assert [one.session for one in frontend.list(sessions[1]).sessions] == [sessions[1]]
    assert frontend.list(new_session()).sessions == []


def test_a_stale_epoch_can_do_nothing(writer: Writer, frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream())
    newer = writer.frontend(epoch=2)
    assert [one.session for one in newer.list().sessions] == [session]
    assert refusal(frontend.try_close(session)) is RefusalReason.STALE_EPOCH
    assert refusal(frontend.try_open(new_session(), stream())) is RefusalReason.STALE_EPOCH
    sender = senders()
    sender.send(opened.ports[0], 1)
    assert packets_of(capture_at(newer.close_session(session).capture_path)) == sender.sent
    newer.disconnect()


def test_capture_goes_on_without_any_frontend(writer: Writer, senders: Callable[..., Sender]) -> None:
    session = new_session()
    first = writer.frontend()
    opened = first.open(session, stream())
    sender = senders()
    sender.send(opened.ports[0], 1, 2)
    first.disconnect()
    sender.send(opened.ports[0], 3, 4)
    path = Path(opened.capture_path)
    deadline = time.monotonic() + LIMIT_S
    while read_capture(path).packet_count < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = writer.frontend(epoch=2)
    closed = second.close_session(session)
    assert packets_of(capture_at(closed.capture_path)) == sender.sent
    second.disconnect()


@pytest.mark.parametrize(
    ("session", "streams"),
    [
        ("../../etc/passwd", [stream()]),
        ("A" * 32, [stream()]),
        ("0" * 31, [stream()]),
        ("0" * 32, []),
        ("0" * 32, [stream(1), stream(1)]),
        ("0" * 32, [stream(index) for index in range(65)]),
        ("0" * 32, [stream(70000)]),
        ("0" * 32, [stream(payload_types={200: Codec(name="X", clock_rate=1)})]),
    ],
)
def test_values_out_of_range_are_refused(frontend: Frontend, session: str, streams: list[StreamSpec]) -> None:
    assert refusal(frontend.try_open(session, *streams)) is RefusalReason.MALFORMED
    assert frontend.list().sessions == []


def test_a_descriptor_that_json_cannot_hold_is_refused_and_leaves_no_file(writer: Writer, frontend: Frontend) -> None:
    session = new_session()
    reply = frontend.try_open(session, stream(), descriptor={"call": msgspec.msgpack.Ext(1, b"x")})
    assert refusal(reply) is RefusalReason.MALFORMED
    assert list(writer.capture_dir.rglob("*.tcap")) == []
    assert frontend.heartbeat().free_ports == 4


def test_an_unknown_command_is_refused_and_nonsense_is_hung_up_on(writer: Writer, frontend: Frontend) -> None:
    body = msgspec.msgpack.encode({"type": "dance", "request": 4242})
    frontend.post_raw(struct.pack("!I", len(body)) + body)
    assert refusal(frontend.wait(4242)) is RefusalReason.MALFORMED
    frontend.post_raw(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    with pytest.raises(ConnectionError):
        frontend.wait(4243)
    other = writer.frontend()
    assert other.list().sessions == []
    other.disconnect()


def test_unknown_sessions_and_ports_are_refused(writer: Writer, frontend: Frontend) -> None:
    assert refusal(frontend.try_close(new_session())) is RefusalReason.UNKNOWN_SESSION
    assert refusal(frontend.try_modify(new_session(), stream())) is RefusalReason.UNKNOWN_SESSION
    assert refusal(frontend.try_open(new_session(), stream(port=9))) is RefusalReason.PORT_TAKEN
    wanted = writer.ports.pairs[2][0]
    assert frontend.open(new_session(), stream(port=wanted)).ports == {0: wanted}
    assert refusal(frontend.try_open(new_session(), stream(port=wanted))) is RefusalReason.PORT_TAKEN


def test_ports_run_out_rest_and_come_back(frontend: Frontend) -> None:
    session = new_session()
    frontend.open(session, *(stream(index) for index in range(4)))
    assert frontend.heartbeat().free_ports == 0
    assert refusal(frontend.try_open(new_session(), stream())) is RefusalReason.NO_FREE_PORT
    frontend.close_session(session)
    assert refusal(frontend.try_open(new_session(), stream())) is RefusalReason.NO_FREE_PORT
    deadline = time.monotonic() + LIMIT_S
    while frontend.heartbeat().free_ports < 4:
        assert time.monotonic() < deadline
    frontend.open(new_session(), stream())


def test_what_waits_in_an_idle_port_is_not_the_next_call_s(
    writer: Writer, frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    late, now = senders(ssrc=0x01D), senders(ssrc=2)
    for port, _, _ in writer.ports.pairs:
        late.send(port, *range(20))
    session = new_session()
    opened = frontend.open(session, stream())
    now.send(opened.ports[0], 1)
    assert packets_of(capture_at(frontend.close_session(session).capture_path)) == now.sent


def test_a_flood_on_one_port_does_not_starve_another(frontend: Frontend, senders: Callable[..., Sender]) -> None:
    session = new_session()
    opened = frontend.open(session, stream(0), stream(1))
    flooder, caller = senders(ssrc=1), senders(ssrc=2)
    for sequence in range(100):
        for _ in range(30):
            flooder.send_raw(opened.ports[0], b"\x00" * 160)
        caller.send(opened.ports[1], sequence)
    frontend.until_packets(100)
    closed = frontend.close_session(session)
    assert packets_of(capture_at(closed.capture_path), 1) == caller.sent
    flooded = closed.streams[0]
    assert flooded.malformed + flooded.kernel_drops == 3000


def test_heartbeats_come_from_the_loop_and_stop_with_it(writer: Writer, frontend: Frontend) -> None:
    first, second = frontend.heartbeat(), frontend.heartbeat()
    assert second.progress > first.progress
    assert (second.writer, second.sessions, second.failed) == ("w1", 0, "")
    assert second.free_bytes > 0
    assert second.cpu_seconds >= first.cpu_seconds
    assert writer.process is not None
    pid = writer.process.pid
    writer.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: stopped(pid), limit_s=LIMIT_S, what="the end of its work")
        frontend.pump(0)
        stale = len(frontend.heartbeats)
        frontend.pump(0.5)
        assert len(frontend.heartbeats) == stale
    finally:
        writer.process.send_signal(signal.SIGCONT)
    assert frontend.heartbeat().progress > second.progress


def test_an_orderly_stop_ends_every_capture_and_says_why(
    writer: Writer, frontend: Frontend, senders: Callable[..., Sender]
) -> None:
    session = new_session()
    opened = frontend.open(session, stream())
    sender = senders()
    sender.send(opened.ports[0], *range(5))
    assert writer.stop() == 0
    capture = capture_at(opened.capture_path)
    assert capture.complete
    assert capture.end is not None
    assert capture.end.cause == "writer-stopped"
    assert packets_of(capture) == sender.sent


def test_two_writers_share_a_capture_directory(tmp_path: Path, senders: Callable[..., Sender]) -> None:
    with running_writer(tmp_path, ports=2) as one:
        other = Writer(tmp_path, Ports.bind(2), name="w2")
        try:
            other.start()
            for writer in (one, other):
                frontend = writer.frontend()
                session = new_session()
                opened = frontend.open(session, stream())
                sender = senders()
                sender.send(opened.ports[0], *range(9))
                capture = capture_at(frontend.close_session(session).capture_path)
                assert packets_of(capture) == sender.sent
                assert capture.session.writer == writer.name
                frontend.disconnect()
        finally:
            other.close()
            other.ports.close()
