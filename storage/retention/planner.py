"""Which recordings go now, one after the other in order of age; and which would, but for a hold or a minimum.

Sizes: when all files together exceed the limit, recordings that may go are deleted, the oldest first, until the rest is
at the low-water mark. What is held counts and stays; so it can cost younger ones their place, but never before their
own minimum has passed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.retention.policy import Candidate, Policy


class ActionKind(enum.StrEnum):
    """What is done to a recording."""

    DELETE = "delete"
    ERASE_CAPTURES = "erase-captures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do now."""

    kind: ActionKind
    recording_id: UUID
    record_identifier: str
    rule: str
    """Name of the rule, `max_total_gb` or `capture_days`."""
    why: str
    size_bytes: int
    """Of the files that go; 0 for captures, whose size the catalog does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """A recording that would go now, and stays."""

    recording_id: UUID
    record_identifier: str
    why: str


class Planner:
    """Feed it recordings in order of age; it says what is to be done with each.

    Args:
        policy: the rules.
        total_bytes: all files of the catalog together.
        now: one moment for the whole plan.

    """

    def __init__(self, policy: Policy, *, total_bytes: int, now: datetime) -> None:
        self._policy = policy
        self._now = now
        limit = policy.max_total_bytes
        exceeded = limit is not None and total_bytes > limit
        self._surplus = total_bytes - int(limit * policy.low_water) if exceeded and limit is not None else 0
        """Bytes that still have to go for the sake of the limit."""

    @property
    def wants_space(self) -> bool:
        """Whether recordings still have to go for the sake of the limit, whatever their age."""
        return self._surplus > 0

    def consider(self, candidate: Candidate) -> Action | Spared | None:
        """Decide about the next recording; None: it stays, and nothing is to be said."""
        verdict = self._policy.verdict(candidate)
        by_age = verdict.due_at is not None and verdict.due_at <= self._now
        # One without files frees nothing.
        if not by_age and not (self.wants_space and candidate.size_bytes):
            return None
        if candidate.held:
            return self._spared(candidate, "under legal hold")
        if verdict.safe_until > self._now:
            return self._spared(candidate, f"minimum retention until {verdict.safe_until:%Y-%m-%d %H:%M} UTC")
        self._surplus -= candidate.size_bytes
        if by_age and verdict.rule is not None:
            rule, why = verdict.rule.name, f"kept {verdict.rule.keep_days:g} days after {candidate.ended_at:%Y-%m-%d}"
        else:
            rule, why = "max_total_gb", "among the oldest, to come down to the low-water mark"
        return _action(ActionKind.DELETE, candidate, rule, why, candidate.size_bytes)

    def consider_captures(self, candidate: Candidate) -> Action | Spared | None:
        """Decide about the captures of a recording that stays."""
        due_at = self._policy.captures_due_at(candidate)
        if due_at is None or due_at > self._now:
            return None
        if candidate.held:
            return self._spared(candidate, "captures under legal hold")
        why = f"captures kept {self._policy.capture_days:g} days after finalising"
        return _action(ActionKind.ERASE_CAPTURES, candidate, "capture_days", why, 0)

    def _spared(self, candidate: Candidate, why: str) -> Spared:
        return Spared(recording_id=candidate.recording_id, record_identifier=candidate.record_identifier, why=why)


def _action(kind: ActionKind, candidate: Candidate, rule: str, why: str, size_bytes: int) -> Action:
    return Action(
        kind=kind,
        recording_id=candidate.recording_id,
        record_identifier=candidate.record_identifier,
        rule=rule,
        why=why,
        size_bytes=size_bytes,
    )
