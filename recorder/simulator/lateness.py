"""A histogram of how late something happened, in steps of 0.1 ms. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_STEP_NS: Final = 100_000
_STEPS: Final = 10_000
"""Up to one second; what is later counts as that."""


class Lateness:
    """Counts delays; percentiles are rounded up to 0.1 ms."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ms = 0.0
        self._steps: npt.NDArray[np.int64] = np.zeros(_STEPS + 1, np.int64)

    def add(self, late_ns: int) -> None:
        """Count one delay; early counts as on time."""
        self.count += 1
        self.max_ms = max(self.max_ms, late_ns / 1e6)
        self._steps[min(max(late_ns, 0) // _STEP_NS, _STEPS)] += 1

    def percentile_ms(self, share: float) -> float:
        """Return the delay, in ms, that a `share` (0 to 1) of all did not exceed; 0 without any."""
        if not self.count:
            return 0.0
        reached = int(np.searchsorted(np.cumsum(self._steps), share * self.count))
        return min((reached + 1) * _STEP_NS / 1e6, max(self.max_ms, 0.0))

    def copy(self) -> Lateness:
        """Return the counts as they are now."""
        other = Lateness()
        other.count, other.max_ms, other._steps = self.count, self.max_ms, self._steps.copy()
        return other
