"""Answers what the recorder sends inside a dialog: re-INVITE, UPDATE, OPTIONS, INFO, BYE (RFC 3261 12.2.2, 14.2).

Pure: no socket, no clock. The answer to a new offer says at once where our RTP will come from; that the RTP moves is
told by an event (RFC 3264 section 8.3.1: the new address is used as soon as the answer is sent).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from recorder.simulator.dialog import ALLOW, Address, CallDialog
from signaling.sdp import SdpSyntaxError, SessionDescription, parse_sdp
from signaling.sip import Request, Response, build_response
from signaling.transaction import Timers, TransactionKey, server_key

_KEPT: Final = 32
"""Answers kept for retransmissions; a recorder has one request under way at a time."""


@dataclass(slots=True)
class _Unacknowledged:
    """A 2xx to a re-INVITE that is repeated until its ACK comes (RFC 3261 section 13.3.1.4)."""

    cseq: int
    response: bytes
    to: Address
    next_at: float
    interval: float
    until: float


@dataclass(frozen=True, slots=True)
class Requested:
    """A request of the recorder was answered; what it means for the call."""

    method: str
    offer: SessionDescription | None
    """Set if it carried an offer and we agreed."""
    status: int
    session_expires: str
    """Session-Expires as requested; empty without."""


class Responder:
    """The server side of one dialog.

    Args:
        dialog: identifiers and sequence numbers, shared with the caller.
        answer: makes the SDP answer to an offer; called once per accepted offer.
        describe: returns our present SDP, for an INVITE without offer.
        busy: tells whether an INVITE of our own is under way.
        timers: RFC 3261 table 4.

    """

    def __init__(
        self,
        dialog: CallDialog,
        *,
        answer: Callable[[SessionDescription], bytes],
        describe: Callable[[], bytes],
        busy: Callable[[], bool],
        timers: Timers,
    ) -> None:
        self._dialog = dialog
        self._answer = answer
        self._describe = describe
        self._busy = busy
        self._timers = timers
        self._answered: dict[TransactionKey, bytes] = {}
        self._unacknowledged: _Unacknowledged | None = None
        self._writes: list[tuple[bytes, Address]] = []
        self._events: list[Requested] = []

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        return self._unacknowledged.next_at if self._unacknowledged else None

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Return and forget what to send, and where."""
        writes, self._writes = self._writes, []
        return writes

    def events(self) -> list[Requested]:
        """Return and forget what the recorder asked for."""
        events, self._events = self._events, []
        return events

    def receive(self, request: Request, source: Address, now: float) -> None:
        """Answer one request; a retransmission gets the same answer again."""
        if request.method == "ACK":
            self._receive_ack(request)
            return
        key = server_key(request)
        if key in self._answered:
            self._writes.append((self._answered[key], source))
            return
        response = self._respond(request)
        encoded = response.encode()
        while len(self._answered) >= _KEPT:
            del self._answered[next(iter(self._answered))]
        self._answered[key] = encoded
        self._writes.append((encoded, source))
        if request.method == "INVITE" and response.is_success:
            t1 = self._timers.t1
            self._unacknowledged = _Unacknowledged(
                request.cseq.number, encoded, source, now + t1, t1, now + self._timers.timeout
            )

    def handle_timer(self, now: float) -> None:
        """Repeat a 2xx that nobody has acknowledged; give up after 64*T1."""
        waiting = self._unacknowledged
        if waiting is None or now < waiting.next_at:
            return
        if now >= waiting.until:
            self._unacknowledged = None
            self._events.append(Requested("ACK", None, 408, ""))
            return
        self._writes.append((waiting.response, waiting.to))
        waiting.interval = min(2 * waiting.interval, self._timers.t2)
        waiting.next_at = min(now + waiting.interval, waiting.until)

    def _receive_ack(self, request: Request) -> None:
        if self._unacknowledged is None or request.cseq.number != self._unacknowledged.cseq:
            return
        self._unacknowledged = None
        offer = _offer(request)
        if isinstance(offer, SessionDescription):  # the answer to our offer in the 2xx of an INVITE without one
            self._events.append(Requested("ACK", offer, 200, ""))

    def _respond(self, request: Request) -> Response:
        dialog = self._dialog
        if not dialog.owns(request):
            return build_response(request, 481)
        if request.cseq.number <= dialog.remote_cseq:
            return build_response(request, 500)  # RFC 3261 §12.2.2: lower than the one before
        dialog.remote_cseq = request.cseq.number
        if request.method in {"INVITE", "UPDATE"}:
            return self._respond_to_offer(request)
        known = request.method in {"OPTIONS", "INFO", "BYE"}
        status = 200 if known else 405
        self._events.append(Requested(request.method, None, status, ""))
        return build_response(request, status, headers=[("Allow", ALLOW)] if request.method != "BYE" else [])

    def _respond_to_offer(self, request: Request) -> Response:
        if request.method == "INVITE" and self._unacknowledged is not None:
            return build_response(request, 500, headers=[("Retry-After", "2")])  # RFC 3261 §14.2
        if self._busy():
            return build_response(request, 491)
        offer = _offer(request)
        if isinstance(offer, SdpSyntaxError):
            self._events.append(Requested(request.method, None, 488, ""))
            return build_response(request, 488)
        self._dialog.refresh_target(request)
        interval = request.headers.get("Session-Expires") or ""
        self._events.append(Requested(request.method, offer, 200, interval))
        body = b""
        if offer is not None:
            body = self._answer(offer)
        elif request.method == "INVITE":
            body = self._describe()
        headers = [("Contact", self._dialog.contact), ("Allow", ALLOW), ("Supported", "timer")]
        if interval:
            headers += [("Require", "timer"), ("Session-Expires", interval)]
        return build_response(
            request, 200, headers=headers, body=body, content_type="application/sdp" if body else None
        )


def _offer(request: Request) -> SessionDescription | SdpSyntaxError | None:
    """Return the SDP of a request, None without, or why it cannot be used."""
    if not request.body:
        return None
    try:
        return parse_sdp(request.body)
    except SdpSyntaxError as error:
        return error
