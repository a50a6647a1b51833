"""Ports that flood a packet ring: taken out of it, so that their own sockets bound what they cost (docs/adr/0014).

A ring is shared by every stream of its writer, a socket is not. While a port is diverted its packets pass no ring; what
its socket holds is read once a visit, as `socket_source` does, and the kernel drops the rest and counts it there.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.arena import PER_CALL, RTCP_BIT, Arena, Discarder
from media.writer.config import PortPair
from media.writer.intake import Intake
from media.writer.kernel import dropped_datagrams, drops_since
from media.writer.packet_socket import accept_datagrams, attach_filter, port_filter, refuse_datagrams
from media.writer.ring import PacketRing
from media.writer.stream import LiveStream
from media.writer.table import PortTable

_log: Final = logging.getLogger(__name__)

_MOST: Final = 64
"""Ports diverted at once: each costs every packet of the writer an instruction of the ring's filter."""
TURNS: Final = 4
"""Calls for one socket in a visit: 256 datagrams."""
LAST_TURNS: Final = 64
"""Calls when a stream ends or changes."""
_QUIET: Final = 256
"""Datagrams of a visit, dropped ones included, up to which it is a quiet one."""
_QUIET_VISITS: Final = 20
"""Quiet visits after which a port goes back to the ring: 10 s."""
_HALF: Final = 1 << 31
_NEVER: Final = np.iinfo(np.int64).max


@dataclass(slots=True, eq=False)
class _Diverted:
    """One port."""

    since_ns: int
    """What its socket took before this has come through the ring; 0 once something behind it is read, because the wall
    clock may be set back after that."""
    dropped: int
    """The socket's counter at the last visit."""
    quiet: int = 0


class Diversion:
    """Diverts ports and reads them; arguments as for `RingSource`, `reserved` by port row as it is at the moment."""

    def __init__(
        self,
        rings: Sequence[PacketRing],
        arena: Arena,
        intake: Intake,
        table: PortTable,
        *,
        pairs: Sequence[PortPair],
        streams: Sequence[LiveStream | None],
        reserved: NDArray[np.bool_],
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._rings = rings
        self._arena = arena
        self._sifter = intake.sifter
        self._takes = (intake.take_rtp, intake.take_rtcp)
        self._table = table
        self._pairs = pairs
        self._streams = streams
        self._reserved = reserved
        self._wall_ns = wall_ns
        self._host = ipaddress.ip_address(pairs[0].rtp.getsockname()[0])
        ports = [pair.port for pair in pairs]
        self._share = min(ports), max(ports) + 1
        self._diverted: dict[tuple[int, int], _Diverted] = {}
        self._discarder = Discarder()
        # A predecessor may have diverted some.
        self._filter()

    def begin(self, ports: Iterable[tuple[int, int]]) -> None:
        """Divert ports; (row, kind) each, kind 0 for RTP and 1 for RTCP."""
        for row, kind in ports:
            sock = self._socket(row, kind)
            if sock is None or (row, kind) in self._diverted or len(self._diverted) >= _MOST:
                continue
            _log.warning("a port floods the packet ring", extra={"port": self._pairs[row].port + kind})
            if self._streams[row] is not None or self._reserved[row]:
                accept_datagrams(sock)
            dropped = dropped_datagrams(sock)
            found = self._diverted[row, kind] = _Diverted(0, dropped)
            before_ns = self._filter()
            # What waits for keys its socket has taken since it was opened, and the ring has not.
            if not self._awaits_keys(row):
                found.since_ns = before_ns
                self._arena.told_drops[row, kind] = dropped

    def end(self, row: int) -> None:
        """Let the ring bring the packets of a row's ports again; what their sockets still hold is taken."""
        for kind in (0, 1):
            self._give_back(row, kind)

    def visit(self, turns: int) -> None:
        """Read the sockets of diverted ports in so many calls each, and give back those that flood no more."""
        for (row, kind), found in list(self._diverted.items()):
            taken = self._read(row, kind, found, _NEVER, turns=turns)
            sock = self._socket(row, kind)
            dropped = dropped_datagrams(sock) if sock is not None else 0
            quiet = taken + (dropped - found.dropped & 0xFFFF_FFFF) <= _QUIET
            found.dropped, found.quiet = dropped, found.quiet + 1 if quiet else 0
            if found.quiet >= _QUIET_VISITS:
                self._give_back(row, kind)

    def untold_drops(self, stream: LiveStream) -> int:
        """Return how many datagrams a diverted stream's socket dropped behind the last one that could tell."""
        if (stream.row, 0) not in self._diverted:
            return 0
        return drops_since(stream.pair.rtp, int(self._arena.told_drops[stream.row, 0]))

    def _give_back(self, row: int, kind: int) -> None:
        found = self._diverted.pop((row, kind), None)
        sock = self._socket(row, kind)
        if found is None or sock is None:
            return
        self._filter()
        until_ns, counted = self._wall_ns(), dropped_datagrams(sock)
        if not self._awaits_keys(row):
            refuse_datagrams(sock)
        self._read(row, kind, found, until_ns, turns=LAST_TURNS)
        dropped = counted - int(self._arena.told_drops[row, kind]) & 0xFFFF_FFFF
        if 0 < dropped < _HALF:
            since_ns = max(int(self._table.last_arrival_ns[row]), found.since_ns)
            self._sifter.tell_drops(row, kind, dropped, since_ns, until_ns)

    def _read(self, row: int, kind: int, diverted: _Diverted, until_ns: int, *, turns: int) -> int:
        """Take what a socket holds; return how many datagrams that were."""
        stream, sock = self._streams[row], self._socket(row, kind)
        if stream is None or sock is None or stream.awaits_keys:
            return 0
        if not stream.spec.recording and not kind:
            dropped = self._discarder.discard(sock.fileno(), turns * PER_CALL)
            self._table.paused[row] += dropped
            return dropped
        taken = 0
        for _ in range(turns):
            found = self._arena.take_one(sock.fileno(), self._pairs[row].port | (RTCP_BIT if kind else 0))
            if found is None:
                break
            taken += len(found)
            arrival_ns = found.columns().arrival_ns
            fresh = np.flatnonzero((arrival_ns >= diverted.since_ns) & (arrival_ns <= until_ns))
            if len(fresh):
                diverted.since_ns = 0
                self._takes[kind](found.chosen(fresh), np.array([row], np.int64), np.array([len(fresh)], np.int64))
        return taken

    def _awaits_keys(self, row: int) -> bool:
        stream = self._streams[row]
        return stream is not None and stream.awaits_keys

    def _socket(self, row: int, kind: int) -> socket.socket | None:
        return self._pairs[row].rtcp if kind else self._pairs[row].rtp

    def _filter(self) -> int:
        """Let the rings leave out what is diverted; return the wall clock of the moment before."""
        without = sorted(self._pairs[row].port + kind for row, kind in self._diverted)
        programs = [port_filter(ring.family, self._host, self._share, without=without) for ring in self._rings]
        before_ns = self._wall_ns()
        for ring, program in zip(self._rings, programs, strict=True):
            attach_filter(ring.sock, program)
        return before_ns
