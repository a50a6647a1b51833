"""Retention as pure policy: what may go, when and by which rule, decided from facts alone.

No IO, no clock: facts and `now` come in, decisions and reasons come out. `rules` are data and how they match, `policy`
decides about one recording, `planner` about all of them in order of age. Used by the catalog's reader, the curator's
chore and the commands; imports only the errors of `storage`.
"""

from storage.retention.planner import Action, ActionKind, Planner, Spared
from storage.retention.policy import Candidate, Policy, Verdict
from storage.retention.rules import FACTS, Rule, parse_rules

__all__ = [
    "FACTS",
    "Action",
    "ActionKind",
    "Candidate",
    "Planner",
    "Policy",
    "Rule",
    "Spared",
    "Verdict",
    "parse_rules",
]
