"""Requests inside a dialog other than INVITE and PRACK: BYE, UPDATE, OPTIONS and INFO.

RFC 3261 §11, §12.2.2 and §15.1.2, RFC 3311 §5.2, RFC 6086. Applies the rules of the dialog and tells the transaction
user, which answers. Does not inspect what every request has in common (`signaling.useragent.uas`).
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.negotiation import Verdict
from signaling.dialog.session_timer import IntervalTooSmall
from signaling.useragent.closing import close_dialog, give_up_invite
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.events import ByeReceived, InfoReceived, OptionsReceived, UpdateReceived
from signaling.useragent.exchange import Arrival, ServerExchange
from signaling.useragent.offers import carries_description
from signaling.useragent.server import answer, find, forget, open_exchange, refuse, refuse_glare, run
from signaling.useragent.session_clock import agreement_for


def receive_bye(core: Core, entry: DialogEntry, arrival: Arrival) -> None:
    """Take a BYE (RFC 3261 §15.1.2); requests that are pending in the dialog get 487."""
    exchange = _open(core, entry, arrival)
    pending = find(core, entry.dialog.negotiation.their_invite or "")
    early = not entry.is_confirmed
    if early:
        # The caller ends an early dialog: nothing was recorded, so there is nothing to make durable first.
        answer(core, exchange, 200, arrival.now)
    if pending is not None:
        give_up_invite(core, pending, 487, "bye", arrival.now)
    if early:
        return
    if entry.our_bye is not None:
        # Both sides hang up at once. The transaction user has ended the session already.
        answer(core, exchange, 200, arrival.now)
        close_dialog(core, entry, "bye-received")
        return
    entry.byes.append(exchange.request_id)
    if len(entry.byes) == 1:
        core.emit(ByeReceived(exchange.request_id, entry.identifier, arrival.request, arrival.flow))


def receive_update(core: Core, entry: DialogEntry, arrival: Arrival) -> None:
    """Take an UPDATE (RFC 3311 §5.2)."""
    offers = carries_description(arrival.request)
    verdict = entry.dialog.negotiation.judge_update(offers=offers)
    if verdict is not Verdict.PROCEED:
        refuse_glare(core, entry, arrival, verdict)
        return
    agreement = agreement_for(core, arrival.request, entry.dialog.state.session)
    if isinstance(agreement, IntervalTooSmall):
        headers = [("Min-SE", str(agreement.minimum))]
        refuse(core, arrival, 422, dialog_id=entry.identifier, headers=headers)
        return
    exchange = _open(core, entry, arrival)
    exchange.agreement = agreement
    exchange.offers = offers
    entry.dialog.negotiation.their_update = exchange.request_id
    entry.dialog.negotiation.their_update_offers = offers
    core.emit(UpdateReceived(exchange.request_id, entry.identifier, arrival.request, arrival.flow))


def receive_options(core: Core, entry: DialogEntry | None, arrival: Arrival) -> None:
    """Take an OPTIONS, inside or outside of a dialog (RFC 3261 §11.2)."""
    exchange = _open(core, entry, arrival)
    core.emit(OptionsReceived(exchange.request_id, exchange.dialog_id, arrival.request, arrival.flow))


def receive_info(core: Core, entry: DialogEntry, arrival: Arrival) -> None:
    """Take an INFO (RFC 6086 §4.2.2)."""
    exchange = _open(core, entry, arrival)
    core.emit(InfoReceived(exchange.request_id, entry.identifier, arrival.request, arrival.flow))


def _open(core: Core, entry: DialogEntry | None, arrival: Arrival) -> ServerExchange:
    tag = core.identity.tag(core.token()) if entry is None else entry.dialog.state.local_tag
    exchange = open_exchange(core, arrival, local_tag=tag)
    exchange.dialog_id = None if entry is None else entry.identifier
    run(core, exchange, arrival.now)
    if arrival.request.method != "BYE":
        # A BYE waits as long as the transaction user needs: its answer is what ends the dialog.
        exchange.guard = core.queue.arm(arrival.now + core.timers.timeout, partial(_abandon, core, exchange))
    return exchange


def _abandon(core: Core, exchange: ServerExchange, now: float) -> None:
    """Forget a request that nobody answered until the peer gave up: RFC 4320 §4.2 wants no late response."""
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is not None and entry.dialog.negotiation.their_update == exchange.request_id:
        entry.dialog.negotiation.their_update = None
    forget(core, exchange)
