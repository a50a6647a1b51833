"""CPU per captured packet of the writer, against plain C in the same session, with every packet's content checked.

`python -m benchmarks.capture --short` takes less than 50 s; its last line is `ratio X.XX, lost N, streams N`.
The reference writes the same captures: records, packets, chained checksums. It runs at two visit intervals, and its
better one counts. Receiver and generator are pinned to a core each. As root the benchmark moves into a network
namespace of its own, so that nobody else's ports are in the way.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capture.content import Found, check_captures
from media.writer.framing import FrameBuffer, decode_reply, encode_frame
from media.writer.protocol import (
    CloseSession,
    Codec,
    Heartbeat,
    OpenSession,
    Reply,
    SessionClosed,
    SessionOpened,
    StreamSpec,
)

HERE = Path(__file__).parent
HOST = "127.0.0.1"
FIRST_PORT, STEP = 20000, 2
RECEIVER_CPU, GENERATOR_CPU = 0, 1
WARM_S = 1.2
"""Seconds of load before the measurement begins."""
PCMU = {0: Codec(name="PCMU", clock_rate=8000)}


@dataclass(frozen=True)
class Load:
    streams: int
    seconds: float
    jitter_ms: float
    reorder: int
    loss: int
    receive_buffer: int


@dataclass(frozen=True)
class Result:
    name: str
    sent: int
    late_ms: float
    microseconds: float
    """CPU per packet once every source is known; the opening of calls is not the subject here."""
    found: Found

    @property
    def lost(self) -> int:
        return self.sent - self.found.unique

    def row(self) -> str:
        return (
            f"{self.name:<26} {self.microseconds:7.3f} us/packet  sent {self.sent}  lost {self.lost}  "
            f"wrong {self.found.wrong}  duplicates {self.found.duplicates}  generator late {self.late_ms:.1f} ms"
        )


def isolate() -> None:
    """Start again in a network namespace with a loopback of its own, if we may."""
    inside = "CAPTURE_BENCH_NAMESPACE"
    if os.environ.get(inside):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            up = struct.pack("16sH14x", b"lo", 0x1 | 0x40)
            fcntl.ioctl(sock, 0x8914, up)  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    elif os.geteuid() == 0 and shutil.which("unshare"):
        os.environ[inside] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "benchmarks.capture", *sys.argv[1:]])


def compile_c(directory: Path, name: str) -> Path:
    target = directory / name
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(target), str(HERE / f"{name}.c"), "-lz"], check=True
    )
    return target


class Generator:
    """The running load."""

    def __init__(self, binary: Path, load: Load) -> None:
        values = (HOST, FIRST_PORT, STEP, load.streams, load.seconds, load.jitter_ms, load.reorder, load.loss)
        self.process = subprocess.Popen(
            ["taskset", "-c", str(GENERATOR_CPU), str(binary), *map(str, values)], stdout=subprocess.PIPE, text=True
        )

    def result(self) -> tuple[int, float]:
        """Wait for its end; return packets sent and its worst lateness in ms."""
        output, _ = self.process.communicate()
        words = output.split()
        assert self.process.returncode == 0
        assert words[5] == "0", f"the generator could not send: {output}"
        return int(words[1]), float(words[7])


class Control:
    """A blocking frontend that can pipeline."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + 20
        while self.socket.connect_ex(str(path)):
            assert time.monotonic() < deadline, "the writer did not start"
            time.sleep(0.05)
        self.frames = FrameBuffer()
        self.beat: Heartbeat | None = None

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
        # One may have waited in the socket: the one after it is fresh.
        beat = self.replies(lambda reply: isinstance(reply, Heartbeat), 2)[-1]
        assert isinstance(beat, Heartbeat)
        assert not beat.failed, beat.failed
        return beat


def run_writer(directory: Path, generator: Path, load: Load, visit_ms: float) -> Result:
    root = directory / "writer-files"
    root.mkdir()
    arena = Path("/dev/shm") / f"bench-{os.getpid()}.arena"
    values = (HOST, FIRST_PORT, STEP, load.streams, visit_ms / 1000, root, arena, load.receive_buffer, RECEIVER_CPU)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.capture.writer_process", *map(str, values)])
    try:
        control = Control(root / "control")
        calls = load.streams // 2
        names = [uuid.uuid4().hex for _ in range(calls)]
        for call, name in enumerate(names):
            streams = [
                StreamSpec(index=side, party=side, payload_types=PCMU, port=FIRST_PORT + (2 * call + side) * STEP)
                for side in (0, 1)
            ]
            control.send(OpenSession(request=call, epoch=1, session=name, descriptor={"call": call}, streams=streams))
        opened = control.replies(lambda reply: isinstance(reply, SessionOpened), calls)
        paths = {one.request: Path(one.capture_path) for one in opened if isinstance(one, SessionOpened)}
        running = Generator(generator, load)
        time.sleep(WARM_S)
        before = control.heartbeat()
        sent, late_ms = running.result()
        time.sleep(visit_ms / 1000)
        after = control.heartbeat()
        for call, name in enumerate(names):
            control.send(CloseSession(request=call, epoch=1, session=name, cause="bye"))
        closed = control.replies(lambda reply: isinstance(reply, SessionClosed), calls)
        reports = [report for one in closed if isinstance(one, SessionClosed) for report in one.streams]
        dropped = sum(report.kernel_drops for report in reports)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        arena.unlink(missing_ok=True)
    name = f"writer, {visit_ms:.0f} ms" + (f" ({dropped} dropped)" if dropped else "")
    cost = (after.cpu_seconds - before.cpu_seconds) / (after.packets - before.packets) * 1e6
    result = Result(name, sent, late_ms, cost, check_captures(paths))
    shutil.rmtree(root)
    return result


def run_reference(directory: Path, binaries: tuple[Path, Path], load: Load, tick_ms: float) -> Result:
    generator, reference = binaries
    root = directory / "reference-files"
    root.mkdir()
    values = (HOST, FIRST_PORT, STEP, load.streams, tick_ms, 400, root, load.receive_buffer)
    warm_ms = WARM_S * 1000
    process = subprocess.Popen(
        ["taskset", "-c", str(RECEIVER_CPU), str(reference), *map(str, values), str(warm_ms)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    sent, late_ms = Generator(generator, load).result()
    process.terminate()
    words = process.stdout.read().split()
    assert process.wait(20) == 0
    process.stdout.close()
    paths = {int(path.stem, 16): path for path in root.iterdir()}
    result = Result(
        f"C reference, {tick_ms:.0f} ms", sent, late_ms, float(words[7]) / int(words[9]) * 1e6, check_captures(paths)
    )
    shutil.rmtree(root)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one round below 50 s")
    parser.add_argument("--streams", type=int, default=2000, help="RTP streams, two to a call")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load in each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--visit-ms", type=float, default=400.0, help="the writer's visit interval")
    parser.add_argument("--jitter-ms", type=float, default=5.0)
    parser.add_argument("--reorder", type=int, default=3, help="packets per thousand that come 25 to 45 ms late")
    parser.add_argument("--loss", type=int, default=0, help="packets per thousand that are not sent")
    parser.add_argument("--receive-buffer", type=int, default=0, help="SO_RCVBUF, 0 for the system's default")
    parser.add_argument("--directory", type=Path, default=None, help="where to write the captures")
    told = parser.parse_args()
    isolate()
    rounds, seconds = (1, min(told.seconds, 6.0)) if told.short else (told.rounds, told.seconds)
    load = Load(told.streams // 2 * 2, seconds, told.jitter_ms, told.reorder, told.loss, told.receive_buffer)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    writers: list[Result] = []
    references: dict[float, list[Result]] = {200.0: [], 400.0: []}
    with tempfile.TemporaryDirectory(prefix="capture-bench-", dir=told.directory) as scratch:
        directory = Path(scratch)
        binaries = compile_c(directory, "generator"), compile_c(directory, "reference")
        for _ in range(rounds):
            for tick_ms, results in references.items():
                results.append(run_reference(directory, binaries, load, tick_ms))
                print(results[-1].row(), flush=True)
            writers.append(run_writer(directory, binaries[0], load, told.visit_ms))
            print(writers[-1].row(), flush=True)
    reference = min(statistics.median(one.microseconds for one in results) for results in references.values())
    ratio = statistics.median(one.microseconds for one in writers) / reference
    wrong = sum(one.found.wrong + one.found.duplicates for one in writers)
    print(f"ratio {ratio:.2f}, lost {sum(one.lost for one in writers) + wrong}, streams {load.streams}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
