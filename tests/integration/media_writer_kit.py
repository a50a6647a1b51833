"""What writer tests need: a supervisor's sockets, real writer processes, a frontend's connection, an RTP sender."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from media.container import Capture, read_capture
from media.writer.framing import FrameBuffer, decode_reply, encode_frame
from media.writer.packet_socket import accept_datagrams, open_rings, port_filter
from media.writer.protocol import (
    CloseSession,
    Codec,
    Command,
    Heartbeat,
    ListSessions,
    ModifySession,
    OpenSession,
    Reply,
    SessionClosed,
    SessionFailed,
    SessionList,
    SessionModified,
    SessionOpened,
    StreamSpec,
)

PCMU = {0: Codec(name="PCMU", clock_rate=8000), 101: Codec(name="TELEPHONE-EVENT", clock_rate=8000)}
LIMIT_S = 60.0
"""How long a test waits for what must happen."""
_SO_GET_FILTER = 26


_MAY_RING = pytest.mark.skipif(os.geteuid() != 0, reason="a packet ring needs CAP_NET_RAW: run as root")
SOURCES = ["sockets", pytest.param("ring", marks=_MAY_RING)]
"""Both packet sources pass the same tests."""


def rtp(sequence: int, *, ssrc: int = 0x1234, payload_type: int = 0, size: int = 160, fill: int = 0) -> bytes:
    """An RTP packet whose payload tells SSRC, sequence number and fill."""
    header = struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc)
    told = struct.pack(">III", ssrc, sequence, fill)
    return header + (told * (size // 12 + 1))[:size]


def rtcp_report(ssrc: int = 0x1234) -> bytes:
    """An empty receiver report."""
    return struct.pack(">BBHI", 0x80, 201, 1, ssrc)


@contextlib.contextmanager
def delivering() -> Iterator[Callable[[], None]]:
    """What is sent over the loopback inside is delivered when the context ends, or what it gives is called.

    On a busy machine the kernel leaves what the loopback brings to a thread of its own. Each processor keeps the
    order, so a datagram that follows on the same one tells when all before it are in their sockets and rings.
    """
    allowed = os.sched_getaffinity(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
        mark.bind(("127.0.0.1", 0))
        mark.settimeout(LIMIT_S)

        def settle() -> None:
            mark.sendto(b"", mark.getsockname())
            mark.recv(1)

        os.sched_setaffinity(0, {min(allowed)})
        try:
            yield settle
            settle()
        finally:
            os.sched_setaffinity(0, allowed)


def deliver(sender: socket.socket, port: int, packets: Sequence[bytes], *, host: str = "127.0.0.1") -> None:
    """Send to a port of this host, and return when the kernel has delivered everything."""
    with delivering() as settle:
        for number, packet in enumerate(packets, 1):
            sender.sendto(packet, (host, port))
            # The backlog of a processor holds 1,000.
            if number % 200 == 0:
                settle()


def stream(index: int = 0, **changes: object) -> StreamSpec:
    values: dict[str, object] = {"index": index, "party": index, "payload_types": PCMU, "label": str(index + 1)}
    return StreamSpec(**{**values, **changes})  # type: ignore[arg-type]


def new_session() -> str:
    return uuid.uuid4().hex


@dataclass
class Sender:
    """One source of RTP."""

    host: str = "127.0.0.1"
    ssrc: int = 0x1234
    socket: socket.socket = field(init=False)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.host, 0))

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, port: int, *sequences: int, **changes: int) -> list[bytes]:
        packets = [rtp(sequence, ssrc=self.ssrc, **changes) for sequence in sequences]
        deliver(self.socket, port, packets)
        self.sent += packets
        return packets

    def send_raw(self, port: int, data: bytes) -> None:
        deliver(self.socket, port, [data])

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass
class Ports:
    """The sockets that a supervisor would own; they outlive every writer."""

    pairs: list[tuple[int, socket.socket, socket.socket | None]]
    rings: list[socket.socket] = field(default_factory=list)

    @classmethod
    def bind(cls, count: int, *, rtcp: bool = True, receive_buffer: int = 0) -> Self:
        pairs: list[tuple[int, socket.socket, socket.socket | None]] = []
        while len(pairs) < count:
            media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            media.bind(("127.0.0.1", 0))
            port = media.getsockname()[1]
            control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if port % 2 or not _bound(control, port + 1):
                media.close()
                control.close()
                continue
            if receive_buffer:
                media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if not rtcp:
                control.close()
            pairs.append((port, media, control if rtcp else None))
        return cls(pairs)

    def ring(self, megabytes: int = 4) -> list[socket.socket]:
        """Packet rings for these ports, as a supervisor opens them; kept like the sockets."""
        numbers = [port for port, _, _ in self.pairs]
        self.rings = open_rings("127.0.0.1", [(min(numbers), max(numbers) + 1)], megabytes)[0]
        return self.rings

    def let_sockets_take(self) -> None:
        """What a supervisor does when a writer with a ring has died."""
        for _, *pair in self.pairs:
            for sock in pair:
                if sock is not None:
                    accept_datagrams(sock)

    def close(self) -> None:
        for ring in self.rings:
            ring.close()
        for _, media, control in self.pairs:
            media.close()
            if control is not None:
                control.close()


def _bound(sock: socket.socket, port: int) -> bool:
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


class Frontend:
    """A blocking connection to a writer."""

    def __init__(self, path: Path, epoch: int = 1) -> None:
        self.epoch = epoch
        self.heartbeats: list[Heartbeat] = []
        self.failures: list[SessionFailed] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._frames = FrameBuffer()
        self._replies: dict[int, Reply] = {}
        self._number = 0

    def pump(self, timeout: float) -> bool:
        """Read what comes within the timeout; False when the writer has hung up."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return True
        data = self._socket.recv(1 << 16)
        for body in self._frames.feed(data):
            reply = decode_reply(body)
            if isinstance(reply, Heartbeat):
                self.heartbeats.append(reply)
            elif isinstance(reply, SessionFailed):
                self.failures.append(reply)
            else:
                self._replies[reply.request] = reply
        return bool(data)

    def post(self, command: Command) -> None:
        self._socket.sendall(encode_frame(command))

    def post_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def number(self) -> int:
        self._number += 1
        return self._number

    def wait(self, request: int) -> Reply:
        deadline = time.monotonic() + LIMIT_S
        while request not in self._replies:
            if not self.pump(0.05):
                raise ConnectionError("writer hung up")
            assert time.monotonic() < deadline, "no answer"
        return self._replies.pop(request)

    def ask(self, command: Command) -> Reply:
        self.post(command)
        return self.wait(command.request)

    def try_open(self, session: str, *streams: StreamSpec, **changes: object) -> Reply:
        values: dict[str, object] = {"descriptor": {"call": session}, "epoch": self.epoch, "request": self.number()}
        return self.ask(OpenSession(session=session, streams=list(streams), **{**values, **changes}))  # type: ignore[arg-type]

    def open(self, session: str, *streams: StreamSpec, **changes: object) -> SessionOpened:
        reply = self.try_open(session, *streams, **changes)
        assert isinstance(reply, SessionOpened), reply
        return reply

    def try_modify(self, session: str, *streams: StreamSpec, cause: str = "reinvite") -> Reply:
        return self.ask(
            ModifySession(request=self.number(), epoch=self.epoch, session=session, streams=list(streams), cause=cause)
        )

    def modify(self, session: str, *streams: StreamSpec, cause: str = "reinvite") -> SessionModified:
        reply = self.try_modify(session, *streams, cause=cause)
        assert isinstance(reply, SessionModified), reply
        return reply

    def try_close(self, session: str, cause: str = "bye") -> Reply:
        return self.ask(CloseSession(request=self.number(), epoch=self.epoch, session=session, cause=cause))

    def close_session(self, session: str, cause: str = "bye") -> SessionClosed:
        reply = self.try_close(session, cause)
        assert isinstance(reply, SessionClosed), reply
        return reply

    def list(self, session: str = "") -> SessionList:
        reply = self.ask(ListSessions(request=self.number(), epoch=self.epoch, session=session))
        assert isinstance(reply, SessionList), reply
        return reply

    def heartbeat(self) -> Heartbeat:
        """The next heartbeat."""
        self.heartbeats.clear()
        deadline = time.monotonic() + LIMIT_S
        while not self.heartbeats:
            if not self.pump(0.05):
                raise ConnectionError("writer hung up")
            assert time.monotonic() < deadline, "no heartbeat"
        return self.heartbeats[0]

    def until_packets(self, count: int) -> None:
        """Wait until the writer has appended so many packets in all."""
        deadline = time.monotonic() + LIMIT_S
        while self.heartbeat().packets < count:
            assert time.monotonic() < deadline, f"{self.heartbeats} never reached {count} packets"

    def until_progress(self, turns: int) -> None:
        """Wait until the writer's loop has made so many turns from now on."""
        wanted = self.heartbeat().progress + turns
        deadline = time.monotonic() + LIMIT_S
        while self.heartbeat().progress < wanted:
            assert time.monotonic() < deadline, f"{self.heartbeats}: the loop stands still"

    def disconnect(self) -> None:
        self._socket.close()


@dataclass
class Writer:
    """A real writer process on given sockets."""

    root: Path
    ports: Ports
    name: str = "w1"
    settings: Mapping[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    frontends: list[Frontend] = field(default_factory=list)

    @property
    def capture_dir(self) -> Path:
        return self.root / "captures"

    @property
    def path(self) -> Path:
        return self.root / f"{self.name}.sock"

    def start(self) -> Self:
        """Start the process, or its successor on the same sockets."""
        self.capture_dir.mkdir(parents=True, exist_ok=True)
        if self.control is None:
            self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.control.bind(str(self.path))
            self.control.listen(16)
        config = {
            "writer": self.name,
            "capture_dir": str(self.capture_dir),
            "min_free_bytes": 0,
            "sync_interval_s": 0.05,
            "tick_s": 0.02,
            "cooldown_s": 0.2,
            **self.settings,
        }
        ports = [
            (port, media.fileno(), control.fileno() if control else -1) for port, media, control in self.ports.pairs
        ]
        rings = [ring.fileno() for ring in self.ports.rings]
        told = {"config": config, "ports": ports, "rings": rings, "control": self.control.fileno()}
        descriptors = [self.control.fileno(), *rings] + [one for _, *pair in ports for one in pair if one >= 0]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.media_writer_process", json.dumps(told)],
            pass_fds=descriptors,
        )
        return self

    def frontend(self, epoch: int = 1) -> Frontend:
        """A connection; closed with the writer at the latest."""
        self.frontends.append(Frontend(self.path, epoch))
        return self.frontends[-1]

    def remembers(self, *pieces: bytes) -> list[str]:
        """Where in the memory that the process can write, ring and arena included, it has any of these bytes."""
        assert self.process is not None
        places = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            return [
                place
                for place in places
                if place.split()[1].startswith("rw")
                for found in [_region(memory, place)]
                if any(piece in found for piece in pieces)
            ]

    def limit_files(self, size: int) -> None:
        """From now on no file of the process may grow beyond so many bytes (EFBIG: Python ignores SIGXFSZ)."""
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, size))

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(LIMIT_S)
        if self.ports.rings:
            self.ports.let_sockets_take()

    def stop(self) -> int:
        """SIGTERM, and wait for the orderly end."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)
        for frontend in self.frontends:
            frontend.disconnect()
        if self.control is not None:
            self.control.close()


def _region(memory: io.RawIOBase, place: str) -> bytes:
    start, end = (int(edge, 16) for edge in place.split(maxsplit=1)[0].split("-"))
    memory.seek(start)
    found = bytearray()
    while len(found) < end - start:
        found += memory.read(end - start - len(found)) or b""
    return bytes(found)


@contextlib.contextmanager
def running_writer(
    root: Path,
    *,
    ports: int = 4,
    rtcp: bool = True,
    receive_buffer: int = 0,
    source: str = "sockets",
    **settings: object,
) -> Iterator[Writer]:
    """One writer with ports of its own; `source` is sockets or ring."""
    granted = Ports.bind(ports, rtcp=rtcp, receive_buffer=receive_buffer)
    if source == "ring":
        granted.ring()
    writer = Writer(root, granted, settings=settings)
    try:
        yield writer.start()
    finally:
        writer.close()
        granted.close()


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Make sure that what is sent meanwhile is read at once."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def takes_datagrams(sock: socket.socket) -> bool:
    """Whether no filter keeps a socket from its datagrams."""
    return not sock.getsockopt(socket.SOL_SOCKET, _SO_GET_FILTER, 64)


def diverted_ports(writer: Writer) -> int:
    """How many ports its ring leaves to their sockets: each is an instruction more of the ring's filter."""
    if not writer.ports.rings:
        return 0
    (ring,) = writer.ports.rings
    # The kernel answers with as many bytes as the filter has instructions.
    present = len(ring.getsockopt(socket.SOL_SOCKET, _SO_GET_FILTER, 1024))
    return present - len(port_filter(socket.AF_INET, ipaddress.ip_address("127.0.0.1"), (0, 0)))


def packets_of(capture: Capture, index: int = 0) -> list[bytes]:
    """All RTP packets of one stream, in file order."""
    return [
        batch.packet(position)
        for batch in capture.packets()
        for position in range(len(batch.records))
        if batch.records["stream"][position] == index
    ]


def capture_at(path: str) -> Capture:
    return read_capture(Path(path))
