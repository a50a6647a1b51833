"""Steps of the wall clock, as a writer notices them: against the monotonic one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_STEP_NS: Final = 20_000_000
"""Slewing moves the clock by less than 1 ms in a sync interval; this is a step."""
_AT_ONCE_S: Final = 0.001
"""Longest time between two readings of the clocks that counts as one moment."""
_READINGS: Final = 5
"""Attempts at it; a process that a busy machine interrupts each time trusts none of them."""
_S_TO_NS: Final = 1_000_000_000


class ClockWatch:
    """Compares the two clocks now and then; arguments as for `Engine`."""

    def __init__(self, clock: Callable[[], float], wall_ns: Callable[[], int]) -> None:
        self._clock = clock
        self._wall_ns = wall_ns
        self._offset_ns = self._offset()

    def step_ns(self) -> int:
        """Return by how many nanoseconds the wall clock has jumped since the last call; 0 if it has not."""
        offset = self._offset()
        if offset is None:
            return 0
        before, self._offset_ns = self._offset_ns, offset
        step = 0 if before is None else offset - before
        return step if abs(step) >= _STEP_NS else 0

    def _offset(self) -> int | None:
        # Who is interrupted between the two readings would see a step that there never was.
        for _ in range(_READINGS):
            before = self._clock()
            wall_ns = self._wall_ns()
            if self._clock() - before <= _AT_ONCE_S:
                return wall_ns - int(before * _S_TO_NS)
        return None
