"""Receiver reports of a real writer, as a sender gets them: R5, R6, R7 (RFC 3550 §6)."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.rtp.rtcp import Compound, ReportBlock, parse_rtcp
from media.srtp import Context
from media.writer.protocol import MasterKey, Protection, Reports
from tests.integration.media_writer_kit import (
    LIMIT_S,
    Frontend,
    Ports,
    Sender,
    Writer,
    new_session,
    rtcp_report,
    rtp,
    running_writer,
    stream,
)
from tests.kit.srtp_oracle import Oracle

pytestmark = pytest.mark.integration

OURS = 0xBEEF0001
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with running_writer(tmp_path, arena_path=str(tmp_path / "arena"), report_interval_s=0.3) as running:
        yield running


class Client:
    """A sender with an RTCP port."""

    def __init__(self) -> None:
        pairs = Ports.bind(1)
        ((self.port, self.rtp, rtcp),) = pairs.pairs
        assert rtcp is not None
        self.rtcp = rtcp

    def reports(self, **changes: object) -> Reports:
        return Reports(**{"ssrc": OURS, "cname": "us", "host": "127.0.0.1", "port": self.port + 1, **changes})  # type: ignore[arg-type]

    def send(self, port: int, *sequences: int) -> None:
        for sequence in sequences:
            self.rtp.sendto(rtp(sequence), ("127.0.0.1", port))

    @staticmethod
    def read(sock: socket.socket, limit_s: float = LIMIT_S) -> bytes:
        assert select.select([sock], [], [], limit_s)[0], "no report"
        return sock.recv(2048)

    def report(self, sock: socket.socket | None = None) -> Compound:
        read = parse_rtcp(self.read(sock or self.rtcp))
        assert read is not None
        assert read.complete
        return read

    def until(self, highest: int) -> ReportBlock:
        """The first report that knows of a packet."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for block in self.report().receiver_reports[0].reports:
                if block.extended_sequence_number == highest:
                    return block
        raise AssertionError(f"no report of {highest}")

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def opened(frontend: Frontend, client: Client, **changes: object) -> tuple[str, int]:
    session = new_session()
    values: dict[str, object] = {"remote_host": "127.0.0.1", "remote_port": client.port, "reports": client.reports()}
    reply = frontend.open(session, stream(**{**values, **changes}))  # type: ignore[arg-type]
    return session, reply.ports[0]


def test_r5_a_compound_packet_with_receiver_report_and_cname(writer: Writer, client: Client) -> None:
    """RFC 3550 §6.1: an RR comes first, also when there is nothing to report, and an SDES with the CNAME follows."""
    frontend = writer.frontend()
    session, port = opened(frontend, client)
    first = client.report()
    assert (first.receiver_reports[0].ssrc, first.receiver_reports[0].reports) == (OURS, ())
    assert first.cnames == {OURS: "us"}
    # All of them between two reports: the share of lost packets is of those since the last one.
    assert writer.process is not None
    writer.process.send_signal(signal.SIGSTOP)
    try:
        client.send(port, *range(65_530, 65_540), *range(65_545, 65_550))
    finally:
        writer.process.send_signal(signal.SIGCONT)
    block = client.until(65_549)
    assert (block.ssrc, block.cumulative_lost, block.fraction_lost) == (0x1234, 5, 5 * 256 // 20)
    frontend.close_session(session)


def test_r7_the_last_sender_report_and_the_delay_since_then(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    _, port = opened(frontend, client)
    client.send(port, 1)
    client.until(1)
    sent_at = time.monotonic()
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 0x1234, 0x00010002, 0x00030004, 160, 1, 160)
    client.rtcp.sendto(report, ("127.0.0.1", port + 1))
    while not (block := client.report().receiver_reports[0].reports[0]).last_sr:
        pass
    assert block.last_sr == 0x00020003
    assert 0 < block.delay_since_last_sr / 65536 <= time.monotonic() - sent_at + 0.01


def test_r6_goodbye_is_said_if_anything_was_said(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    session, _ = opened(frontend, client)
    client.report()
    frontend.close_session(session)
    while not (last := client.report()).goodbyes:
        pass
    assert last.goodbyes[0].ssrcs == (OURS,)


def test_r6_a_participant_that_never_sent_anything_must_not_say_goodbye(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    session, _ = opened(frontend, client, reports=client.reports(bandwidth_bps=1.0))
    frontend.close_session(session)
    assert not select.select([client.rtcp], [], [], 0.5)[0]


def test_without_a_word_about_reports_none_are_sent(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    _, port = opened(frontend, client, reports=None)
    client.send(port, *range(5))
    assert not select.select([client.rtcp, client.rtp], [], [], 1.0)[0]


def test_muxed_reports_come_from_and_go_to_the_rtp_port(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    _, port = opened(frontend, client, rtcp_mux=True, reports=client.reports(port=client.port))
    client.send(port, 7)
    assert client.report(client.rtp).receiver_reports[0].ssrc == OURS


def test_reports_go_where_rtcp_comes_from_if_the_sender_is_elsewhere(writer: Writer) -> None:
    """A client behind a translator: the SDP names an address that is not its own here."""
    other = Sender(host="127.0.0.9")
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.bind(("127.0.0.9", 0))
    frontend = writer.frontend()
    reply = frontend.open(
        new_session(),
        stream(
            remote_host="127.0.0.77", remote_port=4000,
            reports=Reports(ssrc=OURS, cname="us", host="127.0.0.77", port=4001),
        ),
    )  # fmt: skip
    other.send(reply.ports[0], 1)
    frontend.until_packets(1)
    elsewhere.sendto(rtcp_report(), ("127.0.0.1", reply.ports[0] + 1))
    read = parse_rtcp(Client.read(elsewhere))
    assert read is not None
    assert read.receiver_reports[0].ssrc == OURS
    other.close()
    elsewhere.close()


def test_reports_on_a_protected_stream_are_protected(writer: Writer, client: Client) -> None:
    theirs, ours = MasterKey(SUITE, os.urandom(30)), MasterKey(SUITE, os.urandom(30))
    frontend = writer.frontend()
    session, port = opened(frontend, client, protection=Protection(keys=(theirs,), own=ours))
    sender = Oracle(SUITE, theirs.key_salt)
    client.rtp.sendto(sender.rtp(rtp(5), 0), ("127.0.0.1", port))
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 0x1234, 0x00010002, 0x00030004, 160, 1, 160)
    frontend.until_packets(1)
    client.rtcp.sendto(sender.rtcp(report, 1), ("127.0.0.1", port + 1))
    context = Context(SUITE, ours.key_salt)
    deadline = time.monotonic() + LIMIT_S
    last_sr = 0
    while not last_sr:
        assert time.monotonic() < deadline
        sealed = client.read(client.rtcp)
        assert b"us" not in sealed
        read = parse_rtcp(_plain(context, sealed))
        assert read is not None
        assert read.cnames == {OURS: "us"}
        last_sr = max((block.last_sr for block in read.receiver_reports[0].reports), default=0)
    assert last_sr == 0x00020003
    frontend.close_session(session)


def _plain(context: Context, sealed: bytes) -> bytes:
    opened = context.open_rtcp(sealed)
    assert isinstance(opened, bytes), opened
    return opened


@pytest.mark.failover
def test_a_replacement_goes_on_under_the_same_name(writer: Writer, client: Client) -> None:
    frontend = writer.frontend()
    _, port = opened(frontend, client)
    client.send(port, *range(10))
    client.until(9)
    writer.kill()
    while select.select([client.rtcp], [], [], 0)[0]:
        client.rtcp.recv(2048)
    writer.start()
    frontend = writer.frontend(2)
    spec = stream(port=port, remote_host="127.0.0.1", remote_port=client.port, reports=client.reports())
    frontend.open(new_session(), spec, adopt=True)
    client.send(port, *range(10, 20))
    block = client.until(19)
    assert (block.ssrc, block.cumulative_lost) == (0x1234, 0)
    assert client.report().receiver_reports[0].ssrc == OURS
