"""What gaps and ledger say of a recording after a stretch was taken out of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger, overlaid
from storage.catalog.records import GapKind, RenderedGap
from storage.catalog.redactions import REDACTED, Stretch
from storage.catalog.views import FileView, GapView


def redacted_gaps(gaps: Sequence[GapView], pending: Sequence[Stretch], master: FileView) -> list[RenderedGap]:
    """Return the gaps with the stretches in them; what a stretch covers of a gap is the stretch's."""
    rate, length_s = master.sample_rate, master.frames / master.sample_rate
    made = [_gap(gap.party, gap.start_s, gap.start_s + gap.duration_s, gap) for gap in gaps]
    for one in pending:
        start, end = (frame / rate for frame in frames_of(one, rate))
        end = min(end, length_s)
        for party in range(master.channels) if one.party is None else (one.party,):
            kept = [gap for gap in made if gap.party != party]
            for gap in (gap for gap in made if gap.party == party):
                last = gap.start_s + gap.duration_s
                if gap.start_s < start:
                    kept.append(_gap(party, gap.start_s, min(last, start), gap))
                if last > end:
                    kept.append(_gap(party, max(gap.start_s, end), last, gap))
            kept.append(
                RenderedGap(party=party, start_s=start, duration_s=end - start, kind=GapKind.PAUSED, cause=REDACTED)
            )
            made = kept
    return sorted(made, key=lambda gap: (gap.start_s, gap.party))


def redacted_ledger(ledger: Sequence[PartyLedger], pending: Sequence[Stretch]) -> list[PartyLedger]:
    """Return the ledger with the stretches written over it."""
    return [
        overlaid(
            party,
            [
                LedgerInterval(*frames_of(one, party.sample_rate), LedgerKind.PAUSED, REDACTED)
                for one in pending
                if one.party in (None, party.party)
            ],
        )
        for party in ledger
    ]


def frames_of(one: Stretch, rate: int) -> tuple[int, int]:
    """Return the frames of a stretch: never less than was asked for."""
    # What floating point adds to a whole frame is none.
    return math.floor(round(one.start_s * rate, 3)), math.ceil(round(one.end_s * rate, 3))


def _gap(party: int, start_s: float, end_s: float, like: GapView | RenderedGap) -> RenderedGap:
    return RenderedGap(
        party=party,
        start_s=start_s,
        duration_s=end_s - start_s,
        kind=like.kind,
        cause=like.cause,
        segment_id=like.segment_id,
    )
