"""Which of the granted ports are free, with a pause after use so that late packets find nobody. Pure."""

from __future__ import annotations

import heapq


class PortAllocator:
    """Hands out port rows, the longest unused first.

    Args:
        rows: number of ports.
        cooldown_s: seconds before a used port is given to somebody else.

    """

    def __init__(self, rows: int, cooldown_s: float) -> None:
        self._cooldown_s = cooldown_s
        self._free = dict.fromkeys(range(rows))
        self._cooling = list[tuple[float, int]]()
        self._resting = dict[int, float]()

    def available(self, now: float) -> int:
        """Return how many ports `take` could give at monotonic time `now`."""
        self._thaw(now)
        return len(self._free)

    def take(self, now: float) -> int | None:
        """Return a free port row, or None."""
        self._thaw(now)
        row = next(iter(self._free), None)
        if row is not None:
            del self._free[row]
        return row

    def take_exactly(self, row: int) -> bool:
        """Take this port row, also while it cools down; False if it is in use."""
        if row in self._free:
            del self._free[row]
            return True
        if row in self._resting:
            del self._resting[row]
            return True
        return False

    def release(self, row: int, now: float) -> None:
        """Let a port cool down from `now` on."""
        self._rest(row, now + self._cooldown_s)

    def _rest(self, row: int, until: float) -> None:
        self._resting[row] = until
        heapq.heappush(self._cooling, (until, row))

    def reserve(self, row: int, until: float) -> None:
        """Keep a port from everybody who does not ask for it by number, until monotonic `until`."""
        del self._free[row]
        self._rest(row, until)

    def give_back(self, row: int) -> None:
        """Free a port that was taken and never used."""
        self._free[row] = None

    def _thaw(self, now: float) -> None:
        while self._cooling and self._cooling[0][0] <= now:
            until, row = heapq.heappop(self._cooling)
            # Taken by name meanwhile, perhaps used and released again: then a later entry counts.
            if self._resting.get(row) == until:
                del self._resting[row]
                self._free[row] = None
