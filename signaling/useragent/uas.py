"""What every request goes through, RFC 3261 §8.2, and where it goes then.

Matches transactions, inspects method, Request-URI, merging and Require in the order of the RFC, finds the dialog and
hands over to the module of the method. Does not judge bodies: 415 and 488 are the transaction user's.
"""

from __future__ import annotations

from typing import Final

from signaling.dialog.flow import Flow
from signaling.dialog.state import dialog_identifier
from signaling.errors import SipSyntaxError
from signaling.sip import Request, Via, reject_malformed
from signaling.transaction import InviteServerTransaction, merge_key, server_key
from signaling.transaction.invite_server import State as InviteState
from signaling.useragent.acknowledgement import receive_ack
from signaling.useragent.cancel import receive_cancel
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.exchange import Arrival
from signaling.useragent.invite import receive_invite, receive_reinvite
from signaling.useragent.reliable import receive_prack
from signaling.useragent.return_path import response_path
from signaling.useragent.server import has_room, refuse, reply_statelessly, run
from signaling.useragent.within_dialog import receive_bye, receive_info, receive_options, receive_update

SCHEMES: Final = ("sip", "sips", "tel")
"""Of the Request-URI; others get 416."""
RECOGNISED: Final = frozenset(
    {
        "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
        "REGISTER", "SUBSCRIBE", "UPDATE",
    }
)  # fmt: skip
"""IANA registry: a method of these that we do not serve gets 405, any other 501 (RFC 3261 §8.2.1, §21.5.2)."""


def receive_request(core: Core, request: Request, flow: Flow, now: float) -> None:
    """Take a request that parses."""
    if request.method == "ACK":
        _receive_ack(core, request, flow, now)
        return
    key = server_key(request)
    exchange = core.server.get(key)
    if exchange is not None:
        core.traced_dialog = exchange.dialog_id
        exchange.flow = flow  # a peer that lost its connection repeats the request over a new one
        exchange.machine.receive_retransmission()
        run(core, exchange, now)
        return
    repeated = core.repeated.get(key) if core.repeated else None
    if repeated is not None:
        # A process before us promised this answer, and the bytes of one response never change.
        core.traced_dialog = repeated.dialog_id
        path = response_path(request.via.seen_from(*flow.remote), flow, is_open=core.is_open(flow))
        core.transmit(repeated.data, path, dialog_id=repeated.dialog_id)
        return
    to_tag = request.to.tag
    arrival = Arrival(request, flow, now, key, merge_key(request) if to_tag is None else None, to_tag)
    if not has_room(core):
        retry = ("Retry-After", str(core.limits.retry_after))
        reply_statelessly(core, arrival, 503, headers=[retry])
        core.discard(flow, "limit of transactions is reached", request.method)
    elif request.method == "CANCEL":
        receive_cancel(core, arrival)
    elif _passes_inspection(core, arrival):
        _dispatch(core, arrival)


def refuse_malformed(core: Core, error: SipSyntaxError, flow: Flow) -> None:
    """Answer a request that does not parse, without state, if it can be answered; discard it otherwise.

    With a Via that cannot be read the answer goes where the request came from; over UDP at least one must be there,
    because what has none is no SIP.
    """
    salvage = error.salvage
    top = "" if salvage is None else next((value for name, value in salvage.headers if name == "Via"), "")
    via: Via | None
    try:
        via = Via.parse(top.partition(",")[0]).seen_from(*flow.remote)
    except SipSyntaxError:
        via = None
    response = None
    if top or flow.reliable:
        tag = core.identity.tag(core.token())
        response = reject_malformed(error, to_tag=tag, headers=[("Server", core.identity.product)])
    core.discard(flow, error.reason, error.header or str(error.status))
    if response is None:
        return
    if via is None:
        core.transmit(response.encode(), flow, dialog_id=None)
        return
    _, comma, rest = top.partition(",")
    completed = response.headers.replacing_first("Via", f"{via}{comma}{rest}")
    data = type(response)(response.status, response.reason, completed).encode()
    core.transmit(data, response_path(via, flow, is_open=core.is_open(flow)), dialog_id=None)


def _receive_ack(core: Core, request: Request, flow: Flow, now: float) -> None:
    """Take an ACK; it is never answered (RFC 3261 §17.1.1.3, §13.3.1.4)."""
    exchange = core.server.get(server_key(request))
    if exchange is not None and isinstance(exchange.machine, InviteServerTransaction):
        core.traced_dialog = exchange.dialog_id
        exchange.machine.receive_ack(request, now)
        run(core, exchange, now)
        if exchange.machine.state is not InviteState.ACCEPTED:
            return
    entry = _dialog_of(core, request)
    if entry is None:
        core.discard(flow, "ACK without a dialog")
        return
    core.traced_dialog = entry.identifier
    receive_ack(core, entry, request, now)


def _passes_inspection(core: Core, arrival: Arrival) -> bool:
    """Apply RFC 3261 §8.2.1 and §8.2.2; True if the request may go on."""
    request, flow = arrival.request, arrival.flow
    if request.method not in core.identity.allow:
        reply_statelessly(core, arrival, 405 if request.method in RECOGNISED else 501)
        core.discard(flow, "method is not allowed", request.method)
        return False
    if request.uri.scheme not in SCHEMES:
        reply_statelessly(core, arrival, 416)
        core.discard(flow, "scheme of the Request-URI is not supported", request.uri.scheme)
        return False
    merge = arrival.merge
    if merge is not None and (merge in core.merged or merge in core.repeated_merges):
        # "If the From tag, Call-ID, and CSeq exactly match those associated with an ongoing transaction, but the
        # request does not match that transaction [...], the UAS core SHOULD generate a 482 (Loop Detected) response"
        refuse(core, arrival, 482)
        core.discard(flow, "merged request", request.method)
        return False
    try:
        unknown = [tag for tag in request.require if tag not in core.identity.understood]
    except SipSyntaxError:
        unknown = []
    if unknown:
        reply_statelessly(core, arrival, 420, headers=[("Unsupported", ", ".join(unknown))])
        core.discard(flow, "required extension is not supported", unknown[0])
        return False
    return True


def _dispatch(core: Core, arrival: Arrival) -> None:
    request, flow, method = arrival.request, arrival.flow, arrival.request.method
    if arrival.to_tag is None and method == "INVITE":
        receive_invite(core, arrival)
        return
    if arrival.to_tag is None and method == "OPTIONS":
        receive_options(core, None, arrival)
        return
    entry = _dialog_of(core, request)
    if entry is None or (method != "BYE" and _is_ending(entry)):
        # RFC 3261 §12.2.2: "it MUST respond to the request with a 481 (Call/Transaction Does Not Exist)"
        reply_statelessly(core, arrival, 481)
        core.discard(flow, "no such dialog", method)
        return
    core.traced_dialog = entry.identifier
    if not entry.dialog.accepts_sequence(request.cseq.number):
        # "the request is out of order and MUST be rejected with a 500 (Server Internal Error) response."
        refuse(core, arrival, 500, dialog_id=entry.identifier)
        core.discard(flow, "CSeq number is lower than that of an earlier request", method)
        return
    entry.dialog.state.flow = flow
    match method:
        case "INVITE":
            receive_reinvite(core, entry, arrival)
        case "BYE":
            receive_bye(core, entry, arrival)
        case "UPDATE":
            receive_update(core, entry, arrival)
        case "PRACK":
            receive_prack(core, entry, arrival)
        case "OPTIONS":
            receive_options(core, entry, arrival)
        case _:
            receive_info(core, entry, arrival)


def _is_ending(entry: DialogEntry) -> bool:
    return bool(entry.byes) or entry.our_bye is not None


def _dialog_of(core: Core, request: Request) -> DialogEntry | None:
    """Find the dialog of a request (RFC 3261 §12.2.2).

    A BYE or ACK without To-tag, as vendor scripts send it, is matched by Call-ID and From-tag if only one dialog has
    them: the peer is then the one that opened it.
    """
    local_tag, remote_tag = request.to.tag, request.from_.tag
    if local_tag is None:
        if request.method not in ("BYE", "ACK"):
            return None
        return core.dialogs.only_one_of(request.call_id, remote_tag)
    entry = core.dialogs.get(dialog_identifier(request.call_id, local_tag))
    if entry is None or entry.dialog.state.remote_tag != remote_tag:
        return None
    return entry
