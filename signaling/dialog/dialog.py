"""One dialog in which the recorder is the UAS: rules of RFC 3261 §12 over `DialogState`.

Creation from an INVITE, sequence numbers in both directions, target refresh, requests of our own, and what a 2xx
changes. Pure. Does not run transactions and does not decide whether a request is acceptable in other respects.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from signaling.dialog.flow import Flow
from signaling.dialog.negotiation import Negotiation
from signaling.dialog.routing import Routing, route_request
from signaling.dialog.session_timer import SessionTimer
from signaling.dialog.state import (
    SEQUENCE_BLOCK,
    DialogState,
    Phase,
    PromisedAnswer,
    dialog_identifier,
    encode_snapshot,
    reserved_sequence,
)
from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.address import NameAddr
from signaling.sip.build import build_request
from signaling.sip.message import Request, Response
from signaling.sip.syntax import Params
from signaling.sip.uri import Uri
from signaling.sip.via import Via

MAX_SEQUENCE: Final = 2**31 - 1
"""RFC 3261 §8.1.1.5: "The sequence number value MUST be expressible as a 32-bit unsigned integer and MUST be less
than 2**31"."""
MAX_ANSWERS: Final = 8
"""Final responses kept for repetition, of some 1.5 kB each. They are forgotten 32 s after they were sent: a peer would
have to modify the session every four seconds for this limit to be felt, and then only in a takeover."""


@dataclass(frozen=True, slots=True)
class InDialogFields:
    """What the user agent adds to a request of ours."""

    via: Via
    contact: str | None
    """Contact value, for target refresh requests."""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    content_type: str | None = None


class Dialog:
    """A dialog and what is under way in it."""

    __slots__ = ("identifier", "negotiation", "sequence_limit", "session_timer", "state")

    def __init__(self, state: DialogState, *, sequence_limit: int) -> None:
        self.state = state
        self.identifier = dialog_identifier(state.call_id, state.local_tag)
        """The `dialog_id` of events and commands."""
        self.negotiation = Negotiation()
        self.session_timer = SessionTimer()
        self.sequence_limit = sequence_limit
        """Highest CSeq number of ours that a takeover is known to step over."""

    @classmethod
    def from_invite(cls, invite: Request, *, local_tag: str, flow: Flow, recording: bool) -> Dialog:
        """Make the early dialog of an INVITE (RFC 3261 §12.1.1).

        Args:
            invite: a request outside of any dialog.
            local_tag: To-tag of every response to it.
            flow: how it came.
            recording: put `+sip.srs` into our Contact.

        """
        state = DialogState(
            call_id=invite.call_id,
            local_tag=local_tag,
            remote_tag=invite.from_.tag,
            local_address=_bare(invite.to),
            remote_address=_bare(invite.from_),
            remote_target=_first_target(invite, flow),
            route_set=_route_set(invite),
            flow=flow,
            secure=needs_sips(invite),
            reuse_connection=flow.reliable and "alias" in invite.via.params,
            remote_sequence=invite.cseq.number,
            recording=recording,
            session_uuid=_session_uuid(invite),
        )
        remember_capabilities(state, invite)
        return cls(state, sequence_limit=0)

    def accepts_sequence(self, number: int) -> bool:
        """Take the CSeq number of a request of the peer; False if it is out of order (RFC 3261 §12.2.2).

        Gaps are fine. An equal number is let through: after a takeover it may be the retransmission of a request that
        the dead process took in but never answered.
        """
        highest = self.state.remote_sequence
        if highest is not None and number < highest:
            return False
        self.state.remote_sequence = number
        return True

    def next_sequence(self) -> tuple[int, bool]:
        """Use up the next CSeq number of ours; return it, and whether a checkpoint is advised.

        A takeover continues behind the numbers reserved in the snapshot that it finds. The advice comes while there
        is a whole block left, once per block.

        Raises:
            LocalProtocolError: the numbers of this dialog are used up.

        """
        number = self.state.local_sequence + 1
        if number > MAX_SEQUENCE:
            raise LocalProtocolError("the CSeq numbers of this dialog are used up")
        self.state.local_sequence = number
        if number <= self.sequence_limit - SEQUENCE_BLOCK:
            return number, False
        self.sequence_limit = reserved_sequence(number)
        return number, True

    def routing(self) -> Routing:
        """Return Request-URI, Route and next hop for a request of ours (RFC 3261 §12.2.1.1).

        A route set whose first element is no route cannot be followed; the remote target is tried directly then.
        """
        target = Uri.parse(self.state.remote_target)
        try:
            return route_request(target, self.state.route_set)
        except SipSyntaxError:
            return route_request(target, ())

    def request(self, method: str, sequence: int, routing: Routing, fields: InDialogFields) -> Request:
        """Build a request inside this dialog: tags, Call-ID and route are the state's, nothing is an old request's."""
        state = self.state
        return build_request(
            method,
            routing.request_uri,
            via=fields.via,
            from_=_tagged(state.local_address, state.local_tag),
            to=_tagged(state.remote_address, state.remote_tag),
            call_id=state.call_id,
            cseq=sequence,
            routes=routing.route,
            contact=fields.contact,
            headers=fields.headers,
            body=fields.body,
            content_type=fields.content_type,
        )

    def snapshot(self) -> bytes:
        """Return the dialog as it is now, for another process."""
        return encode_snapshot(self.state)

    def draft(self) -> DialogState:
        """Return a copy of the state on which the effect of a message can be tried."""
        return copy.copy(self.state)


def needs_sips(request: Request) -> bool:
    """Say whether our Contact has to be a SIPS URI.

    RFC 3261 §12.1.1: "If the request that initiated the dialog contained a SIPS URI in the Request-URI or in the top
    Record-Route header field value, if there was any, or the Contact header field if there was no Record-Route header
    field, the Contact header field in the response MUST be a SIPS URI."
    """
    if request.uri.scheme == "sips":
        return True
    written = request.headers.get("Record-Route") or request.headers.get("Contact") or ""
    if "sips:" not in written.lower():
        return False  # and nothing has to be taken apart
    try:
        addresses = request.record_routes or request.contacts
    except SipSyntaxError:
        return False
    return bool(addresses) and addresses[0].uri.scheme == "sips"


def remember_capabilities(state: DialogState, message: Request | Response) -> None:
    """Keep what the peer says about itself in a message that creates or modifies the dialog."""
    allow = message.headers.get_all("Allow")
    if allow:
        # Methods are tokens: nothing in such a list is quoted.
        state.peer_methods = tuple(",".join(allow).replace(" ", "").split(","))
    if "Supported" in message.headers:
        # RFC 3261 §8.2.2: "A UAS SHOULD ignore any malformed header fields that are not necessary"
        with contextlib.suppress(SipSyntaxError):
            state.peer_options = message.supported


def refresh_target(state: DialogState, message: Request | Response) -> None:
    """Replace the remote target by the Contact of a target refresh request or its 2xx (RFC 3261 §12.2.1.2, §12.2.2).

    A missing or unusable Contact leaves the old target, which is known to work.
    """
    try:
        contact = message.contact
    except SipSyntaxError:
        return
    if contact is not None and contact.uri.is_sip and contact.uri.host:
        state.remote_target = contact.uri.text


def promise(state: DialogState, data: bytes, *, acknowledged: bool) -> None:
    """Remember a final response whose bytes must never change any more.

    If there are too many, one that the peer is known to have goes first, and the answer to the INVITE that made the
    dialog goes last: a repetition of that one would open another session.
    """
    answers = [*state.answers, PromisedAnswer(data, acknowledged)]
    if len(answers) > MAX_ANSWERS:
        received = (index for index, answer in enumerate(answers[:-1]) if index and answer.acknowledged)
        del answers[next(received, 1)]
    state.answers = tuple(answers)


def acknowledge(state: DialogState, is_meant: Sequence[bytes]) -> None:
    """Mark answers as acknowledged.

    Args:
        state: of the dialog.
        is_meant: the bytes of those answers.

    """
    state.answers = tuple(
        msgspec.structs.replace(answer, acknowledged=True) if answer.data in is_meant else answer
        for answer in state.answers
    )


def miss(state: DialogState, data: bytes) -> None:
    """Mark an answer as one whose ACK should have come by now."""
    state.answers = tuple(
        msgspec.structs.replace(answer, overdue=True) if answer.data == data else answer for answer in state.answers
    )


def forget_answer(state: DialogState, data: bytes) -> None:
    """Drop an answer that no retransmission can ask for any more."""
    state.answers = tuple(answer for answer in state.answers if answer.data != data)


def end(state: DialogState) -> None:
    """Turn the state into that of a dialog whose BYE is answered."""
    state.phase = Phase.ENDED
    state.session = None
    state.own_invite = None
    state.local_description = b""


def _first_target(invite: Request, flow: Flow) -> str:
    """Return the remote target of an INVITE.

    RFC 3261 §8.1.1.8 demands a Contact. Without a usable one the session is recorded all the same: the From URI, or
    else the source address, is the best guess for the few requests that we may have to send.
    """
    try:
        contact = invite.contact
    except SipSyntaxError:
        contact = None
    for address in (contact, invite.from_):
        if address is not None and address.uri.is_sip and address.uri.host:
            return address.uri.text
    transport = Params((("transport", flow.transport),) if flow.reliable else ())
    return Uri.build(*flow.remote, params=transport).text


def _route_set(invite: Request) -> tuple[str, ...]:
    """Return the Record-Route elements as they were written (RFC 3261 §12.1.1); none if they cannot be told apart."""
    try:
        return tuple(invite.headers.get_list("Record-Route"))
    except SipSyntaxError:
        return ()


def _session_uuid(invite: Request) -> str | None:
    try:
        session_id = invite.session_id
    except SipSyntaxError:
        return None
    return None if session_id is None else session_id.local


def _bare(address: NameAddr) -> str:
    """Return display name and URI, without header parameters, as text."""
    if not address.display_name:
        return f"<{address.uri.text}>"
    return str(NameAddr(address.uri, address.display_name))


def _tagged(address: str, tag: str | None) -> NameAddr:
    parsed = NameAddr.parse(address, "From")
    return parsed if tag is None else parsed.with_tag(tag)
