"""INVITE and re-INVITE received by the recorder, RFC 3261 §13.3.1 and §14.2, and their end without success.

Opens the early dialog and tells the transaction user. Does not build the answer (`signaling.useragent.answering`) and
does not repeat it.
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.dialog import Dialog
from signaling.dialog.negotiation import Verdict
from signaling.dialog.session_timer import IntervalTooSmall
from signaling.errors import SipSyntaxError
from signaling.useragent.closing import InviteEnd, give_up_invite
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.events import InviteReceived, ReinviteReceived
from signaling.useragent.exchange import Arrival, ServerExchange
from signaling.useragent.offers import carries_description
from signaling.useragent.server import open_exchange, refuse, refuse_glare, reply_statelessly, run
from signaling.useragent.session_clock import agreement_for


def receive_invite(core: Core, arrival: Arrival) -> None:
    """Take an INVITE outside of a dialog (RFC 3261 §13.3.1)."""
    if len(core.dialogs) >= core.limits.dialogs:
        reply_statelessly(core, arrival, 503, headers=[("Retry-After", str(core.limits.retry_after))])
        core.discard(arrival.flow, "limit of dialogs is reached", arrival.request.method)
        return
    agreement = agreement_for(core, arrival.request, None)
    if isinstance(agreement, IntervalTooSmall):
        refuse(core, arrival, 422, headers=[("Min-SE", str(agreement.minimum))])
        return
    local_tag = core.identity.tag(core.token())
    entry = DialogEntry(
        Dialog.from_invite(arrival.request, local_tag=local_tag, flow=arrival.flow, recording=core.identity.recording)
    )
    core.dialogs.add(entry)
    exchange = open_exchange(core, arrival, local_tag=local_tag)
    exchange.initial = True
    exchange.offers = carries_description(arrival.request)
    exchange.agreement = agreement
    _begin(core, entry, exchange, arrival)
    core.emit(InviteReceived(exchange.request_id, entry.identifier, arrival.request, arrival.flow, core.received))


def receive_reinvite(core: Core, entry: DialogEntry, arrival: Arrival) -> None:
    """Take an INVITE inside a dialog (RFC 3261 §14.2)."""
    dialog = entry.identifier
    offers = carries_description(arrival.request)
    verdict = entry.dialog.negotiation.judge_invite(offers=offers)
    if verdict is not Verdict.PROCEED:
        refuse_glare(core, entry, arrival, verdict)
        return
    agreement = agreement_for(core, arrival.request, entry.dialog.state.session)
    if isinstance(agreement, IntervalTooSmall):
        headers = [("Min-SE", str(agreement.minimum))]
        refuse(core, arrival, 422, dialog_id=dialog, headers=headers)
        return
    exchange = open_exchange(core, arrival, local_tag=entry.dialog.state.local_tag)
    exchange.agreement = agreement
    exchange.offers = offers
    _begin(core, entry, exchange, arrival)
    core.emit(ReinviteReceived(exchange.request_id, dialog, arrival.request, arrival.flow, core.received))


def _begin(core: Core, entry: DialogEntry, exchange: ServerExchange, arrival: Arrival) -> None:
    now = arrival.now
    exchange.dialog_id = entry.identifier
    core.traced_dialog = entry.identifier
    entry.dialog.negotiation.their_invite = exchange.request_id
    entry.dialog.negotiation.their_invite_offers = exchange.offers
    # The 100 is sent only now, so that its trace names the dialog.
    run(core, exchange, now)
    try:
        expires = arrival.request.expires
    except SipSyntaxError:
        expires = None
    patience = core.limits.unanswered_invite
    if expires is not None and expires < patience:
        # RFC 3261 §13.3.1: "If the invitation expires before the UAS has generated a final response, a 487 (Request
        # Terminated) response SHOULD be generated."
        exchange.guard = core.queue.arm(now + expires, partial(_on_guard, core, exchange, 487, "expired"))
    else:
        exchange.guard = core.queue.arm(now + patience, partial(_on_guard, core, exchange, 500, "unanswered"))


def _on_guard(core: Core, exchange: ServerExchange, status: int, cause: InviteEnd, now: float) -> None:
    exchange.guard = None
    give_up_invite(core, exchange, status, cause, now)
