"""How long a process had to wait for a core: whoever is silent because the machine is full is not replaced for it.

A replacement's start would take more of what is missing, and the next one would be found silent by that.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_FORGOTTEN_S: Final = 2.0
"""A doubt that nobody repeats for so long is over."""


class Watched:
    """The time of one process since a moment, without that in which it waited for a core.

    Args:
        process: its number; 0 where there is none.

    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._waited_s = waited_s(process)
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it could have run."""
        return time.monotonic() - self._since - max(0.0, waited_s(self._process) - self._waited_s)


class Doubt:
    """Whether a process that somebody calls stuck really is: asked again and again, about twice a second.

    Args:
        patience_s: time that it has to be called stuck for, without that in which it waited for a core.

    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._watched: Watched | None = None
        self._repeated_at = 0.0

    def confirmed(self, process: int) -> bool:
        """Take one more such call about a process; say whether to believe it."""
        now = time.monotonic()
        if self._watched is None or now - self._repeated_at > _FORGOTTEN_S:
            self._watched = Watched(process)
        self._repeated_at = now
        return self._watched.seconds >= self._patience_s


def waited_s(process: int) -> float:
    """Return the seconds that the main thread of a process has waited for a core; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def ran_s(process: int) -> float:
    """Return the processor time that a process has used, in ticks of 10 ms; 0 where there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
