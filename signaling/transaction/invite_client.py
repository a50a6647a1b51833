"""INVITE client transaction, RFC 3261 §17.1.1 as changed by RFC 6026 (state Accepted, Timer M).

Pure: no socket, no clock, no task. Feed it inputs together with `now`, then drain `outgoing()` and `events()` and
re-arm one timer from `deadline`. Acknowledges failures by itself; the ACK of a 2xx is the transaction user's. Timer B
ends with the first provisional response: who must not wait longer for a final one sends CANCEL (§9.1).
"""

from __future__ import annotations

import enum
from typing import Final

from signaling.sip import Request, Response, build_ack
from signaling.transaction.machine import Machine, Responded, TimedOut, TransportFailed, earliest, is_due
from signaling.transaction.timers import Timers


class State(enum.Enum):
    """States of RFC 6026 figure 5."""

    CALLING = enum.auto()
    PROCEEDING = enum.auto()
    COMPLETED = enum.auto()
    ACCEPTED = enum.auto()
    TERMINATED = enum.auto()


class Input(enum.Enum):
    """What moves the machine: the labels of RFC 6026 figure 5."""

    PROVISIONAL_RECEIVED = enum.auto()
    SUCCESS_RECEIVED = enum.auto()
    FAILURE_RECEIVED = enum.auto()
    TIMER_A = enum.auto()
    TIMER_B = enum.auto()
    TIMER_D = enum.auto()
    TIMER_M = enum.auto()
    TRANSPORT_FAILED = enum.auto()


# RFC 6026 figure 5. A pair that is absent is absorbed: no transition, nothing sent, nothing told.
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.CALLING, Input.TIMER_A): State.CALLING,
    (State.CALLING, Input.TIMER_B): State.TERMINATED,
    (State.CALLING, Input.TRANSPORT_FAILED): State.TERMINATED,
    (State.CALLING, Input.PROVISIONAL_RECEIVED): State.PROCEEDING,
    (State.CALLING, Input.SUCCESS_RECEIVED): State.ACCEPTED,
    (State.CALLING, Input.FAILURE_RECEIVED): State.COMPLETED,
    (State.PROCEEDING, Input.PROVISIONAL_RECEIVED): State.PROCEEDING,
    (State.PROCEEDING, Input.SUCCESS_RECEIVED): State.ACCEPTED,
    (State.PROCEEDING, Input.FAILURE_RECEIVED): State.COMPLETED,
    (State.COMPLETED, Input.FAILURE_RECEIVED): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_D): State.TERMINATED,
    (State.COMPLETED, Input.TRANSPORT_FAILED): State.TERMINATED,
    (State.ACCEPTED, Input.SUCCESS_RECEIVED): State.ACCEPTED,
    (State.ACCEPTED, Input.TIMER_M): State.TERMINATED,
}


class InviteClientTransaction(Machine):
    """One INVITE of ours and its responses. The request is sent at once: drain `outgoing()`.

    Args:
        request: the INVITE, with one Via of ours.
        reliable: True for TCP and TLS; the request is then not repeated and Timer D is zero.
        timers: T1, T2 and T4 in seconds (RFC 3261 table 4).
        now: monotonic seconds.

    """

    def __init__(self, request: Request, *, reliable: bool, timers: Timers, now: float) -> None:
        super().__init__()
        self.state = State.CALLING
        self.request = request
        self._octets = request.encode()
        self._ack = b""
        self._timers = timers
        self._timer_d = 0.0 if reliable else timers.d
        self._interval = timers.t1
        self._timer_a: float | None = None if reliable else now + self._interval
        self._ending: tuple[Input, float] | None = (Input.TIMER_B, now + timers.timeout)
        """Which of timers B, D and M runs, and when it fires: no state has two of them."""
        self._writes.append(self._octets)

    @property
    def is_over(self) -> bool:
        """True in the state Terminated: nothing comes of it any more."""
        return self.state is State.TERMINATED

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        return earliest(self._timer_a, self._ending[1] if self._ending else None)

    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction (§17.1.3)."""
        if response.is_provisional:
            given = Input.PROVISIONAL_RECEIVED
        else:
            given = Input.SUCCESS_RECEIVED if response.is_success else Input.FAILURE_RECEIVED
        before = self.state
        if not self._step(given):
            return
        if given is Input.FAILURE_RECEIVED:
            if self.state is not before:
                self._ack = build_ack(self.request, response).encode()
            self._writes.append(self._ack)
        # RFC 6026 §8.4: retransmitted failures "MUST NOT be passed up to the TU", every 2xx MUST be.
        if before is not State.COMPLETED:
            self._events.append(Responded(response))
        if self.state is before:
            return
        self._timer_a = None
        self._ending = None
        if self.state is State.COMPLETED:
            self._ending = (Input.TIMER_D, now + self._timer_d)
        elif self.state is State.ACCEPTED:
            self._ending = (Input.TIMER_M, now + self._timers.timeout)

    def handle_timer(self, now: float) -> None:
        """Fire what is due at `now`; earlier calls do nothing."""
        if self._ending and now >= self._ending[1]:
            given = self._ending[0]
            self._timer_a = self._ending = None
            if self._step(given) and given is Input.TIMER_B:
                self._events.append(TimedOut())
        elif is_due(self._timer_a, now) and self._step(Input.TIMER_A):
            self._interval *= 2
            self._timer_a = now + self._interval
            self._writes.append(self._octets)

    def transport_failed(self) -> None:
        """Give up: the transport layer could not send (§17.1.4)."""
        if self._step(Input.TRANSPORT_FAILED):
            self._timer_a = self._ending = None
            self._events.append(TransportFailed())

    def _step(self, given: Input) -> bool:
        following = TRANSITIONS.get((self.state, given))
        if following is None:
            return False
        self.state = following
        return True
