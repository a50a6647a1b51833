"""Packet source A: a socket per port, visited in turn with recvmmsg. No privilege, no commands, no files.

Fairness: each socket gives at most one call's worth before the next one has its turn, and a bounded number of turns in
one visit, so that a flood on one port is left to the kernel's buffer of that port.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import model
from media.writer.arena import PER_CALL, RTCP_BIT, Arena, Discarder
from media.writer.carousel import Carousel, Group, Sockets, sockets_of
from media.writer.intake import Intake
from media.writer.kernel import dropped_datagrams, drops_since
from media.writer.packet_source import Take, Turn
from media.writer.slots import Slots
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import PortTable

_log: Final = logging.getLogger(__name__)

_TURNS: Final = 4
"""Turns of a socket in one visit: 256 datagrams, as many as the default receive buffer holds."""
_LAST_TURNS: Final = 64
"""Turns when a stream ends or changes: everything that a receive buffer of 4 MiB can hold."""
_RTCP_EVERY: Final = 4
"""Visits of a group for one visit of its RTCP sockets: reports come every few seconds."""
_STALE_LIMIT: Final = 64 * PER_CALL
"""Datagrams discarded when a port is taken; more than any receive buffer holds of one stream."""


class SocketSource:
    """Empties sockets into captures; implements `PacketSource`.

    Args:
        arena: where the kernel puts datagrams.
        intake: what appends them.
        table: columns by port row.
        wall_ns: wall clock.

    """

    def __init__(
        self,
        arena: Arena,
        intake: Intake,
        table: PortTable,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._arena = arena
        self._intake = intake
        self._table = table
        self._carousel = Carousel()
        self._discarder = Discarder()
        self._saved: dict[int, list[Slots]] = arena.recovered
        """Datagrams of a dead predecessor, by noted port."""

    def add(self, session: LiveSession, now: float) -> None:
        """Visit a session's sockets from now on."""
        self._carousel.add(session, now)

    def remove(self, session: LiveSession) -> None:
        """Visit a session's sockets no more."""
        self._carousel.remove(session)

    def refresh(self, session: LiveSession) -> None:
        """Take note of a session's changed streams."""
        self._carousel.refresh(session)

    def connect(self, stream: LiveStream, *, adopt: bool) -> None:
        """Discard what waits in a stream's sockets unless it is adopted, and count drops from now on."""
        for kind, sock in enumerate((stream.pair.rtp, stream.pair.rtcp)):
            if sock is None:
                continue
            if not adopt:
                self._discarder.discard(sock.fileno(), _STALE_LIMIT)
            if not (adopt and self._arena.inherited):
                self._arena.told_drops[stream.row, kind] = dropped_datagrams(sock)

    def untold_drops(self, stream: LiveStream) -> int:
        """Ask the RTP socket for drops since the last datagram."""
        return drops_since(stream.pair.rtp, int(self._arena.told_drops[stream.row, 0]))

    def begin(self, now: float) -> None:
        """Begin a round over all groups of sockets."""
        self._carousel.begin()

    def due(self, now: float) -> Turn | None:
        """Return the group whose turn it is."""
        due = self._carousel.due(now)
        if due is None:
            return None
        group, since_s = due
        return Turn(since_s, group.sessions.values(), partial(self._visit, group))

    def drain(self, session: LiveSession) -> None:
        """Empty a session's sockets under its present stream table."""
        rtp, rtcp, paused = sockets_of(session)
        self._empty(rtp, self._intake.take_rtp, _LAST_TURNS)
        self._empty(rtcp, self._intake.take_rtcp, _LAST_TURNS)
        self._discard(paused, _LAST_TURNS * PER_CALL)

    def adopt(self, session: LiveSession, streams: Sequence[LiveStream]) -> None:
        """Append what a dead predecessor had read for the ports of these streams; paused ones lose it."""
        pieces: list[tuple[Take, Slots, int]] = []
        for stream in streams:
            for noted, take in (
                (stream.pair.port, self._intake.take_rtp),
                (stream.pair.port | RTCP_BIT, self._intake.take_rtcp),
            ):
                found = self._saved.pop(noted, ())
                if stream.spec.recording:
                    pieces += [(take, datagrams, stream.row) for datagrams in found]
        count = sum(len(datagrams) for _, datagrams, _ in pieces)
        if count:
            session.file.event(model.Recovered(packets=count, at_ns=self._wall_ns()))
        for take, datagrams, row in pieces:
            take(datagrams, np.array([row], np.int64), np.array([len(datagrams)], np.int64), recovered=True)

    def disown(self, streams: Sequence[LiveStream]) -> None:
        """Forget what was saved for ports that now serve another session."""
        for stream in streams:
            self._saved.pop(stream.pair.port, None)
            self._saved.pop(stream.pair.port | RTCP_BIT, None)

    def forget_saved(self) -> None:
        """Give up on saved datagrams whose sessions nobody has adopted in time."""
        if self._saved:
            lost = sum(len(datagrams) for runs in self._saved.values() for datagrams in runs)
            _log.warning("saved packets belong to no adopted session", extra={"packets": lost})
            self._saved.clear()

    def _visit(self, group: Group) -> None:
        self._empty(group.rtp, self._intake.take_rtp, _TURNS)
        if group.visits % _RTCP_EVERY == 0:
            self._empty(group.rtcp, self._intake.take_rtcp, 1)
        if group.paused:
            self._discard(group.paused, _TURNS * PER_CALL)
        group.visits += 1

    def _discard(self, paused: Sequence[tuple[int, int]], limit: int) -> None:
        """Drop and count what waits in the sockets of paused streams; (descriptor, row) each."""
        for fd, row in paused:
            self._table.paused[row] += self._discarder.discard(fd, limit)

    def _empty(self, sockets: Sockets, take: Take, turns: int) -> None:
        arena = self._arena
        for _ in range(turns):
            if not sockets.fds:
                return
            arena.note(sockets.noted)
            hungry: list[NDArray[np.int64]] = []
            first = 0
            while first < len(sockets.fds):
                stop = arena.fill(sockets.fds, first)
                counts = arena.counts(first, stop)
                if arena.used:
                    take(arena.filled(), sockets.rows[first:stop], counts)
                arena.give_back()
                hungry.append(first + np.flatnonzero(counts == PER_CALL))
                first = stop
            sockets = sockets.only(np.concatenate(hungry))
