"""Visits of sockets: which ones, how often in turn, and what becomes of what they gave. No commands, no files.

Fairness: each socket gives at most one call's worth before the next one has its turn, and a bounded number of turns in
one visit, so that a flood on one port is left to the kernel's buffer of that port.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from media.writer.arena import PER_CALL, RTCP_BIT, Arena, Datagrams
from media.writer.carousel import Group, Sockets, sockets_of
from media.writer.intake import Intake
from media.writer.roster import Roster
from media.writer.stream import LiveSession, LiveStream

_log: Final = logging.getLogger(__name__)

_TURNS: Final = 4
"""Turns of a socket in one visit: 256 datagrams, as many as the default receive buffer holds."""
_LAST_TURNS: Final = 64
"""Turns when a stream ends or changes: everything that a receive buffer of 4 MiB can hold."""
_RTCP_EVERY: Final = 4
"""Visits of a group for one visit of its RTCP sockets: reports come every few seconds."""


class _Take(Protocol):
    def __call__(
        self, datagrams: Datagrams, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None: ...


class Reception:
    """Empties sockets into captures.

    Args:
        arena: where the kernel puts datagrams.
        intake: what appends them.
        roster: whose sockets they are.

    Errors: `CaptureLost` from appending, `LostError` from receiving; the arena then keeps what was read, for a
    successor.

    """

    def __init__(self, arena: Arena, intake: Intake, roster: Roster) -> None:
        self._arena = arena
        self._intake = intake
        self._roster = roster
        self._saved: dict[int, list[Datagrams]] = arena.recovered
        """Datagrams of a dead predecessor, by noted port."""

    def visit(self, group: Group) -> None:
        """Take what waits for the sessions of a group."""
        self._empty(group.rtp, self._intake.take_rtp, _TURNS)
        if group.visits % _RTCP_EVERY == 0:
            self._empty(group.rtcp, self._intake.take_rtcp, 1)
        if group.paused:
            self._roster.discard_paused(group.paused, _TURNS * PER_CALL)
        group.visits += 1

    def drain(self, session: LiveSession) -> None:
        """Take everything that has arrived for a session until now, under its present stream table."""
        rtp, rtcp, paused = sockets_of(session)
        self._empty(rtp, self._intake.take_rtp, _LAST_TURNS)
        self._empty(rtcp, self._intake.take_rtcp, _LAST_TURNS)
        self._roster.discard_paused(paused, _LAST_TURNS * PER_CALL)

    def adopt(self, streams: Sequence[LiveStream]) -> int:
        """Append what a dead predecessor had read for the ports of these streams; return how many datagrams.

        What belongs to a stream that is not recorded is forgotten: it may have been paused since.
        """
        found = 0
        for stream in streams:
            row = np.array([stream.row], np.int64)
            for noted, take in (
                (stream.pair.port, self._intake.take_rtp),
                (stream.pair.port | RTCP_BIT, self._intake.take_rtcp),
            ):
                for datagrams in self._saved.pop(noted, ()):
                    if stream.spec.recording:
                        take(datagrams, row, np.array([len(datagrams)], np.int64), recovered=True)
                        found += len(datagrams)
        return found

    def saved(self, streams: Sequence[LiveStream]) -> int:
        """Return how many saved datagrams `adopt` would append."""
        return sum(
            len(datagrams)
            for stream in streams
            if stream.spec.recording
            for noted in (stream.pair.port, stream.pair.port | RTCP_BIT)
            for datagrams in self._saved.get(noted, ())
        )

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

    def _empty(self, sockets: Sockets, take: _Take, turns: int) -> None:
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
