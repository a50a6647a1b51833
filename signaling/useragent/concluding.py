"""What the answers to requests of the recorder mean, RFC 3261 §8.1.3, §12.2.1.2, §14.1 and §15.1.1; RFC 4028 §7.2.

Updates the dialog and tells the transaction user. Never ends a dialog because a request failed, except by its own BYE:
losing a recording to one lost message is worse than keeping a dead dialog until its media stops.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from signaling.dialog.dialog import refresh_target, remember_capabilities
from signaling.dialog.flow import Flow
from signaling.dialog.session_timer import agreed_as_uac
from signaling.dialog.state import dialog_identifier
from signaling.errors import SipSyntaxError
from signaling.sip import Response
from signaling.transaction import Responded, TimedOut, client_key
from signaling.useragent.challenges import take_challenges
from signaling.useragent.closing import close_dialog
from signaling.useragent.core import Core, DialogEntry, Silence
from signaling.useragent.events import (
    DialogDoubted,
    RequestTimedOut,
    ResponseReceived,
    RetryDue,
    SessionRefreshed,
)
from signaling.useragent.exchange import ClientExchange, ClientMachine, Draft
from signaling.useragent.offers import is_sdp
from signaling.useragent.requesting import (
    acknowledge_success,
    forget_client,
    repeat_ack,
    run_client,
    send_again,
    turn_to_fallback,
)
from signaling.useragent.responses import TARGET_REFRESH
from signaling.useragent.session_clock import minimum_interval, restart_session_timer, session_expires

GLARE_STEPS: Final = 201
"""RFC 3261 §14.1: "a randomly chosen value of between 0 and 2 seconds in units of 10 ms", since the recorder never owns
the Call-ID."""
LONGEST_RETRY: Final = 10
"""Seconds of Retry-After that are waited for on behalf of the transaction user (RFC 3261 §14.2 allows no more)."""


def receive_response(core: Core, response: Response, flow: Flow, now: float) -> None:
    """Take a response (RFC 3261 §18.1.2, §8.1.3)."""
    via = response.via
    if not core.identity.is_ours(via.host, flow):
        core.discard(flow, "response to somebody else's request", via.host)
        return
    if len(response.vias) > 1:
        # RFC 3261 §8.1.3.3: "If more than one Via header field value is present in a response, the UAC SHOULD discard
        # the message."
        core.discard(flow, "response with more than one Via")
        return
    exchange = core.client.get(client_key(response))
    if exchange is None:
        exchange = _orphan(core, response, now)
    if exchange is None:
        core.discard(flow, "response without a transaction", str(response.status))
        return
    core.traced_dialog = exchange.dialog_id
    if exchange.machine is None:
        _take(core, exchange, response, now)
        return
    exchange.machine.receive(response, now)
    _digest(core, exchange, exchange.machine, now)


def run_due(core: Core, exchange: ClientExchange, machine: ClientMachine, now: float) -> None:
    """Serve the timer of a client transaction."""
    exchange.timer = None
    machine.handle_timer(now)
    _digest(core, exchange, machine, now)


def fail_transport(core: Core, exchange: ClientExchange, now: float) -> None:
    """Take note that a request could not be sent, or that the connection it went by is gone: try the next way."""
    machine = exchange.machine
    if machine is not None and not turn_to_fallback(core, exchange, now):
        machine.transport_failed()
        _digest(core, exchange, machine, now)


def conclude_silence(core: Core, exchange: ClientExchange, cause: Silence, now: float) -> None:
    """End the wait for a final response (RFC 3261 §8.1.3.1)."""
    if exchange.answered:
        return
    exchange.answered = True
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is not None:
        _release(entry, exchange)
    if exchange.method == "CANCEL":
        return
    if not exchange.internal:
        core.emit(RequestTimedOut(exchange.request_id, exchange.dialog_id, cause))
    if entry is None:
        return
    if exchange.method == "BYE":
        # RFC 3261 §15.1.1: "no response at all is received for the BYE [...] the UAC MUST consider the session and the
        # dialog terminated."
        close_dialog(core, entry, "bye-sent")
    else:
        core.emit(DialogDoubted(exchange.dialog_id, exchange.request_id, cause))


def _digest(core: Core, exchange: ClientExchange, machine: ClientMachine, now: float) -> None:
    events = machine.events()
    run_client(core, exchange, machine, now)
    for event in events:
        if isinstance(event, Responded):
            _take(core, exchange, event.response, now)
        else:
            conclude_silence(core, exchange, "timeout" if isinstance(event, TimedOut) else "transport", now)


def _take(core: Core, exchange: ClientExchange, response: Response, now: float) -> None:
    if response.is_provisional:
        exchange.provisional = True
        return
    if exchange.answered:
        repeat_ack(core, exchange)  # a repeated 2xx: our ACK was lost
        return
    exchange.answered = True
    core.queue.cancel(exchange.guard)
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is not None and _is_challenged(core, entry, exchange, response):
        send_again(core, entry, exchange, now)
        return
    if entry is not None:
        _release(entry, exchange)
        if response.is_success and exchange.method in TARGET_REFRESH:
            _renew(core, entry, exchange, response, now)
    if exchange.method != "CANCEL":
        _report(core, entry, exchange, response, now)


def _is_challenged(core: Core, entry: DialogEntry, exchange: ClientExchange, response: Response) -> bool:
    """Whether the request shall be sent again because its first form was challenged (RFC 3261 §22.2, §22.3).

    Not a CANCEL, which cannot be (§22.1), not a re-INVITE that nobody waits for any more, and not one whose form only
    the process knew that died.
    """
    if exchange.method == "CANCEL" or exchange.cancelling or exchange.machine is None:
        return False
    return take_challenges(core, entry, exchange, response)


def _release(entry: DialogEntry, exchange: ClientExchange) -> None:
    negotiation = entry.dialog.negotiation
    if negotiation.our_invite == exchange.request_id:
        negotiation.our_invite = None
    if negotiation.our_update == exchange.request_id:
        negotiation.our_update = None
    own = entry.dialog.state.own_invite
    if own is not None and own.request_id == exchange.request_id:
        entry.dialog.state.own_invite = None


def _renew(core: Core, entry: DialogEntry, exchange: ClientExchange, response: Response, now: float) -> None:
    """Do what a 2xx to a re-INVITE or UPDATE of ours does."""
    state = entry.dialog.state
    refresh_target(state, response)
    remember_capabilities(state, response)
    if exchange.draft.body and is_sdp(exchange.draft.content_type):
        state.local_description = exchange.draft.body
    state.session = agreed_as_uac(session_expires(response))
    restart_session_timer(core, entry, now)
    if exchange.method == "INVITE":
        acknowledge_success(core, entry, exchange)
    if state.session is not None:
        core.emit(SessionRefreshed(entry.identifier, state.session.seconds, state.session.refreshed_by_us))


def _report(core: Core, entry: DialogEntry | None, exchange: ClientExchange, response: Response, now: float) -> None:
    retry_in = None
    if entry is not None:
        if response.status == 422 and not exchange.internal:
            minimum = max(entry.dialog.state.minimum_interval, minimum_interval(response))
            entry.dialog.state.minimum_interval = minimum
        retry_in = _retry_in(core, exchange, response)
        if retry_in is not None:
            core.queue.arm(now + retry_in, partial(_on_retry, core, exchange))
    if not exchange.internal:
        core.emit(ResponseReceived(exchange.request_id, exchange.dialog_id, response, retry_in))
    if entry is None:
        return
    if exchange.method == "BYE":
        # Any final answer: some peers refuse our BYE and never send one of their own.
        close_dialog(core, entry, "bye-sent")
    elif response.status == 481:
        core.emit(DialogDoubted(exchange.dialog_id, exchange.request_id, "481"))
    elif response.status == 408:
        core.emit(DialogDoubted(exchange.dialog_id, exchange.request_id, "408"))
    if exchange.internal:
        core.hooks.refresh_answered(entry, exchange, response, now)


def _retry_in(core: Core, exchange: ClientExchange, response: Response) -> float | None:
    """Return the back-off of a re-INVITE or UPDATE that met another request, in seconds; None if it did not."""
    if exchange.method not in TARGET_REFRESH:
        return None
    if response.status == 491:
        return min(int(core.uniform() * GLARE_STEPS), GLARE_STEPS - 1) / 100
    if response.status == 500:
        try:
            seconds = response.retry_after
        except SipSyntaxError:
            return None
        return None if seconds is None else float(min(seconds, LONGEST_RETRY))
    return None


def _on_retry(core: Core, exchange: ClientExchange, now: float) -> None:
    entry = core.dialogs.get(exchange.dialog_id)
    # RFC 3261 §14.1: "For example, if the call was already hung up with a BYE, the re-INVITE would not take place."
    if entry is None or entry.our_bye is not None or entry.byes:
        return
    if exchange.internal:
        core.hooks.refresh_again(entry, now)
    else:
        core.emit(RetryDue(exchange.request_id, exchange.dialog_id))


def _orphan(core: Core, response: Response, now: float) -> ClientExchange | None:
    """Find the re-INVITE of ours that a process before us sent and that `response` answers.

    Without its ACK the peer would repeat the response and then end the session.
    """
    if response.cseq.method != "INVITE" or response.is_provisional:
        return None
    entry = core.dialogs.get(dialog_identifier(response.call_id, response.from_.tag or ""))
    if entry is None or entry.dialog.state.remote_tag != response.to.tag:
        return None
    own = entry.dialog.state.own_invite
    if own is None or own.request_id in core.client_by_id or own.sequence != response.cseq.number:
        return None
    exchange = ClientExchange(own.request_id, entry.identifier, Draft("INVITE"), sequence=own.sequence, internal=False)
    exchange.key = client_key(response)
    core.client[exchange.key] = exchange
    core.client_by_id[exchange.request_id] = exchange
    if not response.is_success:
        acknowledge_success(core, entry, exchange, via=response.via)
    core.queue.arm(now + core.timers.timeout, partial(_forget_orphan, core, exchange))
    return exchange


def _forget_orphan(core: Core, exchange: ClientExchange, now: float) -> None:
    forget_client(core, exchange)
