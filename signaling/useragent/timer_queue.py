"""All timers of the user agent in one heap, so that no call looks at every dialog or transaction.

Pure: holds times and what to do then, and is told the time. Cancelled timers stay in the heap until they surface or
outnumber the live ones (lazy deletion): arming and cancelling cost O(log n) with 10,000 dialogs open.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, TypeAlias

Action: TypeAlias = Callable[[float], None]
"""Called with the time at which the timer fired, in monotonic seconds."""

COMPACTION_THRESHOLD: Final = 512
"""Fewer dead entries than this are not worth a rebuild of the heap."""


class Timer:
    """One armed timer; keep it to be able to cancel it."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Action) -> None:
        self.at = at
        """Monotonic seconds."""
        self.action: Action | None = action
        """None once cancelled or fired."""


class TimerQueue:
    """Timers ordered by time; equal times fire in the order in which they were armed."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._armed = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds of the earliest timer, or None."""
        # Dead timers leave the top when they die, so that reading changes nothing.
        return self._heap[0][0] if self._heap else None

    def arm(self, at: float, action: Action) -> Timer:
        """Add a timer that calls `action` once `at` is reached."""
        self._armed += 1
        timer = Timer(at, action)
        heapq.heappush(self._heap, (at, self._armed, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Take a timer out; None, and a timer that is already gone, are ignored."""
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._dead += 1
        self._drop_dead()
        if self._dead > COMPACTION_THRESHOLD and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def pop_due(self, now: float) -> Action | None:
        """Remove the earliest timer if its time has come and return its action, else None."""
        if not self._heap or self._heap[0][0] > now:
            return None
        timer = heapq.heappop(self._heap)[2]
        action, timer.action = timer.action, None
        self._drop_dead()
        return action

    def _drop_dead(self) -> None:
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
            self._dead -= 1
