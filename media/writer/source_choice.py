"""Which packet source a writer uses: its rings if it was given some, else its sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from media.writer.arena import Arena
from media.writer.config import PortPair, WriterConfig
from media.writer.intake import Intake
from media.writer.packet_socket import accept_datagrams
from media.writer.packet_source import PacketSource
from media.writer.ring import PacketRing
from media.writer.ring_source import RingSource
from media.writer.roster import Roster
from media.writer.socket_source import SocketSource
from media.writer.table import PortTable


def open_source(
    config: WriterConfig,
    pairs: Sequence[PortPair],
    rings: Sequence[socket.socket],
    *,
    arena: Arena,
    intake: Intake,
    table: PortTable,
    roster: Roster,
    reserved: NDArray[np.int64],
    wall_ns: Callable[[], int],
) -> PacketSource:
    """Return the source; `reserved` are the port rows that wait for adoption.

    Errors: `ResourceError` if a descriptor given as a ring is none.

    """
    if rings:
        return RingSource(
            [PacketRing(ring) for ring in rings],
            arena,
            intake,
            table,
            pairs=pairs,
            streams=roster.streams,
            reserved=reserved,
            wall_ns=wall_ns,
        )
    for pair in pairs:
        for sock in (pair.rtp, pair.rtcp):
            if sock is not None:
                accept_datagrams(sock)
    return SocketSource(arena, intake, table, wall_ns=wall_ns)
