"""Whatever the rules say: what is held or too young stays, and a plan that was done is done."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from storage.retention import Action, Candidate, Planner, Policy, parse_rules

NOW = datetime(2026, 11, 29, tzinfo=UTC)
DAYS = st.floats(0, 400)


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, object]]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        rule: dict[str, object] = {"name": f"rule {number}", "min_days": draw(DAYS)}
        if draw(st.booleans()):
            rule["keep_days"] = draw(st.floats(float(str(rule["min_days"])), 400))
        if draw(st.booleans()):
            rule["match"] = {"tenant": draw(st.sampled_from(["a", "b", "*"]))}
        made.append(rule)
    return made


policies = st.builds(
    lambda given, min_days, limit, low, captures: Policy(
        rules=parse_rules(given), min_days=min_days, max_total_bytes=limit, low_water=low, capture_days=captures
    ),
    rules(),
    DAYS,
    st.none() | st.integers(1, 2000),
    st.floats(0.1, 1.0),
    st.none() | DAYS,
)


@st.composite
def recordings(draw: st.DrawFn) -> list[Candidate]:
    ages = sorted(draw(st.lists(DAYS, max_size=12)), reverse=True)
    return [
        Candidate(
            recording_id=UUID(int=number),
            record_identifier=f"CALL{number:04}",
            facts={"tenant": draw(st.sampled_from(["a", "b", None]))},
            ended_at=NOW - timedelta(days=age),
            finalised_at=NOW - timedelta(days=age) if draw(st.booleans()) else None,
            size_bytes=draw(st.integers(0, 500)),
            captures_kept=draw(st.booleans()),
            held=draw(st.booleans()),
        )
        for number, age in enumerate(ages)
    ]


def plan(policy: Policy, found: list[Candidate], *, now: datetime = NOW) -> dict[UUID, Action]:
    planner = Planner(policy, total_bytes=sum(one.size_bytes for one in found), now=now)
    decisions = [planner.consider(one) for one in found]
    return {one.recording_id: one for one in decisions if isinstance(one, Action)}


@given(policies, recordings())
def test_what_is_held_or_too_young_is_in_no_plan(policy: Policy, found: list[Candidate]) -> None:
    going = plan(policy, found)
    for one in found:
        minimum = max([policy.min_days, *(r.min_days for r in policy.rules if r.matches(one.facts, ()))])
        if one.held or NOW - one.ended_at < timedelta(days=minimum):
            assert one.recording_id not in going
        captures = Planner(policy, total_bytes=0, now=NOW).consider_captures(one)
        if one.held or one.finalised_at is None or policy.capture_days is None:
            assert not isinstance(captures, Action)


@given(policies, recordings())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(policy: Policy, found: list[Candidate]) -> None:
    going = plan(policy, found)
    assert plan(policy, [one for one in found if one.recording_id not in going]) == {}


@given(policies, recordings(), st.data())
def test_a_hold_makes_nothing_go_earlier_than_its_rule_allows(
    policy: Policy, found: list[Candidate], data: st.DataObject
) -> None:
    if not found:
        return
    chosen = data.draw(st.sampled_from(range(len(found))))
    before = plan(policy, found)
    with_hold = [dataclasses.replace(one, held=one.held or number == chosen) for number, one in enumerate(found)]
    after = plan(policy, with_hold)
    assert found[chosen].recording_id not in after
    for one in with_hold:
        if one.recording_id in after.keys() - before.keys():
            assert after[one.recording_id].rule == "max_total_gb", "age does not depend on others"
            assert policy.verdict(one).safe_until <= NOW


@given(policies, recordings())
def test_space_is_made_only_as_far_as_asked(policy: Policy, found: list[Candidate]) -> None:
    going = plan(policy, found)
    if policy.max_total_bytes is None:
        assert not [action for action in going.values() if action.rule == "max_total_gb"]
        return
    total = sum(one.size_bytes for one in found)
    left = total - sum(action.size_bytes for action in going.values())
    if left > policy.max_total_bytes:
        for one in found:
            assert one.recording_id in going or one.held or not one.size_bytes or policy.verdict(one).safe_until > NOW
    for_space = [action.size_bytes for action in going.values() if action.rule == "max_total_gb"]
    if for_space:
        assert left + for_space[-1] > int(policy.max_total_bytes * policy.low_water), "one less would not have done"
