"""How many sessions there are, in all and of each client, against the configured limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Occupancy:
    """Counts sessions that live and those that are being set up.

    Args:
        total: most sessions at the same time; 0 is no limit.
        per_source: most sessions of one client's address; 0 is no limit.

    """

    def __init__(self, *, total: int = 0, per_source: int = 0) -> None:
        self._total = total
        self._per_source = per_source
        self._live: Counter[str] = Counter()
        self._pending: Counter[str] = Counter()

    def began(self, source: str) -> None:
        """Count a session that lives now."""
        self._live[source] += 1

    def ended(self, source: str) -> None:
        """Take a session out of the count."""
        self._live[source] -= 1
        if self._live[source] <= 0:
            del self._live[source]

    @contextmanager
    def setting_up(self, source: str) -> Iterator[None]:
        """Count a session that is being set up, so that a burst does not pass the limits all at once."""
        self._pending[source] += 1
        try:
            yield
        finally:
            self._pending[source] -= 1
            if self._pending[source] <= 0:
                del self._pending[source]

    def obstacle(self, source: str) -> str:
        """Say why `source` may open no further session; empty when it may."""
        if self._total and self._live.total() + self._pending.total() >= self._total:
            return "access.max_sessions is reached"
        if self._per_source and self._live[source] + self._pending[source] >= self._per_source:
            return "access.max_sessions_per_source is reached"
        return ""
