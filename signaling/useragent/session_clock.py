"""The session timer of a dialog wired to the timer queue, RFC 4028 §9 and §10.

Reads what a request says about the timer and keeps the dialog's machine armed. Does not refresh
(`signaling.useragent.refreshing`).
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.session_timer import Agreement, IntervalTooSmall, SessionInterval, answer_as_uas
from signaling.errors import SipSyntaxError
from signaling.sip import Request, Response, SessionExpires
from signaling.useragent.core import Core, DialogEntry


def agreement_for(core: Core, request: Request, current: SessionInterval | None) -> Agreement | IntervalTooSmall:
    """Return what a 2xx to an INVITE, re-INVITE or UPDATE says about the session timer."""
    try:
        supports = "timer" in request.supported or "timer" in request.require
    except SipSyntaxError:
        supports = False
    return answer_as_uas(
        offered=session_expires(request),
        peer_minimum=minimum_interval(request) or None,
        peer_supports=supports,
        current=current,
        policy=core.identity.session_timer,
    )


def session_expires(message: Request | Response) -> SessionExpires | None:
    """Return Session-Expires; a malformed one counts as absent (RFC 3261 §8.2.2)."""
    try:
        return message.session_expires
    except SipSyntaxError:
        return None


def minimum_interval(message: Request | Response) -> int:
    """Return Min-SE in seconds, 0 if it is absent or malformed."""
    try:
        return message.min_se or 0
    except SipSyntaxError:
        return 0


def restart_session_timer(core: Core, entry: DialogEntry, now: float) -> None:
    """Start the timer over with what the dialog's state says, after a 2xx to a session refresh request."""
    entry.dialog.session_timer.restart(entry.dialog.state.session, now)
    arm(core, entry)


def arm(core: Core, entry: DialogEntry) -> None:
    """Bring the queue in line with the machine's deadline."""
    deadline = entry.dialog.session_timer.deadline
    entry.session_timer = core.rearm(entry.session_timer, deadline, partial(_on_timer, core, entry))


def _on_timer(core: Core, entry: DialogEntry, now: float) -> None:
    entry.session_timer = None
    due = entry.dialog.session_timer.handle_timer(now)
    arm(core, entry)
    if due is not None:
        core.hooks.session_due(entry, due, now)
