"""In which order the sessions' sockets are visited: small groups, one after another, each once a round. Pure.

A group is one filling of the arena: its packets are read and appended at once, so little is ever between the kernel and
the capture, and a command waits for one group at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.arena import RTCP_BIT
from media.writer.stream import LiveSession

_GROUP_STREAMS: Final = 152
"""Streams to which a group is filled up: at 25 packets a visit they bring 3,800 datagrams, some 8 ms of work."""


@dataclass(slots=True, eq=False)
class Sockets:
    """Sockets to receive from, in the order of their visit."""

    fds: list[int] = field(default_factory=list)
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    noted: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    """Port and kind, as `Arena.note` wants them."""

    @classmethod
    def of(cls, entries: list[tuple[int, int, int]]) -> Sockets:
        """Return sockets from (descriptor, port row, noted port)."""
        return cls(
            [fd for fd, _, _ in entries],
            np.array([row for _, row, _ in entries], np.int64),
            np.array([noted for _, _, noted in entries], np.uint32),
        )

    def only(self, chosen: NDArray[np.int64]) -> Sockets:
        """Return some of the sockets."""
        return Sockets([self.fds[one] for one in chosen.tolist()], self.rows[chosen], self.noted[chosen])


@dataclass(slots=True, eq=False)
class Group:
    """Sessions that are visited together."""

    visited: float
    """Monotonic seconds of the last visit, or of its beginning."""
    sessions: dict[int, LiveSession] = field(default_factory=dict)
    """By slot."""
    visits: int = 0
    rtp: Sockets = field(default_factory=Sockets)
    rtcp: Sockets = field(default_factory=Sockets)
    paused: list[tuple[int, int]] = field(default_factory=list)
    """Descriptor and port row of streams whose payload is not wanted."""
    streams: int = 0
    stale: bool = False
    """A session came, went, or changed its streams; the socket lists are built anew before the next visit, once for
    all that happened since the last."""

    def change(self) -> None:
        """Take note that a session came, went, or changed its streams."""
        self.stale = True
        self.streams = sum([len(session.streams) for session in self.sessions.values()])

    def refresh(self) -> None:
        """Make the socket lists those of the present streams."""
        if self.stale:
            self.stale = False
            self.rtp, self.rtcp, self.paused = sockets_of(*self.sessions.values())


def sockets_of(*sessions: LiveSession) -> tuple[Sockets, Sockets, list[tuple[int, int]]]:
    """Return the RTP sockets that are recorded, the RTCP sockets, and (descriptor, row) of the paused RTP sockets."""
    rtp: list[tuple[int, int, int]] = []
    rtcp: list[tuple[int, int, int]] = []
    paused: list[tuple[int, int]] = []
    for session in sessions:
        for stream in session.streams.values():
            if stream.awaits_keys:
                continue
            if stream.spec.recording:
                rtp.append((stream.pair.rtp.fileno(), stream.row, stream.pair.port))
            else:
                paused.append((stream.pair.rtp.fileno(), stream.row))
            if stream.pair.rtcp is not None:
                rtcp.append((stream.pair.rtcp.fileno(), stream.row, stream.pair.port | RTCP_BIT))
    return Sockets.of(rtp), Sockets.of(rtcp), paused


class Carousel:
    """The groups and their turns."""

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self._round: Iterator[Group] = iter(())
        self._home: dict[int, Group] = {}

    def add(self, session: LiveSession, now: float) -> None:
        """Visit a session from now on."""
        group = next((group for group in self._groups if group.streams < _GROUP_STREAMS), None)
        if group is None:
            group = Group(now)
            self._groups.append(group)
        group.sessions[session.slot] = session
        self._home[session.slot] = group
        group.change()

    def remove(self, session: LiveSession) -> None:
        """Visit a session no more."""
        group = self._home.pop(session.slot)
        del group.sessions[session.slot]
        group.change()

    def refresh(self, session: LiveSession) -> None:
        """Take note of a session's changed streams."""
        self._home[session.slot].change()

    def begin(self) -> None:
        """Begin a round: each group that is there now has a turn."""
        self._groups = [group for group in self._groups if group.sessions]
        self._round = iter(tuple(self._groups))

    def due(self, now: float) -> tuple[Group, float] | None:
        """Return the next group of the round and the seconds since its last visit, or None behind the last one."""
        for group in self._round:
            if group.sessions:
                group.refresh()
                since, group.visited = now - group.visited, now
                return group, since
        return None
