"""The sender's thread, table, reports and ports."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from recorder.simulator.conversation import load_conversation
from recorder.simulator.g711 import Law
from recorder.simulator.journal import PAUSED, SENT, Journal
from recorder.simulator.lateness import Lateness
from recorder.simulator.media_ports import NoPortsError, PortPair, open_ports
from recorder.simulator.rtp_sender import TICK_NS, RtpSender
from recorder.simulator.scenario import CallPlan, ScenarioOptions, plan_calls
from recorder.simulator.session_text import StreamTarget
from recorder.simulator.stream_table import StreamTable

HOST = "127.0.0.1"


def plans(calls: int = 1, seconds: float = 0.2) -> list[CallPlan]:
    return plan_calls(ScenarioOptions(calls=calls, seconds=seconds), started_at=datetime.now(UTC), run="r")


@contextmanager
def two_pairs() -> Iterator[list[PortPair]]:
    pairs = [open_ports(HOST), open_ports(HOST)]
    try:
        yield pairs
    finally:
        for pair in pairs:
            pair.close()


def toward(pairs: list[PortPair], *, active: bool = True) -> list[StreamTarget]:
    return [StreamTarget(HOST, pair.port, pair.port + 1, active) for pair in pairs]


def packets_at(pair: PortPair, count: int) -> list[bytes]:
    """Wait for so many packets and return all: a busy kernel delivers some time after they were sent."""
    pair.rtp.setblocking(False)
    deadline = time.monotonic() + 30
    found: list[bytes] = []
    while True:
        try:
            found.append(pair.rtp.recv(2048))
        except BlockingIOError:
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)


@contextmanager
def sending(journal: Journal) -> Iterator[tuple[RtpSender, threading.Event]]:
    done = threading.Event()
    with RtpSender(journal, load_conversation(Law.PCMU), lambda _: done.set()) as sender:
        yield sender, done


def journal() -> Journal:
    return Journal(Law.PCMU, load_conversation(Law.PCMU).digest)


def test_each_stream_sends_its_packets_and_the_call_is_told_done() -> None:
    book = journal()
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, done):
        sender.start(plans()[0], source, toward(sink))
        assert done.wait(30)
        assert [len(packets_at(pair, 10)) for pair in sink] == [10, 10]
        assert (sender.figures.packets, sender.figures.failed) == (20, 0)
        assert sender.figures.lateness.count >= 10
    assert (book.packets["flags"] == SENT).all()


def test_when_each_stream_begins_is_journalled_however_late_it_is_sent() -> None:
    book, plan = journal(), plans()[0]
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, _):
        sender.start(plan, source, toward(sink))
    first, second = book.due[plan.index]
    assert second - first == (plan.streams[1].delay_ticks - plan.streams[0].delay_ticks) * TICK_NS


def test_a_stream_without_an_active_target_is_muted() -> None:
    book = journal()
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, done):
        sender.start(plans()[0], source, toward(sink)[:1])
        assert done.wait(30)
        assert [len(packets_at(pair, count)) for pair, count in zip(sink, (10, 0), strict=True)] == [10, 0]
    assert (book.packets["flags"][book.packets["stream"] == 1] == PAUSED).all()


def test_what_the_system_refuses_is_counted_and_not_sent() -> None:
    book = journal()
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, done):
        unreachable = [StreamTarget("255.255.255.255", pair.port, pair.port, True) for pair in sink]
        sender.start(plans()[0], source, unreachable)
        assert done.wait(30)
        assert (sender.figures.packets, sender.figures.failed) == (0, 20)
    assert not (book.packets["flags"] & SENT).any()


def test_a_stopped_call_sends_no_more() -> None:
    book = journal()
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, done):
        sender.start(plans(seconds=5)[0], source, toward(sink))
        sender.stop(0)
        before = len(book.packets)
        assert not done.wait(0.1)
        assert len(book.packets) == before


def test_moves_are_made_before_what_is_asked_for_after_them() -> None:
    book = journal()
    with two_pairs() as source, two_pairs() as old, two_pairs() as new, sending(book) as (sender, done):
        sender.start(plans(seconds=1)[0], source, toward(old))
        sender.move(0, toward(new, active=False))
        sender.move(0, toward(new))
        sender.set_pause(0, paused=False)
        before = len(book.packets)
        places = {book.destination(HOST, pair.port) for pair in new}
        assert done.wait(30)
    after = book.packets[before:]
    assert (after["flags"] == SENT).all()
    assert set(after["destination"]) == places


def test_a_sender_report_maps_rtp_time_to_wall_clock() -> None:
    book = journal()
    plan = plans(seconds=1.4)[0]
    with two_pairs() as source, two_pairs() as sink, sending(book) as (sender, done):
        sink[0].rtcp.settimeout(30)
        sender.start(plan, source, toward(sink))
        report = sink[0].rtcp.recv(2048)
        assert done.wait(30)
        assert sender.figures.reports == 2
    version, kind, length, ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack_from(
        ">BBHIIIIII", report
    )
    assert (version, kind, length, ssrc) == (0x80, 200, 6, plan.streams[0].ssrc)
    assert octets == packets * 160
    wall_s = seconds - 2_208_988_800 + fraction / 2**32
    rows = book.packets
    first = rows["at_ns"][(rows["stream"] == 0) & (rows["packet"] == 0)][0] / 1e9
    elapsed = ((timestamp - plan.streams[0].first_timestamp) % 2**32) / 8000
    # The first packet may itself be late, when another process has the core.
    assert wall_s - elapsed == pytest.approx(first, abs=1.0)
    assert report[28:32] == struct.pack(">BBH", 0x81, 202, (len(report) - 32) // 4)
    assert b"party-0-call-0@simulator\0" in report


def test_reports_that_come_back_are_counted() -> None:
    pair = open_ports(HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(3):
            peer.sendto(b"\x81\xc9\0\x07" + bytes(28), (HOST, pair.port + 1))
        deadline = time.monotonic() + 30
        count = 0
        while count < 3 and time.monotonic() < deadline:
            count += pair.drain_rtcp()
    pair.close()
    assert count == 3


def test_ports_are_an_even_one_and_the_next() -> None:
    pair = open_ports(HOST)
    assert pair.port % 2 == 0
    assert pair.rtcp.getsockname()[1] == pair.port + 1
    pair.close()


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(NoPortsError, match=r"cannot send media from 192\.0\.2\.1: "):
        open_ports("192.0.2.1")


def test_the_table_grows_and_packets_stay_right() -> None:
    conversation = load_conversation(Law.PCMU)
    table = StreamTable(conversation)
    many = plans(calls=150, seconds=4)
    rows = np.array([table.add(call, stream, 0) for call in many for stream in (0, 1)])
    entries = table.entries(rows, np.full(len(rows), 7, np.int32), 0)
    wire = table.wire(rows, entries)
    for row in (0, 1, 150, 299):
        call, stream = many[row // 2], many[row // 2].streams[row % 2]
        packet = wire[row].tobytes()
        assert struct.unpack(">BBHII", packet[:12]) == (
            0x80, 0, (stream.first_sequence + 7) % 65536, (stream.first_timestamp + 1120) % 2**32, stream.ssrc
        )  # fmt: skip
        offset = np.array([(stream.speech_offset + 1120) % conversation.samples], np.uint32)
        assert packet[12:] == conversation.frames(stream.party, offset)[0].tobytes()
        assert (entries["call"][row], entries["stream"][row]) == (call.index, row % 2)
        assert table.first[table.base[row] + 7] == 7


def test_lateness_percentiles() -> None:
    late = Lateness()
    assert late.percentile_ms(0.5) == 0.0
    for milliseconds in range(100):
        late.add(milliseconds * 1_000_000)
    assert late.percentile_ms(0.5) == pytest.approx(49.1)
    assert late.percentile_ms(1.0) == 99.0
    late.add(5_000_000_000)
    assert (late.max_ms, late.count) == (5000.0, 101)
    assert late.copy().percentile_ms(0.5) == late.percentile_ms(0.5)
