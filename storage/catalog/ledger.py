"""The ledger: what became of every frame of a party's timeline, and where each answer comes from. Pure.

An interval is recorded, silent, paused or lost; it has a cause in one word and a source (a segment, a copy). The
intervals of a party tile its timeline exactly, or there is no ledger: `PartyLedger` refuses anything else, and the
catalog checks it once more.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from storage.errors import StorageMisused


class LedgerKind(enum.StrEnum):
    """What an interval of a party's timeline is."""

    RECORDED = "recorded"
    """Audio was received and is in the file."""
    SILENT = "silent"
    """Nothing was sent that could be played."""
    PAUSED = "paused"
    """The recording was not to record, or was masked or redacted."""
    LOST = "lost"
    """There was audio, and it is not in the file."""


RECEIVED: Final = "received"
"""Cause of audio that came as it should."""

EDGE: Final = "edge"
"""Cause of the moments at the start and end of a party that are too short to be declared as a gap."""


@dataclass(frozen=True, slots=True)
class LedgerInterval:
    """Frames `[start, end)` of one party."""

    start: int
    end: int
    kind: LedgerKind
    cause: str
    """One stable word: received, network, kernel-drop, writer-failover, paused, masked, redacted, ..."""
    source: str = ""
    """Where the answer comes from, for people and scripts: `segment 1`, `copy <id>`; empty if nothing covers it."""


@dataclass(frozen=True, slots=True)
class PartyLedger:
    """The whole timeline of one party.

    Errors: `StorageMisused` unless the intervals are in order, touch each other, and cover `[0, frames)`.
    """

    party: int
    sample_rate: int
    """Hz."""
    frames: int
    """Length of the timeline; above zero."""
    intervals: tuple[LedgerInterval, ...]

    def __post_init__(self) -> None:
        at = 0
        for interval in self.intervals:
            if interval.start != at or interval.end <= at:
                raise StorageMisused(
                    f"the ledger of party {self.party} does not add up: "
                    f"{interval.kind.value} {interval.start} to {interval.end} follows frame {at}"
                )
            at = interval.end
        if at != self.frames or at == 0:
            raise StorageMisused(f"the ledger of party {self.party} ends at frame {at} of {self.frames}")

    def stored(self) -> Mapping[str, object]:
        """Return the form that `write_ledger_v1` takes."""
        said = [_fact(interval) for interval in self.intervals]
        facts = {fact: number for number, fact in enumerate(dict.fromkeys(said), start=1)}
        return {
            "party": self.party,
            "sample_rate": self.sample_rate,
            "frames": self.frames,
            "ends": [interval.end for interval in self.intervals],
            "facts": [facts[fact] for fact in said],
            "kinds": [kind.value for kind, _, _ in facts],
            "causes": [cause for _, cause, _ in facts],
            "sources": [source for _, _, source in facts],
        }


def account(party: int, sample_rate: int, frames: int, intervals: Iterable[LedgerInterval]) -> PartyLedger:
    """Return the ledger of a timeline from whatever is known of it.

    Intervals come in any order. Where several cover a frame the later one in the given order wins (a gap is given
    after what surrounds it, a redaction after everything else); what nothing covers is silent, with cause `edge`.
    Intervals outside of `[0, frames)` are cut. Neighbours that say the same become one.
    """
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    known = list(intervals)
    for number, interval in enumerate(known):
        start, end = max(interval.start, 0), min(interval.end, frames)
        if start < end:
            starts.setdefault(start, []).append(number)
            ends.setdefault(end, []).append(number)
    cuts = sorted({0, *starts, *ends, frames})
    active: set[int] = set()
    pieces: list[LedgerInterval] = []
    for start, end in itertools.pairwise(cuts):
        active.difference_update(ends.get(start, ()))
        active.update(starts.get(start, ()))
        covering = known[max(active)] if active else LedgerInterval(start, end, LedgerKind.SILENT, EDGE)
        piece = LedgerInterval(start, end, covering.kind, covering.cause, covering.source)
        if pieces and _fact(pieces[-1]) == _fact(piece):
            piece = LedgerInterval(pieces.pop().start, end, piece.kind, piece.cause, piece.source)
        pieces.append(piece)
    return PartyLedger(party, sample_rate, frames, tuple(pieces))


def overlaid(ledger: PartyLedger, intervals: Sequence[LedgerInterval]) -> PartyLedger:
    """Return the ledger with further intervals written over it: a redaction, a stretch filled from a copy."""
    return account(ledger.party, ledger.sample_rate, ledger.frames, [*ledger.intervals, *intervals])


def _fact(interval: LedgerInterval) -> tuple[LedgerKind, str, str]:
    return interval.kind, interval.cause, interval.source
