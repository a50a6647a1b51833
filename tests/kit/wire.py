"""The network between a lab host and its switch, made worse: delay, reordering and loss.

`Wire` passes every Ethernet frame through this process, because kernels without netem cannot delay; `dropping` loses a
share of them by nftables. Both know nothing of what the frames carry: SIP, RTP, PostgreSQL and the hosts' own
connections suffer alike.
"""

from __future__ import annotations

import heapq
import itertools
import random
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from recorder.lab.network import LabNetwork
from tests.kit.namespaces import inside

_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_ETH_P_ALL: Final = 0x0003
_FRAME: Final = 1 << 17
"""Bytes; the kernel hands segments over that it has not cut into packets yet."""
_BUFFER: Final = 4 << 20
_IDLE_S: Final = 0.05
_TABLES: Final = itertools.count(1)
"""Each `dropping` has one of its own."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a wire does to each frame, in both directions."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so many seconds more, drawn for each frame: more than the distance between two frames reorders them."""


class Wire:
    """Between a host and the switch for as long as the context lasts.

    Args:
        network: of the lab.
        host: whose connection it is.
        impairment: see there.
        rng: draws the delays.

    """

    def __init__(self, network: LabNetwork, host: str, impairment: Impairment, rng: random.Random) -> None:
        self._network, self._impairment, self._rng = network, impairment, rng
        self._port = network.port(host)
        self._outer, self._inner = f"w-{host}", f"b-{host}"
        self._ended = threading.Event()
        self._due: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = 0

    def __enter__(self) -> Wire:
        with inside(self._network.switch):
            _run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner)
            _run("ip", "link", "set", self._outer, "up")
            self._ends = [_packets(name) for name in (self._port, self._outer)]
            self._thread = threading.Thread(target=self._pass, daemon=True)
            self._thread.start()
            _run("ip", "link", "set", self._port, "nomaster")
            _run("ip", "link", "set", self._inner, "master", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        with inside(self._network.switch):
            _run("ip", "link", "set", self._inner, "nomaster")
            _run("ip", "link", "set", self._port, "master", "br0")
            # What is under way arrives yet.
            self._ended.set()
            self._thread.join()
            _run("ip", "link", "del", self._outer)
        for end in self._ends:
            end.close()

    def _pass(self) -> None:
        across = {self._ends[0]: self._ends[1], self._ends[1]: self._ends[0]}
        while not self._ended.is_set() or self._due:
            self._deliver()
            wait = min(_IDLE_S, self._due[0][0] - time.monotonic()) if self._due else _IDLE_S
            for end in select.select(self._ends, [], [], max(wait, 0.0))[0]:
                with suppress(BlockingIOError):
                    while not self._ended.is_set():
                        self._take(end.recv(_FRAME), across[end])

    def _take(self, frame: bytes, to: socket.socket) -> None:
        worse = self._impairment
        self._count += 1
        due = time.monotonic() + worse.delay_s + worse.jitter_s * self._rng.random()
        heapq.heappush(self._due, (due, self._count, to, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, to, frame = heapq.heappop(self._due)
            # A full queue and a link that goes down lose frames, as they do on any wire.
            with suppress(OSError):
                to.send(frame)


@contextmanager
def dropping(network: LabNetwork, host: str, per_cent: int) -> Iterator[None]:
    """Lose a share of what comes from a host, which ones is the kernel's choice; bursts of it are as random.

    May be begun again for the same host before it ends: what one lets through, the other may lose.
    """
    table = f"drop-{host}-{next(_TABLES)}"
    with inside(network.switch):
        _run("nft", "add", "table", "netdev", table)
    try:
        with inside(network.switch):
            chain = f"{{ type filter hook ingress device {network.port(host)} priority 0 ; }}"
            _run("nft", "add", "chain", "netdev", table, "loss", chain)
            _run("nft", "add", "rule", "netdev", table, "loss", f"numgen random mod 100 < {per_cent} drop")
        yield
    finally:
        with inside(network.switch):
            _run("nft", "delete", "table", "netdev", table)


def _packets(interface: str) -> socket.socket:
    """Return a socket that takes and gives frames of an interface, unfinished checksums and segments included."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    end.bind((interface, _ETH_P_ALL))
    end.setblocking(False)
    return end


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
