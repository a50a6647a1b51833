"""What the four transaction machines share: their output queues and the events they give to the transaction user.

Holds no state and no transition of its own.
"""

from __future__ import annotations

import msgspec

from signaling.sip import Request, Response


class Responded(msgspec.Struct, frozen=True):
    """A response for the transaction user; never a retransmission of a final one, except 2xx to INVITE."""

    response: Response


class Acknowledged(msgspec.Struct, frozen=True):
    """An ACK that belongs to the transaction user: that of a 2xx (RFC 6026 §7.1)."""

    request: Request


class TimedOut(msgspec.Struct, frozen=True):
    """Nobody answered within 64*T1: no response to a request, or no ACK to a final response."""


class TransportFailed(msgspec.Struct, frozen=True):
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


def earliest(one: float | None, other: float | None) -> float | None:
    """Return the smaller of two moments, the one that is set, or None."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def is_due(moment: float | None, now: float) -> bool:
    """Say whether a timer runs and has run out."""
    return moment is not None and now >= moment
