"""How INVITEs end without success and how dialogs end, RFC 3261 §9.2, §12.3 and §15.

Cleans up and tells the transaction user. Does not decide that something ends.
"""

from __future__ import annotations

from typing import Literal

from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.events import CancelReceived, DialogEnded
from signaling.useragent.exchange import ServerExchange
from signaling.useragent.server import answer

InviteEnd = Literal["cancel", "bye", "expired", "unanswered", "unacknowledged"]


def give_up_invite(core: Core, exchange: ServerExchange, status: int, cause: InviteEnd, now: float) -> None:
    """Answer an INVITE or re-INVITE in the transaction user's place, and say that it is over."""
    dialog_id = exchange.dialog_id
    if exchange.answered or dialog_id is None:
        return
    answer(core, exchange, status, now)
    settle_refused_invite(core, exchange)
    core.emit(CancelReceived(exchange.request_id, dialog_id, cause))


def settle_refused_invite(core: Core, exchange: ServerExchange) -> None:
    """Undo what an INVITE began: its early dialog goes, an established one stays as it was (RFC 3261 §14.1)."""
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is None:
        return
    entry.dialog.negotiation.their_invite = None
    stop_provisional(core, entry)
    if exchange.initial:
        core.dialogs.remove(entry)


def stop_provisional(core: Core, entry: DialogEntry) -> None:
    """Do not repeat a reliable provisional response any more: its INVITE is finally answered (RFC 3262 §3)."""
    if entry.provisional is not None:
        core.queue.cancel(entry.provisional.timer)
        entry.provisional.timer = None


def close_dialog(core: Core, entry: DialogEntry, cause: Literal["bye-received", "bye-sent"] | None) -> None:
    """Take a dialog out of every table and stop its timers; tell the transaction user unless `cause` is None."""
    for awaited in entry.awaited_acks:
        core.queue.cancel(awaited.timer)
    entry.awaited_acks.clear()
    stop_provisional(core, entry)
    core.queue.cancel(entry.session_timer)
    entry.session_timer = None
    core.dialogs.remove(entry)
    if cause is not None:
        core.emit(DialogEnded(entry.identifier, cause))
