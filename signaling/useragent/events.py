"""What the user agent tells the transaction user, RFC 3261 §8.2.5 and §12 to §15.

Values only. Each docstring says what the receiver must do next.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from signaling.dialog.flow import Destination, Flow
from signaling.sip.message import Request, Response


class InviteReceived(msgspec.Struct, frozen=True):
    """A new session is asked for. Answer `request_id`; a 100 has gone out already."""

    request_id: str
    dialog_id: str
    """Name of the dialog that a 2xx will make; the same in every process and after a takeover."""
    request: Request
    flow: Flow
    data: bytes
    """The request as it came."""


class ReinviteReceived(msgspec.Struct, frozen=True):
    """The peer wants to change the session (RFC 3261 §14.2). Answer `request_id`."""

    request_id: str
    dialog_id: str
    request: Request
    flow: Flow
    data: bytes
    """The request as it came."""


class UpdateReceived(msgspec.Struct, frozen=True):
    """The peer sent an UPDATE (RFC 3311), with or without an offer. Answer `request_id` at once."""

    request_id: str
    dialog_id: str
    request: Request
    flow: Flow


class AckReceived(msgspec.Struct, frozen=True):
    """The first ACK of a 2xx to an INVITE or re-INVITE; its body is the answer if our 2xx made the offer."""

    dialog_id: str
    request: Request
    request_id: str = ""
    """The INVITE's; empty if it was answered before a takeover."""


class AckTimedOut(msgspec.Struct, frozen=True):
    """No ACK came for 64*T1 (RFC 3261 §13.3.1.4).

    RFC: the session SHOULD be terminated (`bye`). Keep it instead if media arrives: then the peer has our answer, and
    the ACK may have reached a front end that died.
    """

    dialog_id: str
    request_id: str = ""


class ByeReceived(msgspec.Struct, frozen=True):
    """The peer ends the session. Make the end durable, then answer `request_id` with 200."""

    request_id: str
    dialog_id: str
    request: Request
    flow: Flow


class CancelReceived(msgspec.Struct, frozen=True):
    """An INVITE or re-INVITE is over without your answer; the final response has been sent.

    Do not answer `request_id`; a response that you have prepared is refused by `send`. An INVITE's dialog is gone, a
    re-INVITE's goes on unchanged.
    """

    request_id: str
    dialog_id: str
    cause: Literal["cancel", "bye", "expired", "unanswered", "unacknowledged"] = "cancel"
    """cancel: CANCEL came. bye: BYE came first. expired: its Expires passed. unanswered: nobody answered within
    `Limits.unanswered_invite`. unacknowledged: no PRACK came for a reliable provisional response."""


class OptionsReceived(msgspec.Struct, frozen=True):
    """The peer asks what we can do. Answer as you would answer an INVITE now (RFC 3261 §11.2)."""

    request_id: str
    dialog_id: str | None
    """None outside a dialog."""
    request: Request
    flow: Flow


class InfoReceived(msgspec.Struct, frozen=True):
    """An INFO inside a dialog (RFC 6086). Answer `request_id`."""

    request_id: str
    dialog_id: str
    request: Request
    flow: Flow


class PrackReceived(msgspec.Struct, frozen=True):
    """A reliable provisional response was acknowledged (RFC 3262); the PRACK is answered already."""

    dialog_id: str
    request: Request
    request_id: str
    """The INVITE's."""


class ResponseReceived(msgspec.Struct, frozen=True):
    """A final response to a request of ours. An ACK, where due, has been sent."""

    request_id: str
    dialog_id: str
    response: Response
    retry_in: float | None = None
    """Seconds after which `RetryDue` follows: glare, the peer answered 491 (RFC 3261 §14.1)."""


class RequestTimedOut(msgspec.Struct, frozen=True):
    """A request of ours got no final response; treat it as 408 (RFC 3261 §8.1.3.1) or 503."""

    request_id: str
    dialog_id: str
    cause: Literal["timeout", "transport"] = "timeout"


class RetryDue(msgspec.Struct, frozen=True):
    """The back-off after a 491 is over: send the re-INVITE or UPDATE again if it is still wanted."""

    request_id: str
    """Of the request that met the glare."""
    dialog_id: str


class DialogDoubted(msgspec.Struct, frozen=True):
    """The peer does not seem to know the dialog any more: 481, 408, or silence to a request of ours.

    RFC 3261 §12.2.1.2: the dialog SHOULD be terminated (`bye`, or `forget`). Keep it if media arrives. Follows the
    `ResponseReceived` or `RequestTimedOut` of the same request.
    """

    dialog_id: str
    request_id: str
    cause: Literal["481", "408", "timeout", "transport"]


class SessionRefreshed(msgspec.Struct, frozen=True):
    """A session refresh succeeded in either direction (RFC 4028)."""

    dialog_id: str
    interval: int
    """Seconds."""
    refreshed_by_us: bool


class RefreshDue(msgspec.Struct, frozen=True):
    """The session must be refreshed by a re-INVITE with the unchanged description, since the peer takes no UPDATE."""

    dialog_id: str


class SessionExpired(msgspec.Struct, frozen=True):
    """Nobody refreshed the session in time (RFC 4028 §10): send BYE, or keep it if media proves the peer alive."""

    dialog_id: str


class DialogEnded(msgspec.Struct, frozen=True):
    """The dialog is gone; its identifier is not valid any more."""

    dialog_id: str
    cause: Literal["bye-received", "bye-sent"]


class CheckpointAdvised(msgspec.Struct, frozen=True):
    """Store a new `snapshot` of the dialog soon: its reserved CSeq numbers run out, or an ACK does not come."""

    dialog_id: str


class MessageDiscarded(msgspec.Struct, frozen=True):
    """A message was not processed; if it was a request that can be answered, it was."""

    flow: Flow
    reason: str
    """Constant text."""
    detail: str = ""
    """What came from the network: a header field's name, a method, a status."""


class Traced(msgspec.Struct, frozen=True):
    """One message as it was received or handed to the transport; only if tracing is on."""

    direction: Literal["in", "out"]
    flow: Flow | Destination
    data: bytes
    dialog_id: str | None
    """None if the message belongs to no dialog that we know."""


Event: TypeAlias = (
    InviteReceived
    | ReinviteReceived
    | UpdateReceived
    | AckReceived
    | AckTimedOut
    | ByeReceived
    | CancelReceived
    | OptionsReceived
    | InfoReceived
    | PrackReceived
    | ResponseReceived
    | RequestTimedOut
    | RetryDue
    | DialogDoubted
    | SessionRefreshed
    | RefreshDue
    | SessionExpired
    | DialogEnded
    | CheckpointAdvised
    | MessageDiscarded
    | Traced
)
