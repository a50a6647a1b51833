"""Exceptions of the signalling package: one root, and under it who is at fault.

    SignalingError
     +-- LocalProtocolError     we would have broken the protocol (a bug here, or a wrong argument)
     +-- RemoteProtocolError    the peer broke it; carries the status to answer with
     |    +-- SipSyntaxError    the message itself does not parse; carries what a stateless answer needs
     +-- ResourceError          a limit of ours is reached; nobody broke the protocol
     +-- LostError              a connection or a dialog is gone

Reasons are constant text: what came from the network travels in fields, never inside a message. Does not decide
what is answered; the user agent does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BAD_REQUEST: Final = 400


class SignalingError(Exception):
    """Root of everything that `signaling` raises on purpose."""


class LocalProtocolError(SignalingError):
    """We were asked to say or do something that the protocol forbids; nothing was sent."""


class RemoteProtocolError(SignalingError):
    """The peer broke the protocol.

    Args:
        status: SIP status that a refusal should carry.
        header: name of the header field at fault, or "" when it is not a header field.
        offset: characters from the start of that header field's value, or bytes from the start of the message.
        reason: constant text, fit for a log line and a reason phrase.

    """

    def __init__(self, status: int, header: str, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.header = header
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        place = f"{self.header} at {self.offset}" if self.header else f"offset {self.offset}"
        return f"{self.status} {self.reason} ({place})"


@dataclass(frozen=True, slots=True)
class Salvage:
    """What could be read of a message that does not parse; enough to answer it without state (RFC 3261 §8.1.3.1)."""

    method: str
    """Method of the start line; empty for a response and for an unreadable start line."""
    headers: tuple[tuple[str, str], ...]
    """Via, From, To, Call-ID and CSeq as they were received, in order, names in canonical spelling."""


class SipSyntaxError(RemoteProtocolError):
    """A SIP message, or one of its header fields, does not follow the grammar."""

    salvage: Salvage | None = None
    """Set when a whole message was refused; None when only one header field was looked at."""


class ResourceError(SignalingError):
    """A limit of ours is reached: buffers, counts, or the wait for something took too long."""


class LostError(SignalingError):
    """What the operation needs is gone: the connection, or the dialog."""
