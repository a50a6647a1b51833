"""The load of the capture benchmarks: C programs compiled on the spot, senders on cores of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HOST = "127.0.0.1"
FIRST_PORT, STEP = 10000, 2
RECEIVER_CPU = 0
WARM_S = 1.2
"""Seconds of load before the measurement begins."""


@dataclass(frozen=True)
class Load:
    streams: int
    """RTP streams, two to a call."""
    seconds: float
    jitter_ms: float = 5.0
    reorder: int = 3
    """Packets per thousand that come 25 to 45 ms late."""
    loss: int = 0
    """Packets per thousand that are not sent."""
    receive_buffer: int = 0
    """SO_RCVBUF; 0 for what the recorder asks for."""
    srtp: str = ""
    """Crypto-suite; empty for plain RTP."""
    reports: bool = False
    """Whether the writer sends receiver reports, to a port that nobody reads."""
    sealed: tuple[str, int] | None = None
    """File of the sealed packets and the size of one."""


@dataclass(frozen=True)
class Offered:
    """What the generator did."""

    sent: int
    left_out: int
    late_ms: float
    """Worst lateness of a sending slot."""
    cpu_s: float


def isolate(module: str) -> None:
    """Start again in a network namespace with a loopback of its own, if we may."""
    inside = "CAPTURE_BENCH_NAMESPACE"
    if os.environ.get(inside):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            up = struct.pack("16sH14x", b"lo", 0x1 | 0x40)
            fcntl.ioctl(sock, 0x8914, up)  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    elif os.geteuid() == 0 and shutil.which("unshare"):
        os.environ[inside] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", module, *sys.argv[1:]])


def compile_c(directory: Path, name: str) -> Path:
    if shutil.which("gcc") is None:
        sys.exit("the capture benchmark needs a C compiler: apt-get install gcc libc6-dev zlib1g-dev")
    target = directory / name
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(target), str(HERE / f"{name}.c"), "-lz"], check=True
    )
    return target


def sender_cores() -> list[int]:
    """The receiver has its core for itself."""
    others = sorted(os.sched_getaffinity(0) - {RECEIVER_CPU})
    return others or [RECEIVER_CPU]


class Generator:
    """The running load: one process for each core that is not the receiver's, each with its share of the streams.

    Args:
        binary: compiled generator.c.
        load: what to send.
        ports: port of each stream; None for `FIRST_PORT` + `STEP` x stream.

    """

    def __init__(self, binary: Path, load: Load, ports: Sequence[int] | None = None) -> None:
        cores = sender_cores()
        listed = ports or [FIRST_PORT + STEP * stream for stream in range(load.streams)]
        told = " ".join(map(str, listed)).encode()
        values = (HOST, load.streams, load.seconds, load.jitter_ms, load.reorder, load.loss, len(cores))
        self.processes = [
            subprocess.Popen(
                ["taskset", "-c", str(core), str(binary), *map(str, values), str(part), *map(str, load.sealed or ())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for part, core in enumerate(cores)
        ]
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(told)
            process.stdin.close()

    def result(self) -> Offered:
        """Wait for its end."""
        found = []
        for process in self.processes:
            assert process.stdout is not None
            words = process.stdout.read().split()
            assert process.wait() == 0
            assert words[5] == b"0", f"the generator could not send: {words}"
            found.append(Offered(int(words[1]), int(words[3]), float(words[7]), float(words[9])))
        return Offered(
            sum(one.sent for one in found),
            sum(one.left_out for one in found),
            max(one.late_ms for one in found),
            sum(one.cpu_s for one in found),
        )
