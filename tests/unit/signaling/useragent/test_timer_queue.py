"""The heap of timers: order, lazy deletion, and a comparison with a plain list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.useragent.timer_queue import COMPACTION_THRESHOLD, Timer, TimerQueue


def nothing(now: float) -> None:
    """Stand for an action."""


def test_timers_fire_in_order_of_time_and_of_arming() -> None:
    fired: list[str] = []
    queue = TimerQueue()
    for at, name in [(2.0, "b"), (1.0, "a"), (2.0, "c")]:
        queue.arm(at, lambda _now, name=name: fired.append(name))  # type: ignore[misc]
    assert queue.pop_due(0.9) is None
    while (action := queue.pop_due(2.0)) is not None:
        action(2.0)
    assert fired == ["a", "b", "c"]
    assert queue.deadline is None


def test_a_cancelled_timer_does_not_count_as_deadline() -> None:
    queue = TimerQueue()
    early = queue.arm(1.0, nothing)
    queue.arm(2.0, nothing)
    queue.cancel(early)
    assert queue.deadline == 2.0
    assert len(queue) == 1


def test_cancelling_twice_or_nothing_or_after_firing_is_harmless() -> None:
    queue = TimerQueue()
    timer = queue.arm(1.0, nothing)
    queue.pop_due(1.0)
    queue.cancel(timer)
    queue.cancel(timer)
    queue.cancel(None)
    queue.arm(2.0, nothing)
    assert (len(queue), queue.deadline) == (1, 2.0)


def test_dead_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    queue.arm(0.0, nothing)
    for _ in range(20 * COMPACTION_THRESHOLD):
        queue.cancel(queue.arm(1000.0, nothing))
    assert len(queue._heap) <= 2 * COMPACTION_THRESHOLD + 2
    assert len(queue) == 1


class LikeAList(RuleBasedStateMachine):
    """A queue and a list of what should be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = TimerQueue()
        self.live: list[Timer] = []
        self.now = 0.0

    @rule(delay=st.integers(0, 5))
    def arm(self, delay: int) -> None:
        self.live.append(self.queue.arm(self.now + delay, nothing))

    @rule(index=st.integers(0, 30))
    def cancel(self, index: int) -> None:
        if self.live:
            self.queue.cancel(self.live.pop(index % len(self.live)))

    @rule(step=st.integers(0, 3))
    def fire(self, step: int) -> None:
        self.now += step
        due = [timer for timer in self.live if timer.at <= self.now]
        fired = 0
        while self.queue.pop_due(self.now) is not None:
            fired += 1
        assert fired == len(due)
        self.live = [timer for timer in self.live if timer.at > self.now]

    @invariant()
    def they_agree(self) -> None:
        assert len(self.queue) == len(self.live)
        assert self.queue.deadline == min((timer.at for timer in self.live), default=None)


LikeAList.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestLikeAList = LikeAList.TestCase
