"""The lease of the active frontend of a site: who may act, and until when.

Pure: no clock, no connection. One object is one candidate's view. The row in the catalog has a holder, an epoch, and a
counter of renewals. Why two candidates never both believe that they hold it:

* The holder counts from a stamp of its own monotonic clock that it took *before* it asked, and stops `margin_s` before
  `ttl_s` has passed since then (pitfall: stopping after the expiry).
* A standby counts from its own monotonic clock as well: a lease is over when the counter has not changed for `ttl_s`
  since the standby *learnt* of its present value. No wall clock is compared with another.
* Acquiring is a comparison with what the standby saw: a renewal in between makes it fail. The database executes it only
  within a limit, by its own clock, so that one that got stuck on the way cannot take effect later.
* While the database is away, the holder may go on with the promise of every live standby not to acquire for `ttl_s`. A
  standby that has asked for the lease and does not know the outcome promises nothing.

The clocks of two hosts may differ in rate by `margin_s / (2 * ttl_s)`, far more than any clock does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class State(enum.Enum):
    """What a candidate is."""

    STANDBY = enum.auto()
    HOLDER = enum.auto()
    FORMER = enum.auto()
    """It held the lease once. There is no way back: its process ends and another begins as a newcomer."""


class Input(enum.Enum):
    """What can happen to a candidate."""

    ACQUIRED = enum.auto()
    EXTENDED = enum.auto()
    LOST = enum.auto()
    EXPIRED = enum.auto()
    RELEASED = enum.auto()


# A pair that is absent is absorbed.
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.STANDBY, Input.ACQUIRED): State.HOLDER,
    (State.HOLDER, Input.EXTENDED): State.HOLDER,
    (State.HOLDER, Input.LOST): State.FORMER,
    (State.HOLDER, Input.EXPIRED): State.FORMER,
    (State.HOLDER, Input.RELEASED): State.FORMER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTiming:
    """Seconds; `ValueError` unless a holder has time to try twice before it has to stop."""

    ttl_s: float
    """A lease without a sign of life for so long is over."""
    renew_s: float
    """Between two renewals."""
    answer_s: float
    """Longest wait for an answer of the catalog or of a standby."""
    margin_s: float
    """The holder stops so long before the expiry."""

    def __post_init__(self) -> None:
        needed = self.renew_s + 2 * self.answer_s + self.margin_s
        if needed > self.ttl_s:
            raise ValueError(
                f"renew_s + 2 x answer_s + margin_s = {needed:g} s is more than the lease's {self.ttl_s:g} s:"
                " a holder could not try twice before it has to stop; raise lease_s or lower the others"
            )

    @property
    def execute_within_s(self) -> float:
        """How long after the sight that it relies on the catalog may still carry an acquisition out."""
        return 2 * self.answer_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSight:
    """The row as it was read."""

    node: str
    """Host of the holder; empty when it gave the lease back."""
    holder: str
    epoch: int
    renewals: int


class Lease:
    """One candidate's view of the lease.

    Args:
        node: the candidate's host.
        timing: see `LeaseTiming`.

    Obligation: the holder asks `holds` with a fresh time before it says anything to anybody, and ends once it is False.

    """

    def __init__(self, node: str, timing: LeaseTiming) -> None:
        self.state = State.STANDBY
        self.epoch = 0
        """Of the holder, valid in that state."""
        self.until = 0.0
        """Monotonic seconds at which the holder stops."""
        self.sight: LeaseSight | None = None
        """What was seen last."""
        self._node = node
        self._timing = timing
        self._seen_at = 0.0
        self._unchanged_since = 0.0
        self._observed = False
        self._promised_until = 0.0
        self._asked_until = 0.0

    # The standby's side

    def observe(self, sight: LeaseSight | None, now: float) -> None:
        """Take what a read brought; `now` is the time after its answer. None: there is no such row."""
        if not self._observed or sight != self.sight:
            self._unchanged_since = now
        self._observed, self.sight, self._seen_at = True, sight, now

    def may_acquire(self, now: float) -> bool:
        """Whether to ask for the lease now, by comparison with `sight`."""
        if self.state is not State.STANDBY or not self._observed or now < self._promised_until:
            return False
        if now - self._seen_at > self._timing.answer_s:
            # The sight is stale; the limit on the execution counts from it.
            return False
        if self.sight is None or not self.sight.node or self.sight.node == self._node:
            # Nobody has it, its holder gave it back, or it was a process of this host: the supervisor has seen its end.
            return True
        return now - self._unchanged_since >= self._timing.ttl_s

    def asking(self, now: float) -> None:
        """Note that an acquisition is about to be sent."""
        self._asked_until = now + self._timing.execute_within_s + self._timing.margin_s

    def refused(self) -> None:
        """Note that it was executed and that somebody else was faster; an answer that never came is not this."""
        self._asked_until = 0.0

    def promise(self, now: float) -> bool:
        """Whether to promise the holder, who asks for it directly, not to acquire for `ttl_s` from now."""
        if self.state is not State.STANDBY or now < self._asked_until:
            return False
        self._promised_until = now + self._timing.ttl_s
        return True

    # The holder's side

    def acquired(self, epoch: int, *, asked_at: float, now: float) -> bool:
        """Take the lease that was granted; False if the answer took so long that it is over already."""
        if self._step(Input.ACQUIRED):
            self.epoch = epoch
            self.until = asked_at + self._timing.ttl_s - self._timing.margin_s
        return self.holds(now)

    def extended(self, *, asked_at: float) -> None:
        """Count from a later stamp: the catalog has renewed the lease, or every live standby has promised."""
        if self._step(Input.EXTENDED):
            self.until = max(self.until, asked_at + self._timing.ttl_s - self._timing.margin_s)

    def holds(self, now: float) -> bool:
        """Whether this candidate may act. A holder whose time has passed is one no more, whatever comes later."""
        if self.state is State.HOLDER and now >= self.until:
            self._step(Input.EXPIRED)
        return self.state is State.HOLDER

    def lost(self) -> None:
        """Stop: somebody else has it."""
        self._step(Input.LOST)

    def released(self) -> None:
        """Stop, on purpose; call it before the catalog is told."""
        self._step(Input.RELEASED)

    def _step(self, given: Input) -> bool:
        following = TRANSITIONS.get((self.state, given))
        if following is None:
            return False
        self.state = following
        return True
