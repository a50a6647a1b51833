"""Non-INVITE server transaction, RFC 3261 §17.2.2 with the rules of RFC 4320 §4 and RFC 6026 §8.8.

Pure: no socket, no clock, no task. Feed it inputs together with `now`, then drain `outgoing()` and `events()` and
re-arm one timer from `deadline`.
"""

from __future__ import annotations

import enum
from typing import Final, Self

import msgspec

from signaling.errors import LocalProtocolError
from signaling.transaction.machine import Machine, TransportFailed
from signaling.transaction.timers import Timers


class State(enum.Enum):
    """States of RFC 3261 figure 8."""

    TRYING = enum.auto()
    PROCEEDING = enum.auto()
    COMPLETED = enum.auto()
    TERMINATED = enum.auto()


class Input(enum.Enum):
    """What moves the machine: the labels of RFC 3261 figure 8."""

    REQUEST_RETRANSMITTED = enum.auto()
    PROVISIONAL_SENT = enum.auto()
    FINAL_SENT = enum.auto()
    TIMER_J = enum.auto()
    TRANSPORT_FAILED = enum.auto()


# RFC 3261 figure 8 with two changes. A transport failure ends nothing: RFC 6026 §8.8 replaces §17.2.4, "MUST remain in
# the current state". There is no second provisional response: RFC 4320 §4.1 leaves only one 100.
# A pair that is absent is absorbed: no transition, nothing sent.
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.TRYING, Input.PROVISIONAL_SENT): State.PROCEEDING,
    (State.TRYING, Input.FINAL_SENT): State.COMPLETED,
    (State.PROCEEDING, Input.REQUEST_RETRANSMITTED): State.PROCEEDING,
    (State.PROCEEDING, Input.FINAL_SENT): State.COMPLETED,
    (State.PROCEEDING, Input.TRANSPORT_FAILED): State.PROCEEDING,
    (State.COMPLETED, Input.REQUEST_RETRANSMITTED): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_J): State.TERMINATED,
    (State.COMPLETED, Input.TRANSPORT_FAILED): State.COMPLETED,
}

REQUEST_TIMEOUT: Final = 408


class NonInviteServerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An answered transaction, for a takeover."""

    response: bytes
    """The final response, byte for byte."""
    ends_in: float
    """Seconds from the moment of the snapshot until Timer J."""


class NonInviteServerTransaction(Machine):
    """One request and its responses, as seen by the recorder acting as UAS.

    Args:
        reliable: True for TCP and TLS; Timer J is then zero.
        timers: T1, T2 and T4 in seconds (RFC 3261 table 4).
        trying: the 100 response, sent by itself if the transaction user takes so long that the client's Timer E has
            reached T2 (RFC 4320 §4.1).
        now: monotonic seconds.

    """

    def __init__(self, *, reliable: bool, timers: Timers, trying: bytes, now: float) -> None:
        super().__init__()
        self.state = State.TRYING
        self.deadline: float | None = now + timers.late_trying
        """Monotonic seconds at which to call `handle_timer`, or None."""
        self.last_response: bytes | None = None
        """What answers a retransmitted request, byte for byte."""
        self._trying = trying
        self._timer_j = 0.0 if reliable else timers.timeout

    @property
    def is_over(self) -> bool:
        """True in the state Terminated: nothing comes of it any more."""
        return self.state is State.TERMINATED

    def receive_retransmission(self) -> None:
        """Answer a retransmitted request with the latest response, if there is one."""
        self._step(Input.REQUEST_RETRANSMITTED, self.last_response)

    def send(self, response: bytes, *, status: int, now: float) -> None:
        """Queue the final response of the transaction user; from then on repeat it for each retransmission.

        A second final response is discarded (§17.2.2).

        Raises:
            LocalProtocolError: a provisional response or a 408, which RFC 4320 §4 forbids here; the 100 that it
                demands is sent without being asked for.

        """
        if status < 200 or status == REQUEST_TIMEOUT:
            raise LocalProtocolError("RFC 4320 forbids this response to a request other than INVITE")
        if self._step(Input.FINAL_SENT, response):
            self.last_response = response
            self.deadline = now + self._timer_j

    def handle_timer(self, now: float) -> None:
        """Once `now` has reached `deadline`: send the late 100, or fire Timer J. Earlier calls do nothing."""
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        if self.state is State.TRYING:
            self.last_response = self._trying
            self._step(Input.PROVISIONAL_SENT, self._trying)
        else:
            self._step(Input.TIMER_J, None)

    def transport_failed(self) -> None:
        """Tell the transaction user that a response could not be sent; the state stays (RFC 6026 §8.8)."""
        if self._step(Input.TRANSPORT_FAILED, None):
            self._events.append(TransportFailed())

    def snapshot(self, now: float) -> NonInviteServerSnapshot:
        """Return what a takeover needs.

        Raises:
            LocalProtocolError: there is no final response yet, or the transaction is over.

        """
        if self.state is not State.COMPLETED or self.last_response is None or self.deadline is None:
            raise LocalProtocolError("only an answered transaction has a snapshot")
        return NonInviteServerSnapshot(response=self.last_response, ends_in=max(0.0, self.deadline - now))

    @classmethod
    def restore(cls, snapshot: NonInviteServerSnapshot, *, timers: Timers, now: float) -> Self:
        """Continue a transaction from its snapshot, whose times start again at `now`."""
        transaction = cls(reliable=False, timers=timers, trying=b"", now=now)
        transaction.state = State.COMPLETED
        transaction.last_response = snapshot.response
        transaction.deadline = now + snapshot.ends_in
        return transaction

    def _step(self, given: Input, write: bytes | None) -> bool:
        following = TRANSITIONS.get((self.state, given))
        if following is None:
            return False
        self.state = following
        if write is not None:
            self._writes.append(write)
        return True
