"""The policy by example; what must never happen is in tests/property/test_storage_retention.py."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

from storage.retention import Action, Candidate, Planner, Policy, Spared, parse_rules

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def recording(number: int = 1, *, age_days: float = 100, size: int = 10, held: bool = False, **facts: str) -> Candidate:
    return Candidate(
        recording_id=UUID(int=number),
        record_identifier=f"CALL{number:04}",
        facts=facts,
        ended_at=NOW - timedelta(days=age_days),
        finalised_at=NOW - timedelta(days=age_days),
        size_bytes=size,
        captures_kept=True,
        held=held,
    )


def consider(policy: Policy, *candidates: Candidate) -> list[Action | Spared | None]:
    total = sum(candidate.size_bytes for candidate in candidates)
    planner = Planner(policy, total_bytes=total, now=NOW)
    return [planner.consider(candidate) for candidate in candidates]


def by_rules(*rules: dict[str, object], min_days: float = 0.0) -> Policy:
    return Policy(rules=parse_rules(rules), min_days=min_days)


def why(decision: Action | Spared | None) -> str:
    return "stays" if decision is None else decision.why


def test_without_a_rule_everything_stays() -> None:
    assert consider(Policy(), recording(age_days=36_000)) == [None]


def test_the_first_rule_that_matches_says_how_long() -> None:
    policy = by_rules(
        {"name": "cards", "match": {"tenant": "bank"}, "keep_days": 200}, {"name": "rest", "keep_days": 50}
    )
    bank, other = consider(policy, recording(tenant="bank"), recording(2, tenant="shop"))
    assert bank is None
    assert isinstance(other, Action)
    assert (other.rule, other.why) == ("rest", "kept 50 days after 2026-08-21")


def test_a_rule_without_keep_days_keeps_for_ever() -> None:
    policy = by_rules({"name": "court", "match": {"tenant": "bank"}}, {"name": "rest", "keep_days": 1})
    assert consider(policy, recording(tenant="bank")) == [None]


def test_the_longest_minimum_of_all_matching_rules_counts() -> None:
    policy = by_rules({"name": "short", "keep_days": 30}, {"name": "law", "match": {"tenant": "bank"}, "min_days": 365})
    bank, other = consider(policy, recording(tenant="bank"), recording(2))
    assert bank is None, "its age counts from the minimum on: it is not due"
    assert isinstance(other, Action)


def test_a_hold_spares_and_says_so() -> None:
    (decision,) = consider(by_rules({"name": "rest", "keep_days": 50}), recording(held=True))
    assert isinstance(decision, Spared)
    assert decision.why == "under legal hold"


def test_above_the_limit_the_oldest_go_down_to_the_low_water_mark() -> None:
    policy = Policy(max_total_bytes=95, low_water=0.8)
    decisions = consider(policy, *(recording(number, age_days=100 - number) for number in range(10)))
    assert [why(decision) for decision in decisions] == ["among the oldest, to come down to the low-water mark"] * 3 + [
        "stays"
    ] * 7, "100 bytes in all, 76 may stay"


def test_below_the_limit_nothing_goes_for_space() -> None:
    assert consider(Policy(max_total_bytes=20), recording(1), recording(2)) == [None, None]


def test_space_never_takes_what_is_too_young_or_held_or_empty() -> None:
    policy = Policy(max_total_bytes=1, min_days=50)
    held, empty, young = consider(policy, recording(1, held=True), recording(2, size=0), recording(3, age_days=49))
    assert (why(held), empty) == ("under legal hold", None)
    assert why(young) == "minimum retention until 2026-11-30 00:00 UTC"


def test_captures_go_by_the_time_of_finalising() -> None:
    planner = Planner(Policy(capture_days=7), total_bytes=0, now=NOW)
    decision = planner.consider_captures(recording(age_days=7))
    assert isinstance(decision, Action)
    assert (decision.kind, decision.rule) == ("erase-captures", "capture_days")
    assert planner.consider_captures(recording(age_days=6.9)) is None
    assert why(planner.consider_captures(recording(age_days=8, held=True))) == "captures under legal hold"
    unfinished = dataclasses.replace(recording(), finalised_at=None)
    assert planner.consider_captures(unfinished) is None
    at_once = Planner(Policy(capture_days=0), total_bytes=0, now=NOW)
    assert isinstance(at_once.consider_captures(recording(age_days=0)), Action)
    for_ever = Planner(Policy(), total_bytes=0, now=NOW)
    assert for_ever.consider_captures(recording(age_days=36_000)) is None
