"""What the four transaction machines share: their output queues and the events they give to the transaction user.

Holds no state and no transition of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from signaling.sip import Request, Response


@dataclass(frozen=True, slots=True)
class Responded:
    """A response for the transaction user; never a retransmission of a final one, except 2xx to INVITE."""

    response: Response


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An ACK that belongs to the transaction user: that of a 2xx (RFC 6026 §7.1)."""

    request: Request


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody answered within 64*T1: no response to a request, or no ACK to a final response."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The transport layer could not send."""


TransactionEvent = Responded | Acknowledged | TimedOut | TransportFailed


class Machine:
    """Output side of a transaction."""

    def __init__(self) -> None:
        self._writes: list[bytes] = []
        self._events: list[TransactionEvent] = []

    def outgoing(self) -> list[bytes]:
        """Return and forget the messages to send now."""
        writes, self._writes = self._writes, []
        return writes

    def events(self) -> list[TransactionEvent]:
        """Return and forget what the transaction user must know."""
        events, self._events = self._events, []
        return events


def earliest(*moments: float | None) -> float | None:
    """Return the smallest of the moments that are set, or None."""
    return min((moment for moment in moments if moment is not None), default=None)


def is_due(moment: float | None, now: float) -> bool:
    """Say whether a timer runs and has run out."""
    return moment is not None and now >= moment
