"""Received datagrams without sockets, for the parts of the writer that look at arrays."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np

from media.writer.kernel import CONTROL_TIME, CONTROL_TIME_DROPS, MESSAGE, MSG_TRUNC
from media.writer.slots import HEAD, REST, Slots

NOW = 1_772_366_400_000_000_000
MS = 1_000_000


@dataclass(frozen=True)
class Received:
    """One datagram as the kernel would have told it."""

    data: bytes
    host: str = "192.0.2.1"
    port: int = 4000
    at_ms: float = 0
    timed: bool = True
    drops: int = 0
    """The socket's drop counter, told once it is not 0."""
    cut: bool = False


def datagrams(received: list[Received]) -> Slots:
    count = len(received)
    found = Slots(
        np.full((count, HEAD), 0xEE, np.uint8),
        np.full((count, REST), 0xEE, np.uint8),
        np.zeros((count, 4), np.uint64),
        np.zeros((count, 8), np.int64),
        np.zeros(count, MESSAGE),
    )
    for slot, one in enumerate(received):
        head, rest = one.data[:HEAD], one.data[HEAD:]
        found.heads[slot, : len(head)] = np.frombuffer(head, np.uint8)
        found.rests[slot, : len(rest)] = np.frombuffer(rest, np.uint8)
        name = struct.pack("<H", socket.AF_INET) + struct.pack(">H", one.port) + socket.inet_aton(one.host)
        found.names[slot] = np.frombuffer(name.ljust(32, b"\0"), np.uint64)
        arrival = NOW + int(one.at_ms * MS)
        found.controls[slot, 2:4] = divmod(arrival, 1_000_000_000)
        found.controls[slot, 6] = one.drops
        message = found.messages[slot]
        message["name_length"] = 16
        message["length"] = len(one.data)
        message["control_length"] = (CONTROL_TIME_DROPS if one.drops else CONTROL_TIME) if one.timed else 0
        message["flags"] = MSG_TRUNC if one.cut else 0
    return found
