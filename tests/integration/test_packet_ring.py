"""What only a packet ring meets: raw IP packets of every kind, interfaces, several writers, a full ring."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.container import Capture, Drops, Fragments, Source, read_capture
from media.writer.arena import Arena
from media.writer.config import PortPair, WriterConfig
from media.writer.engine import Engine
from media.writer.packet_socket import FRAMES_PER_BLOCK, open_rings
from media.writer.protocol import CloseSession, OpenSession, Reply, SessionClosed, SessionOpened
from media.writer.ring import PacketRing
from media.writer.slots import Slots
from tests.integration.media_writer_kit import (
    LIMIT_S,
    Sender,
    deliver,
    delivering,
    diverted_ports,
    packets_of,
    rtcp_report,
    rtp,
    running_writer,
    stopped,
    stream,
    takes_datagrams,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="a packet ring needs CAP_NET_RAW: run as root"),
]


class Bench:
    """An engine on a ring, and one open session of one stream."""

    def __init__(self, directory: Path, host: str, *, bind: str = "") -> None:
        self.host = host
        self.rtp, self.rtcp, self.port = _pair(bind or host)
        self.rings = open_rings(bind or host, [(self.port, self.port + 1)], 1)[0]
        self.engine = Engine(
            WriterConfig(writer="w1", capture_dir=directory, min_free_bytes=0, sync_interval_s=0.02),
            [PortPair(self.port, self.rtp, self.rtcp, host)],
            max_sessions=3,
            rings=self.rings,
        )
        self._session = uuid.uuid4().hex
        opened = self._ask(
            OpenSession(request=1, epoch=1, session=self._session, descriptor={}, streams=[stream(port=self.port)])
        )
        assert isinstance(opened, SessionOpened), opened
        self.path = Path(opened.capture_path)
        self.totals: SessionClosed | None = None

    def _ask(self, command: OpenSession | CloseSession) -> Reply:
        replies: list[Reply] = []
        self.engine.handle(command, replies.append)
        while not replies:
            assert select.select([self.engine.syncer.fd], [], [], LIMIT_S)[0], "no sync came back"
            self.engine.collect()
        return replies[0]

    def end(self) -> Capture:
        """Close the session: everything that has arrived is in its capture."""
        if self.totals is None:
            closed = self._ask(CloseSession(request=2, epoch=1, session=self._session, cause="bye"))
            assert isinstance(closed, SessionClosed), closed
            self.totals = closed
        return read_capture(self.path)

    def close(self) -> None:
        self.engine.stop("test over")
        for sock in (self.rtp, self.rtcp, *self.rings):
            sock.close()


def _pair(host: str) -> tuple[socket.socket, socket.socket, int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        media, control = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        media.bind((host, 0))
        port: int = media.getsockname()[1]
        if port % 2 == 0:
            control.bind((host, port + 1))
            return media, control, port
        media.close()
        control.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def build(host: str = "127.0.0.1", **changes: str) -> Bench:
        made.append(Bench(tmp_path, host, **changes))
        return made[-1]

    yield build
    for bench in made:
        bench.close()


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(port: int, data: bytes, *, right: bool = True, told: bool = True) -> bytes:
    """A UDP datagram from 127.0.0.1:4000 to 127.0.0.1, with a checksum that is right, wrong, or left out."""
    header = struct.pack("!HHHH", 4000, port, 8 + len(data), 0)
    pseudo = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!BBH", 0, 17, 8 + len(data))
    found = (checksum(pseudo + header + data) or 0xFFFF) ^ (0 if right else 0x0101)
    return header[:6] + struct.pack("!H", found if told else 0) + data


def ip(payload: bytes, *, options: bytes = b"", flags: int = 0, offset: int = 0, number: int = 7) -> bytes:
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), number, flags << 13 | offset // 8, 64, 17, 0,
        socket.inet_aton("127.0.0.1"), socket.inet_aton("127.0.0.1"),
    )  # fmt: skip
    return header + options + payload


def send_raw(packet: bytes) -> None:
    with delivering(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, ("127.0.0.1", 0))


def test_each_packet_on_the_loopback_is_taken_once_and_no_socket_fills(make: Callable[..., Bench]) -> None:
    bench = make()
    sent = [rtp(sequence) for sequence in range(200)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deliver(sender, bench.port, sent)
        deliver(sender, bench.port + 1, [rtcp_report()])
        # Bound: no ICMP error comes back.
        sender.connect(("127.0.0.1", bench.port))
        assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    capture = bench.end()
    assert packets_of(capture) == sent
    assert capture.rtcp_count == 1
    with pytest.raises(BlockingIOError):
        bench.rtp.recv(1)


@pytest.mark.parametrize(("host", "bind"), [("::1", "::1"), ("::1", "::"), ("127.0.0.1", "::")])
def test_both_ip_versions_are_recorded_with_their_sources(make: Callable[..., Bench], host: str, bind: str) -> None:
    bench = make(host, bind=bind)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        sent = [rtp(1), rtp(2, size=800), rtp(3)]
        deliver(sender, bench.port, sent, host=host)
        own = sender.getsockname()[:2]
    capture = bench.end()
    assert sorted(packets_of(capture)) == sorted(sent)
    assert [(one.host, one.port) for one in capture.events if isinstance(one, Source)] == [own]


@pytest.mark.parametrize("size", [160, 276, 277, 480, 1400])
def test_packets_of_every_length_are_taken_whole(make: Callable[..., Bench], size: int) -> None:
    bench = make()
    sent = [rtp(sequence, size=size) for sequence in range(70)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deliver(sender, bench.port, sent)
    assert packets_of(bench.end()) == sent


def test_ip_options_are_seen_through(make: Callable[..., Bench]) -> None:
    bench = make()
    for options in (b"\x01\x01\x01\x00", b"\x01" * 39 + b"\0"):
        send_raw(ip(udp(bench.port, rtp(len(options))), options=options))
    assert packets_of(bench.end()) == [rtp(4), rtp(40)]


def test_a_wrong_checksum_is_kept_out_and_counted_and_none_is_right(make: Callable[..., Bench]) -> None:
    bench = make()
    send_raw(ip(udp(bench.port, rtp(1))))
    send_raw(ip(udp(bench.port, rtp(2), right=False)))
    send_raw(ip(udp(bench.port, rtp(3), told=False)))
    send_raw(ip(udp(bench.port, rtp(4, size=161))))
    assert packets_of(bench.end()) == [rtp(1), rtp(3), rtp(4, size=161)]
    assert bench.totals is not None
    assert bench.totals.streams[0].malformed == 1


def test_a_length_that_lies_is_kept_out(make: Callable[..., Bench]) -> None:
    bench = make()
    whole = udp(bench.port, rtp(1), told=False)
    for told in (0, 7, len(whole) + 1, 0xFFFF):
        send_raw(ip(whole[:4] + struct.pack("!H", told) + whole[6:]))
    assert packets_of(bench.end()) == []
    assert bench.totals is not None
    assert bench.totals.streams[0].malformed == 4


def test_fragments_are_counted_and_told(make: Callable[..., Bench]) -> None:
    bench = make()
    whole = udp(bench.port, rtp(1, size=1200))
    for number in (1, 2):
        send_raw(ip(whole[:800], flags=1, number=number))
        send_raw(ip(whole[800:], offset=800, number=number))
    send_raw(ip(udp(bench.port, rtp(2))))
    capture = bench.end()
    assert packets_of(capture) == [rtp(2)]
    assert sum(event.packets for event in capture.events if isinstance(event, Fragments)) == 2
    assert bench.totals is not None
    assert bench.totals.streams[0].malformed == 2


def test_a_full_ring_is_told_in_every_capture(make: Callable[..., Bench]) -> None:
    bench = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deliver(sender, bench.port, [rtp(sequence) for sequence in range(FRAMES_PER_BLOCK + 50)])
    capture = bench.end()
    assert len(packets_of(capture)) == FRAMES_PER_BLOCK
    told = [event for event in capture.events if isinstance(event, Drops)]
    assert [(event.stream, event.packets) for event in told] == [(0, 0)]
    assert bench.engine.heartbeat().kernel_drops == 50


def test_a_ring_goes_round_and_round(make: Callable[..., Bench]) -> None:
    bench = make()
    sent: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for turn in range(12):
            some = [rtp(sequence) for sequence in range(turn * 700, turn * 700 + 700)]
            deliver(sender, bench.port, some)
            sent += some
            deadline = time.monotonic() + LIMIT_S
            while bench.engine.heartbeat().packets < len(sent):
                assert time.monotonic() < deadline, "the ring stands still"
                bench.engine.visit()
    assert packets_of(bench.end()) == sent


def test_a_flood_on_one_port_costs_no_other_stream_a_packet(tmp_path: Path) -> None:
    with running_writer(tmp_path, source="ring") as writer, Sender(ssrc=1) as flooder, Sender(ssrc=2) as caller:
        assert writer.process is not None
        frontend, session = writer.frontend(), uuid.uuid4().hex
        opened = frontend.open(session, stream(0), stream(1))
        (flooded,) = [media for port, media, _ in writer.ports.pairs if port == opened.ports[0]]
        flood, sent = [bytes(160)] * 4000, 0
        deadline = time.monotonic() + LIMIT_S
        # Its socket takes datagrams a moment before the ring leaves them out.
        while not diverted_ports(writer):
            assert time.monotonic() < deadline, "the port still floods the ring"
            frontend.heartbeat()
            with stopped(writer.process):
                deliver(flooder.socket, opened.ports[0], flood)
            sent += len(flood)
            frontend.heartbeat()
        # Three times what the ring holds.
        with stopped(writer.process):
            for sequence in range(30):
                deliver(flooder.socket, opened.ports[0], flood[:1000])
                caller.send(opened.ports[1], sequence)
            sent += 30_000
        frontend.until_packets(30)
        while takes_datagrams(flooded):
            assert time.monotonic() < deadline, "the port never came back to the ring"
            frontend.heartbeat()
        after = flooder.send(opened.ports[0], *range(100))
        closed = frontend.close_session(session)
        capture = read_capture(Path(closed.capture_path))
        assert packets_of(capture, 1) == caller.sent
        assert packets_of(capture, 0) == after
        assert closed.streams[0].malformed + closed.streams[0].kernel_drops == sent
        assert closed.streams[1].kernel_drops == 0
        assert {event.stream for event in capture.events if isinstance(event, Drops)} == {0}


def test_a_reading_of_several_parts_goes_on_at_once(make: Callable[..., Bench]) -> None:
    bench = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deliver(sender, bench.port, sent := [rtp(sequence) for sequence in range(10)])
        deliver(sender, bench.port + 1, [rtcp_report()])
    while not bench.engine.visit():
        pass
    parts = 1
    while bench.engine.next_turn() == 0.0 and bench.engine.visit():
        parts += 1
    # RTP, RTCP, and what is done behind them.
    assert parts == 3
    assert bench.engine.heartbeat().packets == len(sent)


def until_diverted(bench: Bench, sender: socket.socket, port: int, sock: socket.socket) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not takes_datagrams(sock):
        assert time.monotonic() < deadline, "the port still floods the ring"
        deliver(sender, port, [bytes(160)] * 2500)
        while not bench.engine.visit():
            pass


def test_a_clock_that_is_set_back_costs_a_port_that_floods_nothing(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    as_it_came = Arena.take_one

    def an_hour_ago(arena: Arena, fd: int, noted: int) -> Slots | None:
        found = as_it_came(arena, fd, noted)
        if found is not None:
            found.controls[:, 2] -= 3600
        return found

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        until_diverted(bench, sender, bench.port, bench.rtp)
        deliver(sender, bench.port, before := [rtp(sequence) for sequence in range(50)])
        deadline = time.monotonic() + LIMIT_S
        while bench.engine.heartbeat().packets < len(before):
            assert time.monotonic() < deadline, "the socket is not read"
            bench.engine.visit()
        monkeypatch.setattr(Arena, "take_one", an_hour_ago)
        deliver(sender, bench.port, after := [rtp(sequence) for sequence in range(50, 100)])
        assert packets_of(bench.end()) == before + after


def test_of_a_pair_only_the_port_that_is_quiet_comes_back_to_the_ring(make: Callable[..., Bench]) -> None:
    bench = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        until_diverted(bench, sender, bench.port, bench.rtp)
        until_diverted(bench, sender, bench.port + 1, bench.rtcp)
        deadline = time.monotonic() + LIMIT_S
        while takes_datagrams(bench.rtp):
            assert time.monotonic() < deadline, "the port never came back to the ring"
            deliver(sender, bench.port + 1, [bytes(160)] * 300)
            bench.engine.visit()
        assert takes_datagrams(bench.rtcp)
        sent = [rtp(sequence) for sequence in range(50)]
        deliver(sender, bench.port, sent)
    assert packets_of(bench.end()) == sent


def test_a_fan_out_gives_every_stream_to_exactly_one_writer() -> None:
    first = 40000
    shares = [(first + 100 * one, first + 100 * one + 99) for one in range(3)]
    rings = [PacketRing(mine[0]) for mine in open_rings("127.0.0.1", shares, 1)]
    try:
        with delivering(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in range(first - 10, first + 310):
                sender.sendto(port.to_bytes(2, "big"), ("127.0.0.1", port))
        for ring, (low, high) in zip(rings, shares, strict=True):
            frames = [frame for run in ring.filled(999) for frame in run.frames]
            found = [int.from_bytes(frame[108:110].tobytes(), "big") for frame in frames]
            assert found == list(range(low, high + 1))
    finally:
        for ring in rings:
            ring.sock.close()


Wire = Callable[..., None]


@pytest.fixture
def cable() -> Iterator[tuple[str, Wire]]:
    """A virtual Ethernet interface, and how to send IP packets to it."""
    name = uuid.uuid4().hex[:8]
    near, far = f"n{name}", f"f{name}"
    if subprocess.run(["ip", "link", "add", near, "type", "veth", "peer", far], check=False).returncode:
        pytest.skip("this machine does not let us add interfaces")
    try:
        for end in (near, far):
            subprocess.run(["ip", "link", "set", end, "up"], check=True)
        station = bytes.fromhex(Path(f"/sys/class/net/{near}/address").read_text().strip().replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((far, 0))

            def send(data: bytes, *, tag: bytes = b"", to: bytes = station) -> None:
                wire.send(to + bytes(6) + tag + b"\x08\x00" + ip(udp(20000, data)))

            yield near, send
    finally:
        subprocess.run(["ip", "link", "del", near], check=True)


def heard(last: bytes, send: Wire) -> list[bytes]:
    """What a ring is given until the last one."""
    (ring,) = [PacketRing(one) for one in open_rings("127.0.0.1", [(20000, 20001)], 1)[0]]
    try:
        send(b"plain")
        send(b"tagged", tag=b"\x81\x00\x00\x07")
        send(b"other host", to=b"\x02\0\0\0\0\x09")
        send(last)
        found: list[bytes] = []
        deadline = time.monotonic() + 10
        while last not in found:
            assert time.monotonic() < deadline, found
            found += [frame[108:120].tobytes().rstrip(b"\0") for run in ring.filled(99) for frame in run.frames]
        return found
    finally:
        ring.sock.close()


def test_what_is_for_another_host_or_an_unknown_vlan_is_not_taken(cable: tuple[str, Wire]) -> None:
    assert heard(b"last", cable[1]) == [b"plain", b"last"]


def test_a_packet_of_a_vlan_is_seen_once(cable: tuple[str, Wire]) -> None:
    near, send = cable
    added = subprocess.run(
        ["ip", "link", "add", "link", near, "name", f"{near}.7", "type", "vlan", "id", "7"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if added.returncode:
        pytest.skip(f"this kernel has no VLAN devices: {added.stderr.strip()}")
    subprocess.run(["ip", "link", "set", f"{near}.7", "up"], check=True)
    assert heard(b"last", send) == [b"plain", b"tagged", b"last"]
