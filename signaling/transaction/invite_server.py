"""INVITE server transaction, RFC 3261 §17.2.1 as changed by RFC 6026 (state Accepted, Timer L).

Pure: no socket, no clock, no task. Feed it inputs together with `now`, then drain `outgoing()` and `events()` and
re-arm one timer from `deadline`. Does not repeat a 2xx: the user agent core does, and passes it through `send`.
"""

from __future__ import annotations

import enum
from typing import Final, Literal, Self

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sip import Request
from signaling.transaction.machine import Acknowledged, Machine, TimedOut, TransportFailed, earliest, is_due
from signaling.transaction.timers import Timers


class State(enum.Enum):
    """States of RFC 6026 figure 7."""

    PROCEEDING = enum.auto()
    COMPLETED = enum.auto()
    CONFIRMED = enum.auto()
    ACCEPTED = enum.auto()
    TERMINATED = enum.auto()


class Input(enum.Enum):
    """What moves the machine: the labels of RFC 6026 figure 7."""

    REQUEST_RETRANSMITTED = enum.auto()
    PROVISIONAL_SENT = enum.auto()
    SUCCESS_SENT = enum.auto()
    FAILURE_SENT = enum.auto()
    ACK_RECEIVED = enum.auto()
    TIMER_G = enum.auto()
    TIMER_H = enum.auto()
    TIMER_I = enum.auto()
    TIMER_L = enum.auto()
    TRANSPORT_FAILED = enum.auto()


# RFC 6026 figure 7. A pair that is absent is absorbed: no transition, nothing sent.
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.PROCEEDING, Input.REQUEST_RETRANSMITTED): State.PROCEEDING,
    (State.PROCEEDING, Input.PROVISIONAL_SENT): State.PROCEEDING,
    (State.PROCEEDING, Input.SUCCESS_SENT): State.ACCEPTED,
    (State.PROCEEDING, Input.FAILURE_SENT): State.COMPLETED,
    (State.PROCEEDING, Input.TRANSPORT_FAILED): State.PROCEEDING,
    (State.COMPLETED, Input.REQUEST_RETRANSMITTED): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_G): State.COMPLETED,
    (State.COMPLETED, Input.ACK_RECEIVED): State.CONFIRMED,
    (State.COMPLETED, Input.TIMER_H): State.TERMINATED,
    (State.COMPLETED, Input.TRANSPORT_FAILED): State.COMPLETED,
    (State.CONFIRMED, Input.TIMER_I): State.TERMINATED,
    (State.ACCEPTED, Input.REQUEST_RETRANSMITTED): State.ACCEPTED,
    (State.ACCEPTED, Input.SUCCESS_SENT): State.ACCEPTED,
    (State.ACCEPTED, Input.ACK_RECEIVED): State.ACCEPTED,
    (State.ACCEPTED, Input.TIMER_L): State.TERMINATED,
    (State.ACCEPTED, Input.TRANSPORT_FAILED): State.ACCEPTED,
}


class InviteServerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An answered transaction, for a takeover. Times are seconds from the moment of the snapshot."""

    state: Literal["accepted", "completed", "confirmed"]
    response: bytes
    """The final response, byte for byte: one response never changes."""
    ends_in: float
    """Until Timer L, H or I."""
    repeats_in: float | None = None
    """Until Timer G."""
    interval: float = 0.0
    """Of Timer G when it next is set."""
    reliable: bool = False


_SNAPSHOT_STATES: Final[dict[State, Literal["accepted", "completed", "confirmed"]]] = {
    State.ACCEPTED: "accepted",
    State.COMPLETED: "completed",
    State.CONFIRMED: "confirmed",
}


class InviteServerTransaction(Machine):
    """One INVITE and its responses, as seen by the recorder acting as UAS.

    Args:
        reliable: True for TCP and TLS; final responses are then not repeated and Timer I is zero.
        timers: T1, T2 and T4 in seconds (RFC 3261 table 4).
        trying: the 100 response, sent at once (§17.2.1); None if the transaction user answers within 200 ms.

    """

    def __init__(self, *, reliable: bool, timers: Timers, trying: bytes | None) -> None:
        super().__init__()
        self.state = State.PROCEEDING
        self.last_response = trying
        """What answers a retransmitted request, byte for byte."""
        self._reliable = reliable
        self._timers = timers
        self._interval = timers.t1
        self._timer_g: float | None = None
        self._ending: tuple[Input, float] | None = None
        """Which of timers H, I and L runs, and when it fires: no state has two of them."""
        if trying is not None:
            self._writes.append(trying)

    @property
    def is_over(self) -> bool:
        """True in the state Terminated: nothing comes of it any more."""
        return self.state is State.TERMINATED

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        return earliest(self._timer_g, self._ending[1] if self._ending else None)

    def receive_retransmission(self) -> None:
        """Answer a retransmitted INVITE with the latest response; in Accepted it is only absorbed."""
        if self._step(Input.REQUEST_RETRANSMITTED) and self.state is not State.ACCEPTED and self.last_response:
            self._writes.append(self.last_response)

    def receive_ack(self, request: Request, now: float) -> None:
        """Take the ACK. That of a failure ends the repetitions; that of a 2xx goes to the transaction user."""
        if not self._step(Input.ACK_RECEIVED):
            return
        if self.state is State.ACCEPTED:
            self._events.append(Acknowledged(request))
        else:
            self._timer_g = None
            self._ending = (Input.TIMER_I, now + (0.0 if self._reliable else self._timers.t4))

    def send(self, response: bytes, *, status: int, now: float) -> None:
        """Queue a response of the transaction user. A 2xx may be passed again while it is not acknowledged.

        Raises:
            LocalProtocolError: the transaction has been answered otherwise, or is over.

        """
        given = Input.SUCCESS_SENT if status < 300 else Input.FAILURE_SENT
        if status < 200:
            given = Input.PROVISIONAL_SENT
        before = self.state
        if not self._step(given):
            raise LocalProtocolError("the INVITE has been answered already")
        self.last_response = response
        self._writes.append(response)
        if self.state is before:
            return
        ending = Input.TIMER_L if self.state is State.ACCEPTED else Input.TIMER_H
        self._ending = (ending, now + self._timers.timeout)
        if self.state is State.COMPLETED and not self._reliable:
            self._timer_g = now + self._interval

    def handle_timer(self, now: float) -> None:
        """Fire what is due at `now`; earlier calls do nothing."""
        if self._ending and now >= self._ending[1]:
            given = self._ending[0]
            self._timer_g = self._ending = None
            if self._step(given) and given is Input.TIMER_H:
                self._events.append(TimedOut())
        elif is_due(self._timer_g, now) and self._step(Input.TIMER_G) and self.last_response:
            self._interval = min(2 * self._interval, self._timers.t2)
            self._timer_g = now + self._interval
            self._writes.append(self.last_response)

    def transport_failed(self) -> None:
        """Tell the transaction user that a response could not be sent.

        The state stays: the transaction "MUST remain in the current state" (RFC 6026 §8.8), so that retransmissions
        of the INVITE are not taken for a new one.
        """
        if self._step(Input.TRANSPORT_FAILED):
            self._events.append(TransportFailed())

    def snapshot(self, now: float) -> InviteServerSnapshot:
        """Return what a takeover needs.

        Raises:
            LocalProtocolError: there is no final response yet, or the transaction is over.

        """
        if self._ending is None or self.last_response is None:
            raise LocalProtocolError("only an answered transaction has a snapshot")
        return InviteServerSnapshot(
            state=_SNAPSHOT_STATES[self.state],
            response=self.last_response,
            ends_in=max(0.0, self._ending[1] - now),
            repeats_in=None if self._timer_g is None else max(0.0, self._timer_g - now),
            interval=self._interval,
            reliable=self._reliable,
        )

    @classmethod
    def restore(cls, snapshot: InviteServerSnapshot, *, timers: Timers, now: float) -> Self:
        """Continue a transaction from its snapshot, whose times start again at `now`."""
        transaction = cls(reliable=snapshot.reliable, timers=timers, trying=None)
        states = {name: state for state, name in _SNAPSHOT_STATES.items()}
        transaction.state = states[snapshot.state]
        endings = {State.ACCEPTED: Input.TIMER_L, State.COMPLETED: Input.TIMER_H, State.CONFIRMED: Input.TIMER_I}
        transaction._ending = (endings[transaction.state], now + snapshot.ends_in)
        transaction.last_response = snapshot.response
        if snapshot.repeats_in is not None:
            transaction._timer_g = now + snapshot.repeats_in
            transaction._interval = snapshot.interval
        return transaction

    def _step(self, given: Input) -> bool:
        following = TRANSITIONS.get((self.state, given))
        if following is None:
            return False
        self.state = following
        return True
