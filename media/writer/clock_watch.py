"""Steps of the wall clock, as a writer notices them: against the monotonic one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_STEP_NS: Final = 20_000_000
"""Slewing moves the clock by less than 1 ms in a sync interval; this is a step."""
_S_TO_NS: Final = 1_000_000_000


class ClockWatch:
    """Compares the two clocks now and then; arguments as for `Engine`."""

    def __init__(self, clock: Callable[[], float], wall_ns: Callable[[], int]) -> None:
        self._clock = clock
        self._wall_ns = wall_ns
        self._offset_ns = self._offset()

    def step_ns(self) -> int:
        """Return by how many nanoseconds the wall clock has jumped since the last call; 0 if it has not."""
        before, self._offset_ns = self._offset_ns, self._offset()
        step = self._offset_ns - before
        return step if abs(step) >= _STEP_NS else 0

    def _offset(self) -> int:
        return self._wall_ns() - int(self._clock() * _S_TO_NS)
