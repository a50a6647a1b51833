"""Session timer of one dialog, RFC 4028 §7, §9 and §10, for both roles.

Pure: negotiation is a function of header values, and the running timer is a machine that is told the time. The
recorder prefers that the peer refreshes, so that it never has to originate a request. Does not send refreshes and
does not end the session when it expires: the transaction user decides, since arriving RTP may prove the peer alive.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sip.values import SessionExpires

MINIMUM_INTERVAL: Final = 90
"""Seconds; "the absolute minimum for the Session-Expires header field" (RFC 4028 §4)."""
EARLY_BYE: Final = 32.0
"""Seconds before the expiration at which an unrefreshed session is given up, at most (RFC 4028 §10)."""


class SessionInterval(msgspec.Struct, frozen=True, omit_defaults=True):
    """What both sides agreed on in the last 2xx to a session refresh request."""

    seconds: int
    """Session interval."""
    refreshed_by_us: bool
    """True if we send the refreshes."""


@dataclass(frozen=True, slots=True)
class SessionTimerPolicy:
    """What the recorder wants of session timers."""

    maximum: int = 7200
    """Seconds; a longer offered interval is lowered to this, never below the peer's Min-SE."""
    requested: int | None = None
    """Seconds to ask for when the peer supports timers but asked for none; None leaves such sessions without."""

    def __post_init__(self) -> None:
        for value in (self.maximum, self.requested):
            if value is not None and value < MINIMUM_INTERVAL:
                raise LocalProtocolError("a session interval must be at least 90 seconds")


@dataclass(frozen=True, slots=True)
class IntervalTooSmall:
    """The request must be refused with 422 and this Min-SE."""

    minimum: int = MINIMUM_INTERVAL


class Agreement(msgspec.Struct, frozen=True):
    """Outcome of the UAS side of one session refresh request."""

    session: SessionInterval | None
    """None: no session timer runs after this 2xx."""
    expires: SessionExpires | None
    """Session-Expires to put into the 2xx, or None."""
    require_timer: bool = False
    """Put `timer` into Require of the 2xx."""


def answer_as_uas(
    *,
    offered: SessionExpires | None,
    peer_minimum: int | None,
    peer_supports: bool,
    current: SessionInterval | None,
    policy: SessionTimerPolicy,
) -> Agreement | IntervalTooSmall:
    """Decide what the 2xx to an INVITE, re-INVITE or UPDATE says about the session timer (RFC 4028 §9).

    Args:
        offered: Session-Expires of the request, or None.
        peer_minimum: Min-SE of the request, or None.
        peer_supports: `timer` is in Supported (or Require) of the request.
        current: what runs in the dialog so far, or None.
        policy: what we want.

    """
    floor = max(MINIMUM_INTERVAL, peer_minimum or 0)
    if offered is None:
        # A refresh request that forgets the header must not turn a running timer off (§7.4 says it SHOULD be there).
        wanted = current.seconds if current is not None else policy.requested
        if not peer_supports or wanted is None:
            return Agreement(None, None)
        ours = current is not None and current.refreshed_by_us
        return _agreed(max(wanted, floor), refreshed_by_us=ours, peer_supports=True)
    # "The UAS MUST NOT increase the value of the Session-Expires header field", and must not lower it below the floor.
    seconds = offered.interval if offered.interval <= floor else max(floor, min(offered.interval, policy.maximum))
    if not peer_supports:
        # Table 2, first row: a proxy asked, the UAC cannot refresh, so we do.
        return _agreed(seconds, refreshed_by_us=True, peer_supports=False)
    if offered.refresher == "uas":
        if seconds < MINIMUM_INTERVAL:
            # Refusing is a MAY. We use it only where the peer would make us send refreshes at a high rate.
            return IntervalTooSmall()
        return _agreed(seconds, refreshed_by_us=True, peer_supports=True)
    return _agreed(seconds, refreshed_by_us=False, peer_supports=True)


def _agreed(seconds: int, *, refreshed_by_us: bool, peer_supports: bool) -> Agreement:
    return Agreement(
        SessionInterval(seconds, refreshed_by_us),
        SessionExpires(seconds, "uas" if refreshed_by_us else "uac"),
        require_timer=peer_supports,
    )


def ask_as_uac(session: SessionInterval | None, minimum_seen: int) -> tuple[SessionExpires | None, int | None]:
    """Return Session-Expires and Min-SE for a re-INVITE or UPDATE of ours (RFC 4028 §7.4).

    The refresher stays who it is: "uac" if we refresh, "uas" if the peer does.

    Args:
        session: what runs now, or None.
        minimum_seen: the largest Min-SE received on this dialog, 0 if none.

    """
    minimum = minimum_seen or None
    if session is None:
        return None, minimum
    seconds = max(session.seconds, minimum_seen, MINIMUM_INTERVAL)
    return SessionExpires(seconds, "uac" if session.refreshed_by_us else "uas"), minimum


def agreed_as_uac(received: SessionExpires | None) -> SessionInterval | None:
    """Return what a 2xx to our re-INVITE or UPDATE leaves running; without the header no timer runs (RFC 4028 §7.2).

    A response without refresher parameter breaks RFC 4028 §4; the peer is then taken to refresh.
    """
    if received is None or received.interval == 0:
        return None
    return SessionInterval(received.interval, refreshed_by_us=received.refresher == "uac")


class Phase(enum.Enum):
    """Where the running timer stands."""

    OFF = enum.auto()
    WAITING = enum.auto()
    """We refresh; half the interval has not passed yet."""
    REFRESHING = enum.auto()
    """We refresh, and it is time to."""
    GUARDING = enum.auto()
    """The peer refreshes; we watch."""
    EXPIRED = enum.auto()


class Input(enum.Enum):
    """What can happen to it."""

    AGREED_OURS = enum.auto()
    AGREED_THEIRS = enum.auto()
    STOPPED = enum.auto()
    TIMER = enum.auto()


class Due(enum.Enum):
    """What the owner of the timer has to do."""

    REFRESH = enum.auto()
    """Send a session refresh request now."""
    EXPIRED = enum.auto()
    """Nobody refreshed in time: RFC 4028 §10 says BYE, the transaction user decides."""


# RFC 4028 §7.2, §9 and §10. Every 2xx to a refresh restarts the machine, whatever it was doing. No timer runs in the
# phases that have no entry for it.
TRANSITIONS: Final[dict[tuple[Phase, Input], tuple[Phase, Due | None]]] = {
    **{(phase, Input.AGREED_OURS): (Phase.WAITING, None) for phase in Phase},
    **{(phase, Input.AGREED_THEIRS): (Phase.GUARDING, None) for phase in Phase},
    **{(phase, Input.STOPPED): (Phase.OFF, None) for phase in Phase},
    (Phase.WAITING, Input.TIMER): (Phase.REFRESHING, Due.REFRESH),
    (Phase.REFRESHING, Input.TIMER): (Phase.EXPIRED, Due.EXPIRED),
    (Phase.GUARDING, Input.TIMER): (Phase.EXPIRED, Due.EXPIRED),
}


class SessionTimer:
    """The running session timer of one dialog.

    Feed it every agreement (`restart`) and the time (`handle_timer`); re-arm one timer from `deadline`.
    """

    __slots__ = ("_expires_at", "deadline", "phase")

    def __init__(self) -> None:
        self.phase = Phase.OFF
        self.deadline: float | None = None
        """Monotonic seconds at which to call `handle_timer`, or None."""
        self._expires_at = 0.0

    def restart(self, session: SessionInterval | None, now: float) -> None:
        """Start over after a 2xx to a session refresh request; None stops the timer."""
        if session is None:
            self._step(Input.STOPPED)
            self.deadline = None
            return
        # A damaged or hostile interval must neither make us refresh in a loop nor end the session at once: what is
        # shorter than the RFC's absolute minimum is run as that minimum.
        seconds = float(max(session.seconds, MINIMUM_INTERVAL))
        self._expires_at = now + seconds - min(EARLY_BYE, seconds / 3)
        if session.refreshed_by_us:
            self._step(Input.AGREED_OURS)
            self.deadline = now + seconds / 2
        else:
            self._step(Input.AGREED_THEIRS)
            self.deadline = self._expires_at

    def refresh_early(self, at: float) -> None:
        """Bring our next refresh forward, if we refresh: after a takeover nobody knows when the last one was."""
        if self.phase is Phase.WAITING and self.deadline is not None:
            self.deadline = min(self.deadline, at)

    def handle_timer(self, now: float) -> Due | None:
        """Fire if `now` has reached `deadline`; earlier calls do nothing."""
        if self.deadline is None or now < self.deadline:
            return None
        due = self._step(Input.TIMER)
        self.deadline = self._expires_at if self.phase is Phase.REFRESHING else None
        return due

    def _step(self, given: Input) -> Due | None:
        self.phase, due = TRANSITIONS[self.phase, given]
        return due
