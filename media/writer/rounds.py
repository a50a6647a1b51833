"""When a writer's rounds of visits begin: one every interval, however long each takes. Pure."""

from __future__ import annotations


class Rounds:
    """The rounds of one writer; the first is due at once.

    Args:
        interval_s: seconds between the beginnings of two rounds.
        now: monotonic seconds.

    """

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._due_at = now
        self.under_way = False

    @property
    def next_turn(self) -> float:
        """Monotonic seconds at which there is something to visit."""
        return 0.0 if self.under_way else self._due_at

    def begin(self, now: float) -> bool:
        """Begin the round that is due; False if none is."""
        if now < self._due_at:
            return False
        following = self._due_at + self._interval_s
        # A late loop does not run after rounds it has missed.
        self._due_at = following if following > now else now + self._interval_s
        self.under_way = True
        return True
