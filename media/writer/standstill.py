"""Whether this process was away for so long that something may have been agreed without it. Pure.

A host that is frozen is lost for the others of its site: they answer its clients, and cannot tell its writers. When it
thaws, what its kernel has received meanwhile waits in the sockets, also what was sent during a pause. Until a frontend
that holds the lease has said of which sessions the writer knows too little, none of it may come near a disk
(docs/adr/0024).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 10.0
"""How long the decision is waited for: a takeover between hosts takes three, and the kernel's buffers hold as much."""


def uptime() -> float:
    """Return seconds since the machine was started, with the time in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Standstill:
    """Watches the turns of a loop. A process that has just begun does not know either what was agreed before it.

    Args:
        limit_s: seconds without a turn that are no standstill; infinite where nobody else could agree to anything.
        clock: seconds; goes on while the machine is suspended.

    """

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._seen = self._since = clock()
        self._count = int(math.isfinite(limit_s))
        self.number = self._count
        """Of the standstill after which a decision is waited for; 0: none."""

    def look(self) -> bool:
        """Take note of the time; say whether a decision is waited for."""
        now = self._clock()
        if now - self._seen > self._limit_s:
            self._count += 1
            self.number, self._since = self._count, now
        self._seen = now
        return self.number > 0

    @property
    def overdue(self) -> bool:
        """Whether the decision has been waited for in vain."""
        return self.number > 0 and self._seen - self._since > PATIENCE_S

    def forget(self) -> None:
        """Ask for no decision any more: nothing is recorded, whatever it is."""
        self._limit_s, self.number = math.inf, 0

    def settle(self, number: int) -> None:
        """Take the decision about a standstill; one about an earlier one decides nothing."""
        if number == self.number:
            self.number = 0
