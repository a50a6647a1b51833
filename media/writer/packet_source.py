"""The port behind which packets come in: the engine commands sessions, a source decides how their ports are read.

Two keep this contract: `socket_source` (recvmmsg on a socket per stream) and `ring_source` (one packet ring for all).
Both give batches to `Intake`, in order of receipt for each port, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Received
from media.writer.stream import LiveSession, LiveStream


class Take(Protocol):
    """How a source gives a batch away: `Intake.take_rtp` or `Intake.take_rtcp`."""

    def __call__(
        self, datagrams: Received, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None:
        """Append a batch; see `Intake.take_rtp`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A visit that is due."""

    since_s: float
    """Seconds since the last visit of the same sessions."""
    sessions: Iterable[LiveSession]
    """Whose packets it brings."""
    take: Callable[[], None]
    """Makes the visit."""


class PacketSource(Protocol):
    """Reads the ports of sessions.

    Errors: `CaptureLost` from appending, `LostError` from receiving; what was read is then kept for a successor.
    """

    def add(self, session: LiveSession, now: float) -> None:
        """Read for a session from now on."""

    def remove(self, session: LiveSession) -> None:
        """Read for a session no more; its streams are disconnected already."""

    def refresh(self, session: LiveSession) -> None:
        """Take note of a session's changed streams."""

    def connect(self, stream: LiveStream, *, adopt: bool) -> None:
        """Let a stream's port serve it from now on; what came before is discarded unless adopted."""

    def untold_drops(self, stream: LiveStream) -> int:
        """Return how many datagrams were dropped at a stream's port behind the last one that could have told it."""
        ...

    def begin(self, now: float) -> None:
        """Begin a round: visits that together take all that has arrived."""

    def due(self, now: float) -> Turn | None:
        """Return the next visit of the round, or None if the last one has been made."""
        ...

    def drain(self, session: LiveSession) -> None:
        """Take everything that has arrived for a session until now, under its present stream table."""

    def adopt(self, session: LiveSession, streams: Sequence[LiveStream]) -> None:
        """Append what a dead predecessor left for the ports of these streams, and tell it before (RECOVERED).

        What belongs to a stream that is not recorded is forgotten: it may have been paused since.
        """

    def disown(self, streams: Sequence[LiveStream]) -> None:
        """Forget what a predecessor left for ports that now serve another session."""

    def forget_saved(self) -> None:
        """Give up on what a predecessor left and nobody has adopted in time."""
