"""The transaction user's answers: built without changing anything, then committed, RFC 3261 §12.1.1, §13.3.1, §14.2.

`prepare` gives the exact bytes and the dialog as it will be; `commit` sends them and changes the dialog. In between
the caller makes the snapshot durable, and other messages may arrive: a response that was overtaken is not sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from signaling.dialog.dialog import needs_sips
from signaling.dialog.state import encode_snapshot, reserved_sequence
from signaling.errors import LostError
from signaling.sip import Request
from signaling.useragent.acknowledgement import await_ack
from signaling.useragent.closing import close_dialog, settle_refused_invite, stop_provisional
from signaling.useragent.core import AwaitedAck, Core, DialogEntry
from signaling.useragent.events import SessionRefreshed
from signaling.useragent.exchange import ServerExchange
from signaling.useragent.offers import is_sdp
from signaling.useragent.prepared import Acceptance, Announcement, Farewell, Prepared
from signaling.useragent.reliable import check_overtaking, keep_sending, next_rseq, wants_reliable
from signaling.useragent.responses import TARGET_REFRESH, write_response
from signaling.useragent.server import answer, find, run, send_final
from signaling.useragent.session_clock import minimum_interval, restart_session_timer


class Wording(msgspec.Struct, frozen=True):
    """What the transaction user wants to say."""

    status: int
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    content_type: str | None = None
    recording: bool | None = None
    """Put `+sip.srs` into our Contact; None keeps what the dialog has."""


def prepare(core: Core, request_id: str, wording: Wording) -> Prepared:
    """Build a response without changing anything.

    Raises:
        LostError: the request is unknown, or it has been answered.
        LocalProtocolError: the protocol does not allow this response, or a value would break the message.

    """
    exchange = find(core, request_id)
    if exchange is None:
        raise LostError("the request is gone or has been answered")
    request, status = exchange.asked().request, wording.status
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is None:
        data = _write(core, exchange, wording, None)
        return Prepared(request_id, exchange.dialog_id, status, data)
    if 200 <= status < 300:
        if request.method in TARGET_REFRESH:
            return _prepare_acceptance(core, entry, exchange, request, wording)
        if request.method == "BYE":
            return _prepare_farewell(core, entry, exchange, wording)
    if wants_reliable(request, status):
        return _prepare_announcement(core, entry, exchange, wording)
    data = _write(core, exchange, wording, entry)
    return Prepared(request_id, entry.identifier, status, data)


def commit(core: Core, prepared: Prepared, now: float) -> bool:
    """Send a prepared response; False if the request has been answered otherwise in the meantime."""
    exchange = find(core, prepared.request_id)
    if exchange is None:
        return False
    method, change = exchange.method, prepared.change
    entry = core.dialogs.get(exchange.dialog_id)
    if prepared.status < 200:
        exchange.machine.send(prepared.data, status=prepared.status, now=now)
        run(core, exchange, now)
        if entry is not None and isinstance(change, Announcement):
            keep_sending(core, entry, exchange, change, now)
        return True
    send_final(core, exchange, prepared.status, prepared.data, now)
    if entry is None:
        return True
    if isinstance(change, Acceptance):
        _accept(core, entry, exchange, change, now)
        if method == "INVITE":
            await_ack(core, entry, AwaitedAck.of(exchange, prepared.data), now)
    elif isinstance(change, Farewell):
        _part(core, entry, change, now)
    else:
        _settle_refusal(core, entry, exchange)
    return True


def _prepare_acceptance(
    core: Core, entry: DialogEntry, exchange: ServerExchange, request: Request, wording: Wording
) -> Prepared:
    """Prepare a 2xx to INVITE, re-INVITE or UPDATE (RFC 3261 §13.3.1.4)."""
    if request.method == "INVITE":
        check_overtaking(entry)
    data = _write(core, exchange, wording, entry)
    draft = entry.dialog.draft()
    change = Acceptance(
        request,
        data,
        session=None if exchange.agreement is None else exchange.agreement.session,
        minimum_interval=minimum_interval(request),
        description=wording.body if is_sdp(wording.content_type) else b"",
        recording=draft.recording if wording.recording is None else wording.recording,
        reserved=reserved_sequence(draft.local_sequence),
    )
    change.apply(draft)
    return Prepared(exchange.request_id, entry.identifier, wording.status, data, encode_snapshot(draft), change)


def _prepare_farewell(core: Core, entry: DialogEntry, exchange: ServerExchange, wording: Wording) -> Prepared:
    """Prepare a 2xx to BYE; its snapshot lets a successor repeat it (RFC 3261 §15.1.2)."""
    data = _write(core, exchange, wording, entry)
    change = Farewell(data)
    draft = entry.dialog.draft()
    change.apply(draft)
    return Prepared(exchange.request_id, entry.identifier, wording.status, data, encode_snapshot(draft), change)


def _prepare_announcement(core: Core, entry: DialogEntry, exchange: ServerExchange, wording: Wording) -> Prepared:
    """Prepare a reliable provisional response (RFC 3262 §3)."""
    rseq = next_rseq(core, entry)
    reliable = (("Require", "100rel"), ("RSeq", str(rseq)))
    data = _write(core, exchange, msgspec.structs.replace(wording, headers=(*reliable, *wording.headers)), entry)
    change = Announcement(rseq, data, described=is_sdp(wording.content_type))
    return Prepared(exchange.request_id, entry.identifier, wording.status, data, change=change)


def _write(core: Core, exchange: ServerExchange, wording: Wording, entry: DialogEntry | None) -> bytes:
    recording = core.identity.recording if entry is None else entry.dialog.state.recording
    return write_response(
        core.identity,
        exchange.asked(),
        wording.status,
        contact=core.contact(
            exchange.flow,
            secure=needs_sips(exchange.asked().request) if entry is None else entry.dialog.state.secure,
            recording=recording if wording.recording is None else wording.recording,
        ),
        agreement=exchange.agreement,
        session_uuid=None if entry is None else entry.identifier,
        reason=wording.reason,
        headers=wording.headers,
        body=wording.body,
        content_type=wording.content_type,
    )


def _accept(core: Core, entry: DialogEntry, exchange: ServerExchange, change: Acceptance, now: float) -> None:
    negotiation = entry.dialog.negotiation
    state = entry.dialog.state
    refreshes = entry.is_confirmed
    change.apply(state)
    entry.dialog.sequence_limit = max(entry.dialog.sequence_limit, change.reserved)
    if change.request.method == "INVITE":
        negotiation.their_invite = None
        negotiation.our_offer_in_answer = bool(change.description) and not exchange.offers
        stop_provisional(core, entry)
    else:
        negotiation.their_update = None
    restart_session_timer(core, entry, now)
    if refreshes and state.session is not None:
        core.emit(SessionRefreshed(entry.identifier, state.session.seconds, state.session.refreshed_by_us))


def _part(core: Core, entry: DialogEntry, change: Farewell, now: float) -> None:
    change.apply(entry.dialog.state)
    for request_id in entry.byes:
        repeated = find(core, request_id)
        if repeated is not None:
            answer(core, repeated, 200, now)
    close_dialog(core, entry, "bye-received")


def _settle_refusal(core: Core, entry: DialogEntry, exchange: ServerExchange) -> None:
    match exchange.method:
        case "INVITE":
            settle_refused_invite(core, exchange)
        case "UPDATE":
            entry.dialog.negotiation.their_update = None
        case "BYE":
            entry.byes.remove(exchange.request_id)
