"""Where a stretch of one recording lies in everything else that has the same sound. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from media.healing import Comparison, Placement, Stretch, placement_in
from storage.catalog.redactions import FamilyLink, FamilyMember, WantedStretch


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionPlan:
    """What is to be silenced for one stretch that a person named."""

    stretches: tuple[WantedStretch, ...]
    """The named one first, as it was named; in the others never less than it."""
    unplaced: tuple[FamilyMember, ...]
    """Have the same sound, but nothing shows where it lies in them. Nothing may be begun while there are any."""

    def of(self, recording_id: UUID) -> tuple[WantedStretch, ...]:
        """Return what is to be silenced in one recording."""
        return tuple(one for one in self.stretches if one.recording_id == recording_id)


def plan_redaction(
    subject: UUID, asked: Stretch, family: Sequence[FamilyMember], links: Iterable[FamilyLink]
) -> RedactionPlan:
    """Find a stretch of `subject` in every recording of its family.

    Args:
        subject: has the stretch; a member of the family.
        asked: in seconds of the subject.
        family: what may hold the stretch.
        links: how the members lie on each other.

    """
    audible = {member.recording_id: member for member in family if member.file is not None}
    placements = [(link.base, link.other, _placement(link)) for link in links]
    found: dict[UUID, list[Stretch]] = {subject: [asked]}
    waiting = [subject]
    while waiting:
        known = waiting.pop(0)
        for base, other, placement in placements:
            unknown = other if known == base else base
            if known not in (base, other) or unknown in found or unknown not in audible or not placement.known:
                continue
            parties = _channels(audible[unknown])
            move = placement.in_copy if known == base else placement.on_timeline
            found[unknown] = [moved for one in found[known] for moved in move(one, parties)]
            waiting.append(unknown)
    wanted = [_wanted(subject, asked)]
    for recording_id, member in audible.items():
        if recording_id != subject:
            wanted += [_wanted(recording_id, one) for one in _tidy(member, found.get(recording_id, ()))]
    return RedactionPlan(
        stretches=tuple(wanted),
        unplaced=tuple(member for recording_id, member in audible.items() if recording_id not in found),
    )


def _placement(link: FamilyLink) -> Placement:
    if link.placed is not None:
        return msgspec.convert(link.placed, Placement)
    return placement_in(msgspec.convert(link.comparison, Comparison))


def _tidy(member: FamilyMember, stretches: Iterable[Stretch]) -> list[Stretch]:
    """Cut stretches to a recording, join those of a party that touch, and all parties where they have the same."""
    parties = _channels(member)
    end_s = _length_s(member)
    joined: dict[int, list[tuple[float, float]]] = {}
    for one in sorted(stretches, key=lambda one: one.start_s):
        start, end = max(one.start_s, 0.0), min(one.end_s, end_s)
        if start >= end:
            continue
        for party in range(parties) if one.party is None else (one.party,):
            own = joined.setdefault(party, [])
            if own and start <= own[-1][1]:
                own[-1] = (own[-1][0], max(own[-1][1], end))
            else:
                own.append((start, end))
    if len(joined) == parties > 1 and _all_same(joined):
        return [Stretch(None, start, end) for start, end in joined[0]]
    return [Stretch(party, start, end) for party, own in sorted(joined.items()) for start, end in own]


def _all_same(joined: Mapping[int, list[tuple[float, float]]]) -> bool:
    return all(own == joined[0] for own in joined.values())


def _channels(member: FamilyMember) -> int:
    return 0 if member.file is None else member.file.channels


def _length_s(member: FamilyMember) -> float:
    return 0.0 if member.file is None else member.file.frames / member.file.sample_rate


def _wanted(recording_id: UUID, one: Stretch) -> WantedStretch:
    return WantedStretch(recording_id=recording_id, party=one.party, start_s=one.start_s, end_s=one.end_s)
