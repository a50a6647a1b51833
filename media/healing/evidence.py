"""What a comparison of two copies found, in figures. Values only; what follows from them is policy, decided elsewhere.

Frames of the two copies are related by an *offset*: frame `f` of the later-named copy sounds with frame `f + offset`
of the first.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Method(enum.StrEnum):
    """How two voices were found to be the same."""

    EXACT = "exact"
    """Sample by sample equal."""
    CORRELATED = "correlated"
    """Alike: another codec, a level, noise, or a clock of its own lies between them."""
    NONE = "none"
    """Nothing is alike."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the other copy's voice whose place on the first one's timeline is known."""

    start: int
    """Frame of the other copy."""
    end: int
    """Exclusive."""
    offset: float
    """At `start`; a whole number when exact."""
    end_offset: float
    """At `end`; differs from `offset` where the clocks drift apart."""

    @property
    def constant(self) -> bool:
        """Whether samples are moved by a whole number and left as they are."""
        return self.offset == self.end_offset and float(self.offset).is_integer()


@dataclass(frozen=True, slots=True)
class PartyMatch:
    """One party of the first copy held against one of the other; seconds of time that both copies cover."""

    party: int
    """Of the first copy."""
    other: int
    """Of the other copy."""
    method: Method
    pieces: tuple[Piece, ...]
    """In order of time; empty when nothing is alike."""
    covered_s: float
    """Both hold received audio."""
    compared_s: float
    """Of that, what can speak for or against: one of them is loud, or both are the same and telling."""
    matched_s: float
    """Of that, the same."""
    telling_s: float
    """Of what matched, what can prove something: it changes, and occurs once."""
    contradicted_s: float
    """Of what was compared, what differs."""
    score: float
    """0..1: share of equal samples, or mean normalised cross-correlation of what matched."""
    drift_ppm: float | None
    """Clock of the other copy against that of the first; None if it cannot be told."""

    @property
    def offset(self) -> float | None:
        """Offset in the middle of the comparison, frames; None when nothing is alike."""
        if not self.pieces:
            return None
        longest = max(self.pieces, key=lambda piece: piece.end - piece.start)
        return (longest.offset + longest.end_offset) / 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two copies held against each other."""

    overlap_s: float
    """Time that lies inside both, by the audio if it is alike, else by the clocks."""
    sample_rate: int
    clock_offset: float
    """Offset that the wall clocks of the two copies say, frames."""
    parties: tuple[PartyMatch, ...]
    """Each party of either copy at most once."""
    lone: Sequence[int]
    """Parties of the first copy that are heard during the overlap and have no party in the other one."""
    other_lone: Sequence[int]
    """Parties of the other copy for which the same holds."""

    @property
    def matched_s(self) -> float:
        """Sum over the parties."""
        return sum(match.matched_s for match in self.parties)

    @property
    def telling_s(self) -> float:
        """Sum over the parties."""
        return sum(match.telling_s for match in self.parties)

    @property
    def contradicted_s(self) -> float:
        """Sum over the parties."""
        return sum(match.contradicted_s for match in self.parties)

    @property
    def compared_s(self) -> float:
        """Sum over the parties."""
        return sum(match.compared_s for match in self.parties)

    @property
    def offset(self) -> float:
        """Offset of the copies: that of the party with most proof, else what the clocks say."""
        found = max(self.parties, key=lambda match: match.telling_s, default=None)
        return self.clock_offset if found is None or found.offset is None else found.offset
