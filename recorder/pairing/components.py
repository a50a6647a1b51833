"""Which recordings of a group are copies of one another, when all its pairs are put together. Pure.

Copies of a copy are copies, unless two of them were shown, or said, not to be: such a pair keeps their sets apart, the
weaker proof yields to the stronger one. No refusal is ever overridden by a chain of confirmations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID, uuid5

from storage.catalog.copy_records import CopyGroup, CopyMember, CopyPair, CopyState, Decider

_MASTERS: Final = UUID("6d0c2e3e-0d5b-5f5e-9a46-5b1d7c1f2a90")
"""Name space of the ids of healed masters."""


def components(group: CopyGroup) -> list[tuple[CopyMember, ...]]:
    """Return the sets of two and more copies, in the order of their beginnings."""
    sets = {member.recording_id: frozenset({member.recording_id}) for member in group.members}
    refused = [pair.both for pair in group.pairs if pair.state is CopyState.REJECTED]
    confirmed = [pair for pair in group.pairs if pair.state is CopyState.CONFIRMED]
    for pair in sorted(confirmed, key=_strength, reverse=True):
        joined = sets[pair.one] | sets[pair.other]
        if not any(both <= joined for both in refused):
            sets.update(dict.fromkeys(joined, joined))
    found = dict.fromkeys(sets[member.recording_id] for member in group.members)
    return [tuple(member for member in group.members if member.recording_id in one) for one in found if len(one) > 1]


def masters(group: CopyGroup, sets: Sequence[Sequence[CopyMember]]) -> list[UUID]:
    """Return the id of each set's healed master: the one that it has, else one that only this set can have."""
    taken: set[UUID] = set()
    found = []
    for one in sets:
        master = next((known for known in _known_masters(group, one) if known not in taken), None)
        number = 0
        names = " ".join(sorted(member.recording_id.hex for member in one))
        while master is None or master in taken:
            master = uuid5(_MASTERS, f"{names} {number}")
            number += 1
        taken.add(master)
        found.append(master)
    return found


def _known_masters(group: CopyGroup, one: Sequence[CopyMember]) -> list[UUID]:
    """Return the healed masters that stand for members of a set now, that of most members first."""
    members = {member.recording_id for member in group.members}
    standing = [member.master_id for member in one if member.master_id and member.master_id not in members]
    return sorted(set(standing), key=lambda master: (-standing.count(master), master))


def _strength(pair: CopyPair) -> tuple[bool, float, UUID, UUID]:
    """Return what orders proofs: a person's word, then seconds of telling sound."""
    return pair.decided_by is Decider.OPERATOR, _telling_s(pair.comparison or {}), pair.one, pair.other


def _telling_s(comparison: Mapping[str, object]) -> float:
    parties = comparison.get("parties")
    return sum(float(party["telling_s"]) for party in parties) if isinstance(parties, list) else 0.0
