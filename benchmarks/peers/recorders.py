"""Starts the others, gives them the load, and looks at what they kept."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.capture.load import RECEIVER_CPU, Generator, Load
from benchmarks.peers.ng import NgClient, Value
from media.writer.packet_socket import refuse_datagrams

_IDLE_LOOK_S, _IDLE, _IDLE_LIMIT_S = 0.5, 0.01, 30.0
"""A process that used no more than 10 ms of CPU in half a second has nothing left to do."""
_NG_PORT: Final = 2223
_RECORD: Final = 16 + 20 + 8 + 172
"""Bytes of one packet in a raw pcap file: record header, IP, UDP, RTP."""
_PCAP_HEADER: Final = 24


@dataclass(frozen=True)
class Figure:
    """What one recorder cost."""

    name: str
    microseconds: float
    """CPU per packet."""
    sent: int
    kept: int

    def row(self) -> str:
        return f"{self.name:<18} {self.microseconds:7.2f} us/packet  sent {self.sent}  kept {self.kept}"


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def measured(pid: int, generator: Path, load: Load, ports: list[int]) -> tuple[float, int]:
    """Give the load, wait until it is worked off; return the CPU seconds of the process, and how many were sent."""
    before = cpu_seconds(pid)
    offered = Generator(generator, load, ports).result()
    deadline = time.monotonic() + _IDLE_LIMIT_S
    used, seen = -1.0, cpu_seconds(pid)
    while seen - used > _IDLE and time.monotonic() < deadline:
        time.sleep(_IDLE_LOOK_S)
        used, seen = seen, cpu_seconds(pid)
    return seen - before, offered.sent


@contextmanager
def rtpengine(directory: Path, threads: int) -> Iterator[tuple[subprocess.Popen[bytes], NgClient]]:
    """A running rtpengine in user space that records into `directory`."""
    binary = shutil.which("rtpengine")
    if binary is None:
        sys.exit("rtpengine is missing: apt-get install --no-install-recommends rtpengine-daemon")
    log = (directory / "rtpengine.log").open("wb")
    process = subprocess.Popen(
        [
            *("taskset", "-c", str(RECEIVER_CPU), binary, "--config-file=none", "--foreground", "--log-stderr"),
            *("--log-level=4", "--table=-1", "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{_NG_PORT}"),
            *("--port-min=10000", "--port-max=30000", f"--num-threads={threads}"),
            *("--recording-method=pcap", "--recording-format=raw", f"--recording-dir={directory}"),
        ],
        stdout=log,
        stderr=log,
        cwd=directory,
    )
    log.close()
    client = NgClient(_NG_PORT)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                client.ask({"command": "ping"})
                break
            except OSError:
                assert process.poll() is None, (directory / "rtpengine.log").read_text()
                assert time.monotonic() < deadline, "rtpengine does not answer"
                time.sleep(0.1)
        yield process, client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_rtpengine(directory: Path, generator: Path, load: Load) -> Figure:
    """Record calls with rtpengine."""
    root = directory / "rtpengine"
    root.mkdir()
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    refuse_datagrams(sink)
    sdp = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {sink.getsockname()[1]} RTP/AVP 0\r\na=sendrecv\r\n"
    )
    with rtpengine(root, threads=1) as (process, client):
        ports: list[int] = []
        for call in range(load.streams // 2):
            common: dict[str, Value] = {"call-id": f"c{call}", "from-tag": "a", "ICE": "remove", "sdp": sdp}
            second = client.port({**common, "command": "offer", "record call": "yes", "flags": ["trust address"]})
            first = client.port({**common, "command": "answer", "to-tag": "b", "flags": ["trust address"]})
            ports += [first, second]
        cost, sent = measured(process.pid, generator, load, ports)
        for call in range(load.streams // 2):
            client.ask({"command": "delete", "call-id": f"c{call}", "from-tag": "a", "delete-delay": 0})
    sink.close()
    kept = sum(_packets(path) for path in (root / "pcaps").iterdir())
    shutil.rmtree(root)
    return Figure("rtpengine, pcap", cost / kept * 1e6, sent, kept)


def _packets(path: Path) -> int:
    """Count the different packets of our load in a pcap file; all have the same size."""
    raw: NDArray[np.uint8] = np.fromfile(path, np.uint8)[_PCAP_HEADER:]
    records = raw[: len(raw) // _RECORD * _RECORD].reshape(-1, _RECORD)
    words = np.ascontiguousarray(records[:, _RECORD - 160 :]).view("<u4")
    return len(np.unique(words[:, 1].astype(np.int64) << 32 | words[:, 2]))


def run_asyncio(directory: Path, generator: Path, load: Load) -> Figure:
    """Record calls with the plain asyncio recorder."""
    root = directory / "asyncio"
    root.mkdir()
    command = [sys.executable, "-m", "benchmarks.peers.asyncio_recorder"]
    process = subprocess.Popen(
        [*command, str(root), str(load.streams), str(RECEIVER_CPU)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ports = [int(one) for one in process.stdout.readline().split()]
        cost, sent = measured(process.pid, generator, load, ports)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    kept = sum(_frames(path) for path in root.iterdir())
    shutil.rmtree(root)
    return Figure("asyncio", cost / kept * 1e6, sent, kept)


def _frames(path: Path) -> int:
    raw: NDArray[np.uint8] = np.fromfile(path, np.uint8)
    words = raw[len(raw) % 160 :].reshape(-1, 160).view("<u4")
    return len(np.unique(words[:, 1].astype(np.int64) << 32 | words[:, 2]))
