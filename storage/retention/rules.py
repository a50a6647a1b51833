"""Retention rules as data: what they match, how long they keep, and errors that name the rule and the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from storage.errors import StorageMisused

FACTS: Final = (
    *("door", "state", "record_identifier", "call_uuid", "conn_id", "ani", "dnis", "dn", "other_dn", "record_dn"),
    *("agent_id", "sips_app_name", "tenant"),
)
"""What a rule can match by; `dn` matches either party's, and `parameters` the call data as received, by name."""

_PARAMETERS: Final = "parameters"
_KEYS: Final = ("name", "match", "keep_days", "min_days")
_DAYS: Final = 36_500
"""A hundred years: more is a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long recordings of one kind are kept."""

    name: str
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fact to patterns of which one must fit, `*` for anything; all facts must fit. Empty: every recording."""
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same for call data as received, by name."""
    keep_days: float | None = None
    """Days after its end at which a recording is deleted; None: by this rule never."""
    min_days: float = 0.0
    """Days before which nothing and nobody deletes it."""

    def matches(self, facts: Mapping[str, str | None], parameters: Sequence[tuple[str, str]]) -> bool:
        """Whether the rule is about a recording with these facts."""
        return all(_fits(_values(facts, name), patterns) for name, patterns in self.facts.items()) and all(
            _fits([value for given, value in parameters if given == name], patterns)
            for name, patterns in self.parameters.items()
        )


def parse_rules(raw: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return rules from settings. Errors: `StorageMisused` with every fault, each naming rule and key."""
    faults: list[str] = []
    rules = [_rule(number, given, faults) for number, given in enumerate(raw, 1)]
    names = [rule.name for rule in rules]
    faults += [f"rule '{name}': name is used twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if faults:
        raise StorageMisused("; ".join(faults))
    return tuple(rules)


def _rule(number: int, given: Mapping[str, Any], faults: list[str]) -> Rule:
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        name = f"number {number}"
        faults.append(f"rule {name}: name is missing: it stands on tombstones")

    def wrong(key: str, what: str) -> None:
        faults.append(f"rule '{name}': {key}{what}")

    for key in given.keys() - set(_KEYS):
        wrong(str(key), f": unknown key; known: {', '.join(_KEYS)}")
    days = {}
    for key in ("keep_days", "min_days"):
        value = given.get(key)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DAYS
        ):
            wrong(key, f" = {value!r}: must be a number of days from 0 to {_DAYS}")
            value = None
        days[key] = value
    if days["keep_days"] is not None and days["min_days"] is not None and days["keep_days"] < days["min_days"]:
        wrong("keep_days", f" = {days['keep_days']}: is below min_days = {days['min_days']}")
    match = given.get("match", {})
    if not isinstance(match, Mapping):
        wrong("match", f' = {match!r}: must be a table such as {{ tenant = "bank" }}')
        match = {}
    parameters = match.get(_PARAMETERS, {})
    if not isinstance(parameters, Mapping):
        wrong("match.parameters", f" = {parameters!r}: must be a table of names and values")
        parameters = {}
    facts = {key: value for key, value in match.items() if key != _PARAMETERS}
    for key in facts.keys() - set(FACTS):
        wrong(f"match.{key}", f": unknown; known: {', '.join((*FACTS, _PARAMETERS))}")
    return Rule(
        name=name,
        facts={key: _patterns(f"match.{key}", value, wrong) for key, value in facts.items()},
        parameters={key: _patterns(f"match.parameters.{key}", value, wrong) for key, value in parameters.items()},
        keep_days=days["keep_days"],
        min_days=days["min_days"] or 0.0,
    )


def _patterns(key: str, value: object, wrong: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values or not all(isinstance(one, str) for one in values):
        wrong(key, f" = {value!r}: must be a text, or a list of texts; * stands for anything")
        return ()
    return tuple(values)


def _values(facts: Mapping[str, str | None], name: str) -> list[str]:
    names = ("dn", "other_dn") if name == "dn" else (name,)
    return [value for name in names if (value := facts.get(name)) is not None]


def _fits(values: Sequence[str], patterns: Sequence[str]) -> bool:
    # Brackets are no ranges here: numbers and names of switches contain them.
    return any(fnmatchcase(value, pattern.replace("[", "[[]")) for value in values for pattern in patterns)
