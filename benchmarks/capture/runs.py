"""One run of a receiver under load: the real writer over either packet source, or the C reference."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capture.content import Found, check_captures
from benchmarks.capture.load import FIRST_PORT, HOST, RECEIVER_CPU, STEP, WARM_S, Generator, Load, Offered
from benchmarks.capture.protection import protection_of
from media.writer.framing import FrameBuffer, decode_reply, encode_frame
from media.writer.protocol import (
    CloseSession,
    Codec,
    Heartbeat,
    OpenSession,
    Reply,
    Reports,
    SessionClosed,
    SessionOpened,
    StreamSpec,
)

_DISCARD = 9
PCMU = {0: Codec(name="PCMU", clock_rate=8000)}


@dataclass(frozen=True)
class Result:
    name: str
    offered: Offered
    microseconds: float
    """CPU per packet once every source is known; the opening of calls is not the subject here."""
    found: Found
    bytes_per_packet: float
    """On disk."""
    kb_per_call: float = 0.0
    """Private memory of the process under load above what it had without a call; the ring comes on top."""
    dropped: int = 0
    """Packets that the kernel says it dropped."""

    @property
    def lost(self) -> int:
        return self.offered.sent - self.found.unique

    @property
    def faults(self) -> int:
        """Packets lost, wrong, or there twice."""
        return self.lost + self.found.wrong + self.found.duplicates

    def row(self) -> str:
        memory = f"  {self.kb_per_call:.1f} kB/call" if self.kb_per_call else ""
        kernel = f" ({self.dropped} dropped by the kernel)" if self.dropped else ""
        generator = self.offered.cpu_s / self.offered.sent * 1e6
        return (
            f"{self.name:<28} {self.microseconds:7.3f} us/packet{memory}  sent {self.offered.sent}  lost {self.lost}"
            f"{kernel}  wrong {self.found.wrong}  duplicates {self.found.duplicates}"
            f"  generator {self.offered.late_ms:.0f} ms late, {generator:.2f} us/packet"
        )


class Control:
    """A blocking frontend that can pipeline."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + 60
        while self.socket.connect_ex(str(path)):
            assert time.monotonic() < deadline, "the writer did not start"
            time.sleep(0.05)
        self.frames = FrameBuffer()

    def send(self, command: OpenSession | CloseSession) -> None:
        self.socket.sendall(encode_frame(command))

    def replies(self, wanted: Callable[[Reply], bool], count: int) -> list[Reply]:
        found: list[Reply] = []
        while len(found) < count:
            data = self.socket.recv(1 << 16)
            assert data, "the writer has gone"
            for body in self.frames.feed(data):
                reply = decode_reply(body)
                if wanted(reply):
                    found.append(reply)
        return found

    def heartbeat(self) -> Heartbeat:
        # Some may have waited in the socket: those after them are fresh.
        self.socket.setblocking(False)
        try:
            while data := self.socket.recv(1 << 20):
                self.frames.feed(data)
        except BlockingIOError:
            pass
        self.socket.setblocking(True)
        beat = self.replies(lambda reply: isinstance(reply, Heartbeat), 1)[-1]
        assert isinstance(beat, Heartbeat)
        assert not beat.failed, beat.failed
        return beat

    def open(self, calls: int, names: list[str], load: Load) -> dict[int, Path]:
        """Open calls of two streams; return their captures."""
        for call, name in enumerate(names):
            streams = [
                StreamSpec(
                    index=side,
                    party=side,
                    payload_types=PCMU,
                    port=FIRST_PORT + (2 * call + side) * STEP,
                    rtcp_mux=load.reports,
                    protection=protection_of(load.srtp, 2 * call + side) if load.srtp else None,
                    reports=Reports(ssrc=2 * call + side + 1, cname=name, host=HOST, port=_DISCARD)
                    if load.reports
                    else None,
                )
                for side in (0, 1)
            ]
            self.send(OpenSession(request=call, epoch=1, session=name, descriptor={"call": call}, streams=streams))
        opened = self.replies(lambda reply: isinstance(reply, SessionOpened), calls)
        return {one.request: Path(one.capture_path) for one in opened if isinstance(one, SessionOpened)}

    def close(self, calls: int, names: list[str]) -> int:
        """Close them; return how many packets the kernel dropped."""
        for call, name in enumerate(names):
            self.send(CloseSession(request=call, epoch=1, session=name, cause="bye"))
        closed = self.replies(lambda reply: isinstance(reply, SessionClosed), calls)
        return sum(one.kernel_drops for reply in closed if isinstance(reply, SessionClosed) for one in reply.streams)


def private_kb(pid: int) -> int:
    """Memory that a process has for itself, in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


def disk_bytes(paths: dict[int, Path], packets: int) -> float:
    return sum(path.stat().st_size for path in paths.values()) / max(packets, 1)


@dataclass(frozen=True)
class WriterSettings:
    source: str = "sockets"
    ring_mb: int = 128
    sync_ms: float = 500.0
    synced: bool = True
    """False: everything but the syncs themselves."""


def run_writer(directory: Path, generator: Path, load: Load, settings: WriterSettings) -> Result:
    root = directory / "writer-files"
    root.mkdir()
    arena = Path("/dev/shm") / f"bench-{os.getpid()}.arena"
    values = (
        *(HOST, FIRST_PORT, STEP, load.streams, settings.sync_ms / 1000, int(settings.synced), root, arena),
        *(load.receive_buffer, RECEIVER_CPU, settings.source, settings.ring_mb),
    )
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.capture.writer_process", *map(str, values)])
    try:
        control = Control(root / "control")
        calls = load.streams // 2
        names = [uuid.uuid4().hex for _ in range(calls)]
        control.heartbeat()
        empty_kb = private_kb(process.pid)
        paths = control.open(calls, names, load)
        running = Generator(generator, load)
        time.sleep(WARM_S)
        before = control.heartbeat()
        time.sleep(max(0.0, load.seconds - WARM_S) / 2)
        full_kb = private_kb(process.pid)
        offered = running.result()
        time.sleep(settings.sync_ms / 1000)
        after = control.heartbeat()
        dropped = control.close(calls, names) or after.kernel_drops
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        arena.unlink(missing_ok=True)
    cost = (after.cpu_seconds - before.cpu_seconds) / (after.packets - before.packets) * 1e6
    found = check_captures(paths)
    result = Result(
        f"writer, {settings.source}, {calls} calls{f', {load.srtp}' if load.srtp else ''}{', RR' * load.reports}",
        offered,
        cost,
        found,
        disk_bytes(paths, found.unique),
        kb_per_call=(full_kb - empty_kb) / calls,
        dropped=dropped,
    )
    shutil.rmtree(root)
    return result


def run_reference(
    directory: Path, generator: Path, reference: Path, load: Load, *, sync_ms: float, tick_ms: float
) -> Result:
    root = directory / "reference-files"
    root.mkdir()
    values = (HOST, FIRST_PORT, STEP, load.streams, tick_ms, sync_ms, root, load.receive_buffer)
    process = subprocess.Popen(
        ["taskset", "-c", str(RECEIVER_CPU), str(reference), *map(str, values), str(WARM_S * 1000)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    offered = Generator(generator, load).result()
    process.terminate()
    words = process.stdout.read().split()
    assert process.wait(60) == 0
    process.stdout.close()
    paths = {int(path.stem, 16): path for path in root.iterdir()}
    found = check_captures(paths)
    cost = float(words[7]) / int(words[9]) * 1e6
    result = Result(f"C reference, visits of {tick_ms:.0f} ms", offered, cost, found, disk_bytes(paths, found.unique))
    shutil.rmtree(root)
    return result
