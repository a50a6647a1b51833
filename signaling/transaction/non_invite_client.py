"""Non-INVITE client transaction, RFC 3261 §17.1.2.

Pure: no socket, no clock, no task. Feed it inputs together with `now`, then drain `outgoing()` and `events()` and
re-arm one timer from `deadline`. A 100 does not stop the repetitions, it only slows them down to T2: RFC 4320 builds
on that.
"""

from __future__ import annotations

import enum
from typing import Final

from signaling.sip import Request, Response
from signaling.transaction.machine import Machine, Responded, TimedOut, TransportFailed, earliest, is_due
from signaling.transaction.timers import Timers


class State(enum.Enum):
    """States of RFC 3261 figure 6."""

    TRYING = enum.auto()
    PROCEEDING = enum.auto()
    COMPLETED = enum.auto()
    TERMINATED = enum.auto()


class Input(enum.Enum):
    """What moves the machine: the labels of RFC 3261 figure 6."""

    PROVISIONAL_RECEIVED = enum.auto()
    FINAL_RECEIVED = enum.auto()
    TIMER_E = enum.auto()
    TIMER_F = enum.auto()
    TIMER_K = enum.auto()
    TRANSPORT_FAILED = enum.auto()


# RFC 3261 figure 6. A pair that is absent is absorbed: no transition, nothing sent, nothing told.
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.TRYING, Input.TIMER_E): State.TRYING,
    (State.TRYING, Input.TIMER_F): State.TERMINATED,
    (State.TRYING, Input.TRANSPORT_FAILED): State.TERMINATED,
    (State.TRYING, Input.PROVISIONAL_RECEIVED): State.PROCEEDING,
    (State.TRYING, Input.FINAL_RECEIVED): State.COMPLETED,
    (State.PROCEEDING, Input.TIMER_E): State.PROCEEDING,
    (State.PROCEEDING, Input.TIMER_F): State.TERMINATED,
    (State.PROCEEDING, Input.TRANSPORT_FAILED): State.TERMINATED,
    (State.PROCEEDING, Input.PROVISIONAL_RECEIVED): State.PROCEEDING,
    (State.PROCEEDING, Input.FINAL_RECEIVED): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_K): State.TERMINATED,
}


class NonInviteClientTransaction(Machine):
    """One request of ours and its responses. The request is sent at once: drain `outgoing()`.

    Args:
        request: any request but INVITE and ACK, with one Via of ours.
        reliable: True for TCP and TLS; the request is then not repeated and Timer K is zero.
        timers: T1, T2 and T4 in seconds (RFC 3261 table 4).
        now: monotonic seconds.

    """

    def __init__(self, request: Request, *, reliable: bool, timers: Timers, now: float) -> None:
        super().__init__()
        self.state = State.TRYING
        self.request = request
        self._octets = request.encode()
        self._timers = timers
        self._timer_k = 0.0 if reliable else timers.t4
        self._interval = timers.t1
        self._timer_e: float | None = None if reliable else now + self._interval
        self._ending: tuple[Input, float] | None = (Input.TIMER_F, now + timers.timeout)
        """Which of timers F and K runs, and when it fires: no state has both."""
        self._writes.append(self._octets)

    @property
    def is_over(self) -> bool:
        """True in the state Terminated: nothing comes of it any more."""
        return self.state is State.TERMINATED

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        return earliest(self._timer_e, self._ending[1] if self._ending else None)

    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction (§17.1.3)."""
        if not self._step(Input.PROVISIONAL_RECEIVED if response.is_provisional else Input.FINAL_RECEIVED):
            return
        self._events.append(Responded(response))
        if self.state is State.COMPLETED:
            self._timer_e = None
            self._ending = (Input.TIMER_K, now + self._timer_k)

    def handle_timer(self, now: float) -> None:
        """Fire what is due at `now`; earlier calls do nothing."""
        if self._ending and now >= self._ending[1]:
            given = self._ending[0]
            self._timer_e = self._ending = None
            if self._step(given) and given is Input.TIMER_F:
                self._events.append(TimedOut())
        elif is_due(self._timer_e, now) and self._step(Input.TIMER_E):
            proceeding = self.state is State.PROCEEDING
            self._interval = self._timers.t2 if proceeding else min(2 * self._interval, self._timers.t2)
            self._timer_e = now + self._interval
            self._writes.append(self._octets)

    def transport_failed(self) -> None:
        """Give up: the transport layer could not send (§17.1.4)."""
        if self._step(Input.TRANSPORT_FAILED):
            self._timer_e = self._ending = None
            self._events.append(TransportFailed())

    def _step(self, given: Input) -> bool:
        following = TRANSITIONS.get((self.state, given))
        if following is None:
            return False
        self.state = following
        return True
