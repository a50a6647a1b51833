"""Where time of one copy lies in another one: what placing copies found, in figures that can be kept. Pure.

Made for taking a stretch out of all copies of a call: what is asked for one of them is found in the others, never less
of it. Where nothing shows which party of a copy is which, it counts for all parties of that copy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from media.healing.evidence import Comparison, Piece
from media.healing.placement import Strand

MARGIN_S: Final = 0.05
"""Added on both sides where clocks drift apart, so that the offset between two measured points is an estimate."""


class Stretch(NamedTuple):
    """Seconds `[start_s, end_s)` of one party of a recording, or of all."""

    party: int | None
    start_s: float
    end_s: float


class PlacedParty(msgspec.Struct, frozen=True, kw_only=True):
    """One party of a copy on the other timeline."""

    party: int
    """Of the copy."""
    onto: int
    """Of the timeline."""
    proven: bool
    """The sound shows that the two are the same; otherwise it may be any party."""
    pieces: tuple[Piece, ...]
    """In order of time; never empty."""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A copy on another timeline: a master's, or another copy's."""

    sample_rate: int
    """Hz, of the frames in the pieces."""
    parties: tuple[PlacedParty, ...]

    @property
    def known(self) -> bool:
        """Whether sound, not only clocks, shows where the copy lies."""
        return any(party.proven for party in self.parties)

    def on_timeline(self, stretch: Stretch, parties: int) -> list[Stretch]:
        """Return a stretch of the copy as stretches of the timeline, which has so many parties."""
        return self._moved(stretch, parties, inverse=False)

    def in_copy(self, stretch: Stretch, parties: int) -> list[Stretch]:
        """Return a stretch of the timeline as stretches of the copy, which has so many parties."""
        return self._moved(stretch, parties, inverse=True)

    def _moved(self, stretch: Stretch, parties: int, *, inverse: bool) -> list[Stretch]:
        pairs = [(one.onto, one.party) if inverse else (one.party, one.onto) for one in self.parties if one.proven]
        same = {target for source, target in pairs if source == stretch.party}
        taken = set() if stretch.party is None else {target for _, target in pairs}
        # A party whose counterpart nobody knows may be any that is not known to be another one's.
        targets = sorted(same) or [target for target in range(parties) if target not in taken]
        moved = [
            (target, self._through(self._pieces(target, inverse=inverse), stretch, inverse=inverse))
            for target in targets
        ]
        return [Stretch(target, *span) for target, span in moved if span is not None]

    def _pieces(self, target: int, *, inverse: bool) -> tuple[Piece, ...]:
        """Return the pieces of a party of the other side; of one that nobody placed those of the surest party."""
        for one in self.parties:
            if target == (one.party if inverse else one.onto):
                return one.pieces
        return max(self.parties, key=lambda one: (one.proven, len(one.pieces))).pieces

    def _through(self, pieces: Sequence[Piece], stretch: Stretch, *, inverse: bool) -> tuple[float, float] | None:
        rate = self.sample_rate
        segments = sorted(_segments(pieces, inverse=inverse))
        margin = 0.0 if all(piece.constant for piece in pieces) else MARGIN_S * rate
        moved = through(segments, stretch.start_s * rate, stretch.end_s * rate)
        if moved is None:
            return None
        start, end = moved
        return (start - margin) / rate, (end + margin) / rate


class Segment(NamedTuple):
    """A line from one timeline to another: `start` becomes `to_start`, `end` becomes `to_end`."""

    start: float
    end: float
    to_start: float
    to_end: float


def through(segments: Sequence[Segment], start: float, end: float) -> tuple[float, float] | None:
    """Return the hull of everything that `[start, end)` can be on the other side; None when there is nothing of it.

    Before the first and after the last segment time runs on as at their ends. Between two of them nobody knows: what
    lies there counts whole.
    """
    reached: list[float] = []
    last = len(segments) - 1
    for number, one in enumerate(segments):
        begin = -math.inf if number == 0 else one.start
        finish = math.inf if number == last else one.end
        if begin < end and finish > start:
            reached += [_at(one, max(start, begin)), _at(one, min(end, finish))]
    for one, following in itertools.pairwise(segments):
        if start <= max(one.end, following.start) and end >= min(one.end, following.start):
            reached += [one.to_end, following.to_start]
    if not reached or min(reached) >= max(reached):
        return None
    return min(reached), max(reached)


def _at(one: Segment, position: float) -> float:
    if position <= one.start:
        return one.to_start + position - one.start
    if position >= one.end:
        return one.to_end + position - one.end
    return one.to_start + (position - one.start) * (one.to_end - one.to_start) / (one.end - one.start)


def _segments(pieces: Sequence[Piece], *, inverse: bool) -> Iterator[Segment]:
    for piece in pieces:
        copy = (float(piece.start), float(piece.end))
        timeline = (piece.start + piece.offset, piece.end + piece.end_offset)
        yield Segment(*timeline, *copy) if inverse else Segment(*copy, *timeline)


def placement_of(strand: Strand, sample_rate: int, zero: float) -> Placement:
    """Return where a copy lies on a master whose frame 0 is frame `zero` of the strand's timeline."""
    return Placement(
        sample_rate=sample_rate,
        parties=tuple(
            PlacedParty(
                party=party,
                onto=strand.parties[party],
                proven=party in strand.proven and not strand.guessed,
                pieces=tuple(
                    Piece(piece.start, piece.end, piece.offset - zero, piece.end_offset - zero) for piece in pieces
                ),
            )
            for party, pieces in sorted(strand.pieces.items())
            if pieces
        ),
    )


def placement_in(comparison: Comparison) -> Placement:
    """Return where the other one of two copies that were compared lies on the first one."""
    best = max(comparison.parties, key=lambda match: match.telling_s, default=None)
    return Placement(
        sample_rate=comparison.sample_rate,
        parties=tuple(
            PlacedParty(
                party=match.other,
                onto=match.party,
                proven=bool(match.matched_s),
                pieces=match.pieces or best.pieces,
            )
            for match in comparison.parties
            if best is not None and (match.pieces or best.pieces)
        ),
    )
