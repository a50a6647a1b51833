"""What policy says about one recording: by which rule it is kept, until when at least, and from when on it may go.

The *first* rule that matches says how long a recording is kept: rules read from top to bottom, special ones before
general ones, and one line explains every deletion. The *longest* minimum of all rules that match is what counts: a
minimum is a duty, and no rule above may take it away by its place. Without a matching rule a recording stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from storage.retention.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What policy needs to know of a recording; nothing else may decide."""

    recording_id: UUID
    record_identifier: str
    facts: Mapping[str, str | None]
    """By the names of `rules.FACTS`."""
    parameters: tuple[tuple[str, str], ...] = ()
    ended_at: datetime
    """End of its last session: ages count from here."""
    finalised_at: datetime | None
    """None: it is not finished, and nothing of it may go but by a deletion of what failed."""
    size_bytes: int
    """Of its files, in all stores."""
    captures_kept: bool
    held: bool
    """By a legal hold, also on a copy of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What policy says about a recording at any time."""

    rule: Rule | None
    """The first that matches."""
    safe_until: datetime
    """Nothing and nobody deletes it before."""
    due_at: datetime | None
    """From here on it is deleted by age; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules of a site."""

    rules: tuple[Rule, ...] = ()
    min_days: float = 0.0
    """Minimum retention of every recording, days after its end."""
    capture_days: float | None = None
    """Days after finalising at which captures go; 0: at once; None: never."""
    trace_days: float | None = None
    """Days after the end of a month at which its SIP messages go; None: they stay as long as their recordings."""
    max_total_bytes: int | None = None
    """Size of all files from which on the oldest recordings that may go are deleted; None: no limit."""
    low_water: float = 0.9
    """Share of the limit down to which they are deleted."""
    keep_facts: tuple[str, ...] = field(default=())
    """Call facts that stay with a tombstone."""

    def verdict(self, candidate: Candidate) -> Verdict:
        """Say what policy says about a recording."""
        matching = [rule for rule in self.rules if rule.matches(candidate.facts, candidate.parameters)]
        minimum = max([self.min_days, *(rule.min_days for rule in matching)])
        first = matching[0] if matching else None
        safe_until = candidate.ended_at + timedelta(days=minimum)
        due_at = None
        if first is not None and first.keep_days is not None:
            due_at = max(candidate.ended_at + timedelta(days=first.keep_days), safe_until)
        return Verdict(rule=first, safe_until=safe_until, due_at=due_at)

    def captures_due_at(self, candidate: Candidate) -> datetime | None:
        """Return from when on the captures of a recording are not needed any more; None: they stay."""
        if self.capture_days is None or candidate.finalised_at is None or not candidate.captures_kept:
            return None
        return candidate.finalised_at + timedelta(days=self.capture_days)

    @property
    def shortest_keep_days(self) -> float | None:
        """Days before which no rule deletes anything by age; None when none ever does."""
        kept = [rule.keep_days for rule in self.rules if rule.keep_days is not None]
        return max(min(kept), self.min_days) if kept else None
