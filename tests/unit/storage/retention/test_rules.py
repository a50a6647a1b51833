"""Rules as data: what they match, and faults that name rule and key."""

import pytest

from storage.errors import StorageMisused
from storage.retention import parse_rules

FACTS = {"door": "msr", "dn": "5550100", "other_dn": "5550111", "tenant": "bank", "agent_id": None}


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"door": "msr"}, True),
        ({"door": "siprec"}, False),
        ({"tenant": ["shop", "bank"]}, True),
        ({"tenant": "ba*", "door": "siprec"}, False),
        ({"dn": "5550111"}, True),
        ({"other_dn": "5550100"}, False),
        ({"agent_id": "*"}, False),
        ({"tenant": "b[a]nk"}, False),
        ({"parameters": {"campaign": "cards"}}, True),
        ({"parameters": {"campaign": ["car*"]}}, True),
        ({"parameters": {"campaign": "cards", "region": "*"}}, False),
    ],
)
def test_all_facts_must_fit_one_of_their_patterns(match: dict[str, object], fits: bool) -> None:
    (rule,) = parse_rules([{"name": "r", "match": match}])
    assert rule.matches(FACTS, (("campaign", "cards"), ("x", "y"))) is fits


def test_brackets_are_characters() -> None:
    (rule,) = parse_rules([{"name": "r", "match": {"tenant": "[Environment].*"}}])
    assert rule.matches({"tenant": "[Environment].record"}, ())
    assert not rule.matches({"tenant": "E.record"}, ())


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"keep_days": 1}, "rule number 1: name is missing"),
        ({"name": "cards", "keep": 1}, "rule 'cards': keep: unknown key; known: name, match, keep_days, min_days"),
        ({"name": "cards", "keep_days": -1}, "rule 'cards': keep_days = -1: must be a number of days"),
        ({"name": "cards", "keep_days": "1y"}, "rule 'cards': keep_days = '1y'"),
        ({"name": "cards", "min_days": True}, "rule 'cards': min_days = True"),
        ({"name": "cards", "keep_days": 1, "min_days": 2}, "rule 'cards': keep_days = 1: is below min_days = 2"),
        ({"name": "cards", "match": "bank"}, "rule 'cards': match = 'bank': must be a table"),
        ({"name": "cards", "match": {"agent": "7"}}, "rule 'cards': match.agent: unknown; known: door, "),
        ({"name": "cards", "match": {"dn": 5550100}}, "rule 'cards': match.dn = 5550100: must be a text"),
        ({"name": "cards", "match": {"dn": []}}, "rule 'cards': match.dn = []"),
        ({"name": "cards", "match": {"parameters": {"x": 1}}}, "rule 'cards': match.parameters.x = 1"),
        ({"name": "cards", "match": {"parameters": 1}}, "rule 'cards': match.parameters = 1"),
    ],
)
def test_a_fault_names_rule_and_key(rule: dict[str, object], fault: str) -> None:
    with pytest.raises(StorageMisused) as error:
        parse_rules([rule])
    assert fault in str(error.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(StorageMisused) as error:
        parse_rules([{"name": "a", "keep_days": -1}, {"name": "a", "match": {"x": "y"}}])
    for fault in ("keep_days = -1", "match.x", "name is used twice"):
        assert fault in str(error.value)
