"""Requests of the recorder inside a dialog, RFC 3261 §8.1, §12.2.1.1, §14.1 and §15.1.1.

Builds them from the dialog alone, chooses the way, and runs their client transactions. What the answers mean is in
`signaling.useragent.concluding`.
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.dialog import InDialogFields
from signaling.dialog.flow import Destination, Flow, TransportName
from signaling.dialog.routing import Routing, choose_path
from signaling.dialog.session_timer import ask_as_uac
from signaling.dialog.state import OwnInvite, encode_snapshot
from signaling.errors import LocalProtocolError, LostError
from signaling.sip import Params, Request, SessionId, Via, build_cancel
from signaling.sip.values import NIL_UUID
from signaling.transaction import InviteClientTransaction, NonInviteClientTransaction, client_key
from signaling.useragent.challenges import credentials, spend
from signaling.useragent.closing import give_up_invite
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.events import CheckpointAdvised
from signaling.useragent.exchange import ClientExchange, ClientMachine, Draft
from signaling.useragent.offers import is_sdp
from signaling.useragent.prepared import PreparedRequest
from signaling.useragent.responses import TARGET_REFRESH
from signaling.useragent.server import find


def prepare_request(core: Core, dialog_id: str, draft: Draft) -> PreparedRequest:
    """Reserve what a request needs, without changing anything.

    Raises:
        LostError: there is no such dialog, or it is ending.
        LocalProtocolError: the protocol does not allow this request now.

    """
    entry = _dialog(core, dialog_id)
    obstacle = _obstacle(entry, draft)
    if obstacle is not None:
        raise LocalProtocolError(obstacle)
    request_id = core.next_identifier("c")
    state = entry.dialog.draft()
    state.local_sequence += 1
    if draft.method == "INVITE":
        state.own_invite = OwnInvite(request_id, state.local_sequence)
    return PreparedRequest(request_id, dialog_id, draft, encode_snapshot(state))


def send_request(core: Core, prepared: PreparedRequest, now: float, *, internal: bool = False) -> bool:
    """Send it, if the dialog still allows it; False if something else came first.

    A BYE waits for the ACK of our 2xx: RFC 3261 §15, "the callee's UA MUST NOT send a BYE on a confirmed dialog until
    it has received an ACK for its 2xx response or until the server transaction times out".
    """
    entry = core.dialogs.get(prepared.dialog_id)
    if entry is None or not entry.is_confirmed or _obstacle(entry, prepared.draft) is not None:
        return False
    draft = prepared.draft
    negotiation = entry.dialog.negotiation
    if draft.method == "BYE":
        entry.our_bye = prepared.request_id
        if negotiation.awaiting_ack:
            entry.held_bye = prepared
            return True
        pending = find(core, negotiation.their_invite or "")
        if pending is not None:
            give_up_invite(core, pending, 487, "bye", now)
    sequence, advised = entry.dialog.next_sequence()
    if advised:
        core.emit(CheckpointAdvised(entry.identifier))
    exchange = ClientExchange(prepared.request_id, entry.identifier, draft, sequence=sequence, internal=internal)
    if draft.method == "INVITE":
        negotiation.our_invite = exchange.request_id
        entry.dialog.state.own_invite = OwnInvite(exchange.request_id, sequence)
        exchange.guard = core.queue.arm(now + core.timers.timeout, partial(_lose_patience, core, exchange))
    elif draft.method == "UPDATE":
        negotiation.our_update = exchange.request_id
        negotiation.our_update_offers = is_sdp(draft.content_type)
    _start(core, entry, exchange, now)
    return True


def release_bye(core: Core, entry: DialogEntry, now: float) -> None:
    """Send the BYE that waited for an ACK, now that it came or will not come."""
    held, entry.held_bye = entry.held_bye, None
    if held is not None:
        entry.our_bye = None
        send_request(core, held, now)


def send_again(core: Core, entry: DialogEntry, exchange: ClientExchange, now: float) -> None:
    """Send a request anew, with the next CSeq number and the credentials that were asked for (RFC 3261 §22.2).

    It keeps its `request_id`: for the transaction user it is the same request. The challenged transaction lives on
    under another one, to acknowledge repetitions of the challenge.
    """
    again = ClientExchange(
        exchange.request_id, entry.identifier, exchange.draft, sequence=0, internal=exchange.internal
    )
    again.proved = exchange.proved
    _retire(core, exchange)
    again.sequence, advised = entry.dialog.next_sequence()
    if again.method == "INVITE":
        entry.dialog.state.own_invite = OwnInvite(again.request_id, again.sequence)
        again.guard = core.queue.arm(now + core.timers.timeout, partial(_lose_patience, core, again))
        advised = True  # a successor finds the answer by its number
    if advised:
        core.emit(CheckpointAdvised(entry.identifier))
    _start(core, entry, again, now)


def run_client(core: Core, exchange: ClientExchange, machine: ClientMachine, now: float) -> None:
    """Send what the machine wants to send, arm its timer, and forget it once it is over."""
    if machine.deadline is not None and machine.deadline <= now:
        machine.handle_timer(now)
    for data in machine.outgoing():
        core.transmit(
            data,
            exchange.targets[exchange.attempt],
            dialog_id=exchange.dialog_id,
            request_id=exchange.request_id,
        )
    if machine.is_over:
        forget_client(core, exchange)
    else:
        exchange.timer = core.rearm(exchange.timer, machine.deadline, partial(core.hooks.client_due, exchange, machine))


def forget_client(core: Core, exchange: ClientExchange) -> None:
    """Drop a transaction of ours from every table."""
    core.queue.cancel(exchange.timer)
    core.queue.cancel(exchange.guard)
    _unlist(core, exchange)
    core.client_by_id.pop(exchange.request_id, None)


def note_carrier(core: Core, exchange: ClientExchange, flow: Flow) -> None:
    """Remember the connection that a request went by: if it breaks, no answer will come."""
    exchange.carried_by = flow
    core.client_by_flow.setdefault(flow, set()).add(exchange.request_id)


def turn_to_fallback(core: Core, exchange: ClientExchange, now: float) -> bool:
    """Send a request again by the next way, after the last one failed; False if there is none.

    It is the same request with another branch and Via (RFC 3261 §18.1.1, RFC 3263 §4.3).
    """
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is None or exchange.provisional or exchange.answered or exchange.attempt + 1 >= len(exchange.targets):
        return False
    exchange.attempt += 1
    _unlist(core, exchange)
    routing = entry.dialog.routing()
    exchange.credentials = credentials(core, entry, exchange.method, routing.request_uri.text)
    spend(entry)
    request = _build(core, entry, exchange, routing, exchange.targets[exchange.attempt].transport)
    _launch(core, exchange, request, now)
    return True


def acknowledge_success(core: Core, entry: DialogEntry, exchange: ClientExchange, *, via: Via | None = None) -> None:
    """Build and send the ACK of a 2xx to our re-INVITE (RFC 3261 §13.2.2.4), or of a failure if `via` is given."""
    routing = entry.dialog.routing()
    transport: TransportName = "udp"
    flow = entry.dialog.state.flow
    # §13.2.2.4: "The ACK MUST contain the same credentials as the INVITE."
    headers = [("User-Agent", core.identity.product), *exchange.credentials]
    fields = InDialogFields(via or _via(core, flow, transport), None, headers)
    ack = entry.dialog.request("ACK", exchange.sequence, routing, fields).encode()
    target = _targets(core, entry, routing, len(ack))[0]
    if via is None and target.transport != transport:
        fields = InDialogFields(_via(core, flow, target.transport), None, fields.headers)
        ack = entry.dialog.request("ACK", exchange.sequence, routing, fields).encode()
    exchange.ack = ack
    exchange.ack_target = target
    repeat_ack(core, exchange)


def repeat_ack(core: Core, exchange: ClientExchange) -> None:
    """Send the ACK of a 2xx, for the first time or because the 2xx was repeated."""
    if exchange.ack and exchange.ack_target is not None:
        core.transmit(exchange.ack, exchange.ack_target, dialog_id=exchange.dialog_id, request_id=exchange.request_id)


def _dialog(core: Core, dialog_id: str) -> DialogEntry:
    entry = core.dialogs.get(dialog_id)
    if entry is None:
        raise LostError("there is no such dialog")
    if not entry.is_confirmed:
        # RFC 3261 §15: the callee's UA "MUST NOT send a BYE on early dialogs"; nothing else is of use there either.
        raise LocalProtocolError("the dialog is not confirmed")
    return entry


def _obstacle(entry: DialogEntry, draft: Draft) -> str | None:
    """Return why a request cannot be sent now, or None."""
    negotiation = entry.dialog.negotiation
    if entry.our_bye is not None or entry.byes:
        return "the dialog is ending"
    if draft.method == "INVITE" and not negotiation.may_send_invite():
        return "another INVITE or offer is under way"
    if draft.method == "UPDATE" and not negotiation.may_send_update(offers=is_sdp(draft.content_type)):
        return "another UPDATE or offer is under way"
    return None


def _start(core: Core, entry: DialogEntry, exchange: ClientExchange, now: float) -> None:
    routing = entry.dialog.routing()
    exchange.credentials = credentials(core, entry, exchange.method, routing.request_uri.text)
    # The way depends on the size; most go by UDP, and then it is the request.
    request = _build(core, entry, exchange, routing, "udp")
    exchange.targets = _targets(core, entry, routing, len(request.encode()))
    spend(entry)
    if exchange.targets[0].transport != "udp":
        request = _build(core, entry, exchange, routing, exchange.targets[0].transport)
    _launch(core, exchange, request, now)


def _launch(core: Core, exchange: ClientExchange, request: Request, now: float) -> None:
    target = exchange.targets[exchange.attempt]
    machine: ClientMachine
    if request.method == "INVITE":
        machine = InviteClientTransaction(request, reliable=target.reliable, timers=core.timers, now=now)
    else:
        machine = NonInviteClientTransaction(request, reliable=target.reliable, timers=core.timers, now=now)
    exchange.machine = machine
    _enlist(core, exchange, request)
    run_client(core, exchange, machine, now)


def _build(
    core: Core, entry: DialogEntry, exchange: ClientExchange, routing: Routing, transport: TransportName
) -> Request:
    identity, state, draft = core.identity, entry.dialog.state, exchange.draft
    refreshes = draft.method in TARGET_REFRESH
    headers: list[tuple[str, str]] = []
    if refreshes or draft.method == "OPTIONS":
        headers.append(("Allow", ", ".join(identity.allow)))
    # 100rel is left out: as UAC the recorder has no use for reliable provisional responses (RFC 3262 §4).
    headers.append(("Supported", ", ".join(tag for tag in identity.supported if tag != "100rel")))
    if refreshes:
        expires, minimum = ask_as_uac(state.session, state.minimum_interval)
        if expires is not None:
            headers.append(("Session-Expires", str(expires)))
        if minimum is not None:
            headers.append(("Min-SE", str(minimum)))
    if identity.session_id and state.session_uuid is not None:
        headers.append(("Session-ID", str(SessionId(entry.identifier, state.session_uuid or NIL_UUID))))
    headers.append(("User-Agent", identity.product))
    contact = None
    if refreshes:
        contact = core.contact(state.flow, secure=state.secure, recording=state.recording)
    fields = InDialogFields(
        _via(core, state.flow, transport),
        contact,
        (*headers, *draft.headers, *exchange.credentials),
        draft.body,
        draft.content_type,
    )
    return entry.dialog.request(draft.method, exchange.sequence, routing, fields)


def _via(core: Core, flow: Flow, transport: TransportName) -> Via:
    # RFC 3581 §3: a client "inserts an "rport" parameter into the top Via"; over connections it changes nothing.
    asks = (("rport", None),) if transport == "udp" else ()
    params = Params((*asks, ("branch", core.branch())))
    return Via(transport.upper(), core.identity.host_towards(flow), core.identity.port_for(transport), params)


def _targets(core: Core, entry: DialogEntry, routing: Routing, size: int) -> tuple[Flow | Destination, ...]:
    state = entry.dialog.state
    path = choose_path(
        routing.next_hop,
        flow=state.flow,
        flow_is_open=core.is_open(state.flow),
        may_reuse=state.reuse_connection,
        size=size,
    )
    return (path.first, *path.fallbacks)


def _enlist(core: Core, exchange: ClientExchange, request: Request) -> None:
    exchange.key = client_key(request)
    core.client[exchange.key] = exchange
    core.client_by_id[exchange.request_id] = exchange
    target = exchange.targets[exchange.attempt]
    if isinstance(target, Flow):
        note_carrier(core, exchange, target)


def _retire(core: Core, exchange: ClientExchange) -> None:
    """Give a transaction whose request is sent anew another name, as long as it lives."""
    core.queue.cancel(exchange.guard)
    flow = exchange.carried_by
    _unlist(core, exchange)
    core.client_by_id.pop(exchange.request_id, None)
    if exchange.machine is None or exchange.machine.is_over:
        return
    exchange.request_id = core.next_identifier("c")
    core.client[exchange.key] = exchange
    core.client_by_id[exchange.request_id] = exchange
    if flow is not None:
        note_carrier(core, exchange, flow)


def _unlist(core: Core, exchange: ClientExchange) -> None:
    core.client.pop(exchange.key, None)
    flow, exchange.carried_by = exchange.carried_by, None
    waiting = None if flow is None else core.client_by_flow.get(flow)
    if flow is not None and waiting is not None:
        waiting.discard(exchange.request_id)
        if not waiting:
            del core.client_by_flow[flow]


def _lose_patience(core: Core, exchange: ClientExchange, now: float) -> None:
    """End the wait for a re-INVITE that got a provisional response only: Timer B does not run any more."""
    exchange.guard = None
    machine = exchange.machine
    if exchange.answered or not exchange.provisional or not isinstance(machine, InviteClientTransaction):
        return
    if exchange.cancelling:
        core.hooks.client_silent(exchange, "timeout", now)
        forget_client(core, exchange)
        return
    exchange.cancelling = True
    exchange.guard = core.queue.arm(now + core.timers.timeout, partial(_lose_patience, core, exchange))
    cancel = build_cancel(machine.request)
    twin = ClientExchange(
        core.next_identifier("c"), exchange.dialog_id, Draft("CANCEL"), sequence=exchange.sequence, internal=True
    )
    twin.targets = (exchange.targets[exchange.attempt],)
    reliable = twin.targets[0].reliable
    twin.machine = NonInviteClientTransaction(cancel, reliable=reliable, timers=core.timers, now=now)
    _enlist(core, twin, cancel)
    run_client(core, twin, twin.machine, now)
