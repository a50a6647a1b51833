"""Sessions of one recording that ran at the same time: put together or told apart by their sound, never summed.

Each session is given as a sound of its own. What a comparison of two of them means is decided by the caller.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence

from media.healing.comparison import compare
from media.healing.evidence import Comparison
from media.healing.placement import Strand, by_audio, by_clock, first_strand
from media.healing.sound import Sound


class Relation(enum.Enum):
    """What two sessions under one identifier are to each other."""

    SAME = enum.auto()
    """The same parties, heard twice."""
    OTHER = enum.auto()
    """Of other parties."""
    CONTINUED = enum.auto()
    """One goes on where the other ends; the parties keep their numbers."""


def put_side_by_side(
    sounds: Sequence[Sound], relate: Callable[[Comparison, Sound, Sound], Relation]
) -> tuple[list[Strand], list[Relation]]:
    """Put sessions on the timeline of the first one.

    Args:
        sounds: in one format; the first one's parties keep their numbers.
        relate: says what two of them are, from their comparison.

    Returns:
        a strand for each sound, and what it is to those before it (the first one: SAME).

    """
    first, *others = sounds
    placed = [first_strand(first)]
    relations = [Relation.SAME]
    for sound in others:
        strand, relation = _place(sound, placed, relate)
        placed.append(strand)
        relations.append(relation)
    return placed, relations


def _place(
    sound: Sound, placed: Sequence[Strand], relate: Callable[[Comparison, Sound, Sound], Relation]
) -> tuple[Strand, Relation]:
    free = 1 + max(party for strand in placed for party in strand.parties.values())
    found = set()
    for base in placed:
        comparison = compare(base.sound, sound)
        relation = relate(comparison, base.sound, sound)
        found.add(relation)
        if relation is Relation.SAME:
            strand = by_audio(sound, comparison, base)
            left = sorted(set(sound.voices) - {match.other for match in comparison.parties})
            return _renumbered(strand, {**strand.parties, **_numbered(left, free)}), relation
    if Relation.OTHER in found:
        return by_clock(sound, placed[0].sound, _numbered(sorted(sound.voices), free)), Relation.OTHER
    return by_clock(sound, placed[0].sound, {party: party for party in sound.voices}), Relation.CONTINUED


def _numbered(parties: Sequence[int], free: int) -> dict[int, int]:
    return {party: free + number for number, party in enumerate(parties)}


def _renumbered(strand: Strand, parties: dict[int, int]) -> Strand:
    return dataclasses.replace(strand, parties=parties)
