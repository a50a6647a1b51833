"""The user agent client of one recording session: INVITE, ACK, re-INVITE, session refresh, BYE (RFC 3261, 4028).

Pure: messages, commands and `now` (monotonic seconds) go in; drain `outgoing()` and `events()`, and call
`handle_timer` at `deadline`. Does not send RTP; its events say where to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from recorder.simulator.call_events import (
    NO_ANSWER,
    UNREACHABLE,
    Answered,
    CallEvent,
    MediaChanged,
    Observed,
    Over,
    PauseAgreed,
    Phase,
    Purpose,
    Refused,
)
from recorder.simulator.dialog import ALLOW, Address, CallDialog, Station, Token
from recorder.simulator.responder import Requested, Responder
from recorder.simulator.scenario import CallPlan, Door
from recorder.simulator.session_text import (
    LocalMedia,
    StreamTarget,
    answer,
    describe,
    msr_headers,
    msr_request_uri,
    siprec_body,
    stream_targets,
)
from signaling.errors import SignalingError
from signaling.sdp import Direction, SessionDescription, parse_sdp
from signaling.sip import Request, Response, SessionExpires, Uri
from signaling.sip.uri import format_hostport
from signaling.transaction import (
    InviteClientTransaction,
    NonInviteClientTransaction,
    Responded,
    TimedOut,
    Timers,
    TransactionKey,
    client_key,
)

_GLARE_MIN_S: Final = 2.1
_GLARE_SPREAD_S: Final = 1.9
"""RFC 3261 §14.1: the owner of the Call-ID waits between 2.1 and 4 s."""
_RECONNECT_S: Final = 0.5
_RECONNECTS: Final = 10
"""How often a BYE is tried again after its connection broke: a server that takes over needs a moment."""


@dataclass(slots=True)
class _Pending:
    transaction: InviteClientTransaction | NonInviteClientTransaction
    purpose: Purpose
    to: Address
    responded: bool = False
    """A final response has been acted on; more 2xx only want their ACK again."""


@dataclass(slots=True)
class _Refresh:
    at: float | None = None
    by_update: bool = False


class Caller:
    """One call.

    Args:
        plan: who calls, and through which door.
        station: where we are reached.
        recorder: address of the recorder or of a proxy before it.
        media: where our RTP comes from.
        token: source of identifiers.
        timers: RFC 3261 table 4.
        session_expires_s: interval that we offer as refresher.

    """

    def __init__(
        self,
        plan: CallPlan,
        station: Station,
        recorder: Address,
        media: LocalMedia,
        *,
        token: Token,
        timers: Timers = Timers(),  # noqa: B008 - an immutable value
        session_expires_s: int = 1800,
    ) -> None:
        self.plan = plan
        self.phase = Phase.IDLE
        self.targets: tuple[StreamTarget, ...] = ()
        self._dialog = CallDialog(plan, station, recorder, token)
        self._media = media
        self._token = token
        self._timers = timers
        self._session_expires_s = session_expires_s
        self._directions: tuple[Direction, ...] = (Direction.SENDONLY,) * len(media.ports)
        self._session_id = int(token()[:12], 16)
        self._version = 0
        self._described: SessionDescription | None = None
        self._pending: dict[TransactionKey, _Pending] = {}
        self._acks: dict[int, tuple[bytes, Address]] = {}
        self._retry: tuple[float, Purpose] | None = None
        self._reconnects = 0
        self._patience: float | None = None
        """When an INVITE without a final response is given up: Timer B ends with the first provisional one."""
        self._told_over = False
        self._refresh = _Refresh()
        self._responder = Responder(
            self._dialog,
            answer=self._answer_offer,
            describe=lambda: self._describe().encode(),
            busy=lambda: any(
                isinstance(p.transaction, InviteClientTransaction) and not p.responded for p in self._pending.values()
            ),
            timers=timers,
        )
        self._writes: list[tuple[bytes, Address]] = []
        self._events: list[CallEvent] = []

    # What the driver needs.

    @property
    def call_id(self) -> str:
        """Call-ID of the dialog."""
        return self._dialog.call_id

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        moments = [pending.transaction.deadline for pending in self._pending.values()]
        moments += [self._responder.deadline, self._refresh.at, self._retry[0] if self._retry else None, self._patience]
        return min((moment for moment in moments if moment is not None), default=None)

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Return and forget what to send, and where."""
        writes, self._writes = self._writes, []
        return writes

    def events(self) -> list[CallEvent]:
        """Return and forget what happened."""
        events, self._events = self._events, []
        return events

    # Commands.

    def invite(self, now: float) -> None:
        """Open the session."""
        self.phase = Phase.CALLING
        self._patience = now + self._timers.timeout
        plan, station = self.plan, self._dialog.station
        host, port = self._dialog.recorder
        sdp = self._describe().encode()
        headers = [("Supported", "timer, uui"), ("Session-Expires", str(self._session_expires_s)), ("Allow", ALLOW)]
        content_type, body = "application/sdp", sdp
        if plan.door is Door.MSR:
            self._dialog.request_uri = msr_request_uri(plan, host, port)
            if station.resource_manager:
                headers += msr_headers(self._dialog.local_tag)
        else:
            self._dialog.request_uri = Uri.parse(f"sip:srs@{format_hostport(host, port)}")
            headers += [("Require", "siprec"), ("Accept", "application/sdp, application/rs-metadata")]
            content_type, body = siprec_body(plan, sdp, station.host)
        request = self._dialog.request("INVITE", headers=headers, body=body, content_type=content_type)
        self._start(request, Purpose.OPEN, now)

    def set_paused(self, paused: bool, now: float) -> None:
        """Tell the recorder by re-INVITE to record no more (inactive), or again; an event tells the outcome."""
        direction = Direction.INACTIVE if paused else Direction.SENDONLY
        self._directions = (direction,) * len(self._directions)
        self._reinvite(Purpose.PAUSE if paused else Purpose.RESUME, now)

    def hang_up(self, now: float) -> None:
        """End the call: BYE, or CANCEL while it is being set up; nothing if it is over."""
        if self.phase is Phase.ESTABLISHED:
            self.phase = Phase.ENDING
            self._refresh.at = self._retry = None
            self._start(self._dialog.request("BYE"), Purpose.HANG_UP, now)
        elif self.phase is Phase.CALLING:
            self.phase = Phase.ENDING
            self._cancel(now)

    # Input.

    def receive(self, message: Request | Response, source: Address, now: float) -> None:
        """Take a message whose Call-ID is this call's."""
        if isinstance(message, Request):
            self._receive_request(message, source, now)
            return
        pending = self._pending.get(client_key(message))
        if pending is None:
            # The INVITE's transaction is gone 32 s after its 2xx; whoever still repeats it gets the ACK again.
            if message.is_success and message.cseq.method == "INVITE":
                self._acknowledge(message)
            return
        pending.transaction.receive(message, now)
        self._drain(pending, now)

    def transport_failed(self, to: Address, now: float) -> None:
        """Give up the requests that wait for an answer from there: the connection is gone."""
        for pending in list(self._pending.values()):
            if pending.to == to:
                pending.transaction.transport_failed()
                self._drain(pending, now)

    def handle_timer(self, now: float) -> None:
        """Fire what is due at `now`; earlier calls do nothing."""
        for key, pending in list(self._pending.items()):
            pending.transaction.handle_timer(now)
            self._drain(pending, now)
            if pending.transaction.is_over:
                del self._pending[key]
        self._responder.handle_timer(now)
        self._drain_responder(now)
        if self._retry and now >= self._retry[0]:
            purpose, self._retry = self._retry[1], None
            if purpose is Purpose.HANG_UP:
                self._start(self._dialog.request("BYE"), purpose, now)
            else:
                self._reinvite(purpose, now)
        if self._refresh.at is not None and now >= self._refresh.at:
            self._refresh.at = None
            self._send_refresh(now)
        if self._patience is not None and now >= self._patience and self.phase is Phase.CALLING:
            self._patience = None
            self._refused(Purpose.OPEN, NO_ANSWER, "no final response", now)

    # Requests of ours.

    def _describe(self) -> SessionDescription:
        """Return our present SDP; its version rises only when its content changes (RFC 3264 section 8)."""
        made = describe(self.plan, self._media, self._directions, session_id=self._session_id, version=self._version)
        return self._versioned(made)

    def _versioned(self, made: SessionDescription) -> SessionDescription:
        if self._described is None or not made.same_content(self._described):
            self._version += 1
        self._described = SessionDescription(
            origin=made.origin.at_version(self._version),
            connection=made.connection,
            timing=made.timing,
            media=made.media,
        )
        return self._described

    def _start(self, request: Request, purpose: Purpose, now: float) -> None:
        reliable = self._dialog.station.transport != "udp"
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(request, reliable=reliable, timers=self._timers, now=now)
        to = self._dialog.recorder if purpose in {Purpose.OPEN, Purpose.CANCEL} else self._dialog.destination()
        pending = _Pending(transaction, purpose, to)
        self._pending[client_key(request)] = pending
        self._drain(pending, now)

    def _cancel(self, now: float) -> None:
        opening = next((p for p in self._pending.values() if p.purpose is Purpose.OPEN), None)
        if opening is not None and not opening.responded:
            self._start(self._dialog.cancel(opening.transaction.request), Purpose.CANCEL, now)

    def _reinvite(self, purpose: Purpose, now: float) -> None:
        if self.phase is not Phase.ESTABLISHED:
            return
        headers = [("Allow", ALLOW), *self._refresh_headers()]
        sdp = self._describe().encode()
        request = self._dialog.request("INVITE", headers=headers, body=sdp, content_type="application/sdp")
        self._start(request, purpose, now)

    def _refresh_headers(self) -> list[tuple[str, str]]:
        value = f"{self._session_expires_s};refresher=uac"
        return [("Supported", "timer, uui"), ("Session-Expires", value)]

    def _send_refresh(self, now: float) -> None:
        if self.phase is not Phase.ESTABLISHED:
            return
        if self._refresh.by_update:
            self._start(self._dialog.request("UPDATE", headers=self._refresh_headers()), Purpose.REFRESH, now)
        else:
            self._reinvite(Purpose.REFRESH, now)

    # Responses.

    def _drain(self, pending: _Pending, now: float) -> None:
        self._writes += ((data, pending.to) for data in pending.transaction.outgoing())
        for event in pending.transaction.events():
            if isinstance(event, Responded):
                self._responded(pending, event.response, now)
            elif not pending.responded:
                pending.responded = True
                if isinstance(event, TimedOut):
                    self._refused(pending.purpose, NO_ANSWER, "no answer", now)
                else:
                    self._refused(pending.purpose, UNREACHABLE, "connection lost", now)

    def _responded(self, pending: _Pending, response: Response, now: float) -> None:
        if response.is_provisional:
            return
        invite = response.cseq.method == "INVITE"
        if pending.responded:
            if invite and response.is_success:
                self._acknowledge(response)
            return
        pending.responded = True
        if not response.is_success:
            self._refused(pending.purpose, response.status, _reason(response), now)
            return
        if pending.purpose is Purpose.OPEN:
            self._opened(response, now)
            return
        if response.cseq.method in {"INVITE", "UPDATE"}:
            self._dialog.refresh_target(response)
        if invite:
            self._acknowledge(response)
            self._take_answer(response)
        if pending.purpose in {Purpose.PAUSE, Purpose.RESUME}:
            self._events.append(PauseAgreed(paused=pending.purpose is Purpose.PAUSE))
        if pending.purpose is Purpose.REFRESH:
            self._events.append(Observed("refreshed", response.cseq.method))
        if pending.purpose is Purpose.HANG_UP:
            self._over("bye")
        elif pending.purpose is not Purpose.CANCEL:
            self._arm_refresh(response, now)

    def _opened(self, response: Response, now: float) -> None:
        unwanted = self.phase is not Phase.CALLING
        self._dialog.established(response)
        self.phase = Phase.ESTABLISHED
        self._patience = None
        self._acknowledge(response)
        if unwanted:  # the 2xx crossed our CANCEL (RFC 3261 section 9.1)
            self.hang_up(now)
            return
        self._take_answer(response)
        if not any(target.active for target in self.targets) and not response.body:
            self._refused(Purpose.OPEN, response.status, "no session description in the 2xx", now)
            self.hang_up(now)
            return
        self._refresh.by_update = "UPDATE" in response.allow
        self._arm_refresh(response, now)
        self._events.append(Answered(self.targets))

    def _take_answer(self, response: Response) -> None:
        before = self.targets
        try:
            self.targets = stream_targets(parse_sdp(response.body), self.plan.law) if response.body else before
        except SignalingError as error:
            self._events.append(Observed("bad-sdp", str(error)))
            return
        if before and self.targets != before:
            self._events.append(MediaChanged(self.targets, "INVITE"))

    def _acknowledge(self, response: Response) -> None:
        """Send the ACK of a 2xx; the same one again for each repetition (RFC 3261 section 13.2.2.4)."""
        cseq = response.cseq.number
        if cseq not in self._acks:
            self._acks[cseq] = (self._dialog.ack(cseq).encode(), self._dialog.destination())
        self._writes.append(self._acks[cseq])

    def _arm_refresh(self, response: Response, now: float) -> None:
        try:
            agreed = response.session_expires
        except SignalingError:
            agreed = None
        self._set_refresh(agreed, ours="uac", now=now)

    def _set_refresh(self, agreed: SessionExpires | None, *, ours: Literal["uac", "uas"], now: float) -> None:
        if agreed is None:
            self._refresh.at = None
        elif agreed.refresher in {ours, None}:
            self._refresh.at = now + agreed.interval / 2  # RFC 4028 §10: "once half of the session interval"
        else:
            self._refresh.at = None

    def _refused(self, purpose: Purpose, status: int, reason: str, now: float) -> None:
        if status == 491 and purpose in {Purpose.PAUSE, Purpose.RESUME, Purpose.REFRESH}:
            share = int(self._token()[:4], 16) / 0xFFFF
            self._retry = (now + _GLARE_MIN_S + _GLARE_SPREAD_S * share, purpose)
            return
        if purpose is Purpose.HANG_UP and status == UNREACHABLE and self._reconnects < _RECONNECTS:
            self._reconnects += 1
            self._retry = (now + _RECONNECT_S, purpose)
            return
        if purpose is Purpose.CANCEL:
            return
        self._events.append(Refused(purpose, status, reason))
        if purpose is Purpose.OPEN and self.phase is not Phase.ESTABLISHED:
            self._cancel(now)
            self._over("refused")
        elif purpose is Purpose.HANG_UP:
            self._over("bye")  # any final answer, or none, ends the dialog (RFC 3261 section 15.1.1)
        elif status in {481, NO_ANSWER} and purpose is not Purpose.OPEN:
            self._over("lost")  # RFC 3261 section 12.2.1.2

    def _over(self, cause: Literal["bye", "recorder", "refused", "lost"]) -> None:
        self.phase = Phase.OVER
        self._refresh.at = self._retry = self._patience = None
        if not self._told_over:
            self._told_over = True
            self._events.append(Over(cause))

    # Requests of the recorder.

    def _receive_request(self, request: Request, source: Address, now: float) -> None:
        self._responder.receive(request, source, now)
        self._drain_responder(now)

    def _drain_responder(self, now: float) -> None:
        self._writes += self._responder.outgoing()
        for requested in self._responder.events():
            self._requested(requested, now)

    def _requested(self, requested: Requested, now: float) -> None:
        self._events.append(Observed("requested", f"{requested.method} answered {requested.status}"))
        if requested.offer is not None:
            before = self.targets
            self.targets = stream_targets(requested.offer, self.plan.law)
            if self.targets != before:
                self._events.append(MediaChanged(self.targets, requested.method))
        if requested.session_expires:
            try:
                agreed = SessionExpires.parse(requested.session_expires)
            except SignalingError:
                return
            self._set_refresh(agreed, ours="uas", now=now)
        if requested.method == "BYE" and requested.status == 200:
            self._over("recorder")

    def _answer_offer(self, offer: SessionDescription) -> bytes:
        paused = Direction.INACTIVE in self._directions
        made = answer(offer, self.plan, self._media, paused=paused, session_id=self._session_id, version=self._version)
        return self._versioned(made).encode()


def _reason(response: Response) -> str:
    text = response.reason
    warning = response.headers.get("Warning") or response.headers.get("Reason")
    return f"{text} ({warning})" if warning else text
