"""Session refreshes that the recorder sends, and sessions that nobody refreshed, RFC 4028 §7.4 and §10.

Refreshes by UPDATE without an offer where the peer takes UPDATE; else the transaction user is asked for a re-INVITE,
because only it knows the session description. Does not send BYE.
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.session_timer import Due, Phase
from signaling.errors import SignalingError
from signaling.sip import Response
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.events import RefreshDue, SessionExpired
from signaling.useragent.exchange import ClientExchange, Draft
from signaling.useragent.requesting import prepare_request, send_request
from signaling.useragent.session_clock import minimum_interval


def serve_session(core: Core, entry: DialogEntry, due: Due, now: float) -> None:
    """Do what the session timer asks for."""
    if due is Due.EXPIRED:
        core.emit(SessionExpired(entry.identifier))
    else:
        refresh(core, entry, now)


def refresh(core: Core, entry: DialogEntry, now: float) -> None:
    """Send a refresh, or ask for one."""
    if core.dialogs.get(entry.identifier) is None or entry.our_bye is not None or entry.byes:
        return
    if "UPDATE" not in entry.dialog.state.peer_methods:
        core.emit(RefreshDue(entry.identifier))
        return
    try:
        prepared = prepare_request(core, entry.identifier, Draft("UPDATE"))
        send_request(core, prepared, now, internal=True)
    except SignalingError:
        # An UPDATE of ours is under way: its 2xx refreshes the session too. Look again in case it fails.
        core.queue.arm(now + core.timers.t2, partial(_look_again, core, entry))


def conclude_refresh(core: Core, entry: DialogEntry, exchange: ClientExchange, response: Response, now: float) -> None:
    """Take the final response to a refresh (RFC 4028 §7.3, §10)."""
    if response.is_success or response.status in (481, 408, 491):
        return  # extended; or the dialog is in doubt, which is reported; or the back-off runs
    if response.status == 422:
        minimum = minimum_interval(response)
        if minimum > entry.dialog.state.minimum_interval:
            # "The UAC MAY retry"; a refusal that asks for nothing new is left to the expiration.
            entry.dialog.state.minimum_interval = minimum
            refresh(core, entry, now)
        return
    if response.status in (405, 501):
        methods = tuple(method for method in entry.dialog.state.peer_methods if method != "UPDATE")
        entry.dialog.state.peer_methods = methods
    core.emit(RefreshDue(entry.identifier))


def _look_again(core: Core, entry: DialogEntry, now: float) -> None:
    if entry.dialog.session_timer.phase is Phase.REFRESHING:
        refresh(core, entry, now)
