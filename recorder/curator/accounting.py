"""From a rendering, or a healing, to the ledger: every frame of every party with kind, cause and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from media.healing import Healing
from media.pipeline.report import Gap, PartyReport, Rendering
from storage.catalog.ledger import RECEIVED, LedgerInterval, LedgerKind, PartyLedger, account
from storage.catalog.records import RecordedSegment


def ledger_of(
    rendering: Rendering, segments: Sequence[RecordedSegment], started_at: datetime
) -> tuple[PartyLedger, ...]:
    """Return the ledger of each party; empty without media.

    Args:
        rendering: its session numbers are positions in `segments`.
        segments: of the recording, by ordinal.
        started_at: wall clock of frame 0.

    """
    if not rendering.frames:
        return ()
    windows = [
        (
            segment.ordinal,
            _frame(segment.opened_at, started_at, rendering),
            _frame_of_end(segment, started_at, rendering),
        )
        for segment in segments
    ]
    return tuple(
        account(
            party.party,
            rendering.sample_rate,
            rendering.frames,
            [
                *_received(party, segments),
                *(_gap(gap, windows) for gap in rendering.gaps if gap.party == party.party),
            ],
        )
        for party in rendering.parties
    )


def ledger_of_master(healing: Healing, copies: Sequence[UUID]) -> tuple[PartyLedger, ...]:
    """Return the ledger of each party of a healed master.

    Args:
        healing: its copies are positions in `copies`.
        copies: the recordings that it was made from.

    """
    return tuple(
        account(
            party.party,
            healing.sample_rate,
            healing.frames,
            [
                *(
                    LedgerInterval(
                        taken.start_frame,
                        taken.start_frame + taken.frames,
                        LedgerKind.RECORDED,
                        RECEIVED,
                        f"copy {copies[taken.copy]}",
                    )
                    for taken in healing.provenance
                    if taken.party == party.party
                ),
                *(_gap(gap, ()) for gap in healing.gaps if gap.party == party.party),
            ],
        )
        for party in healing.parties
    )


def _received(party: PartyReport, segments: Sequence[RecordedSegment]) -> Iterator[LedgerInterval]:
    """Yield what each session brought, and what several of them did."""
    spans = [(start, end, number) for number, found in party.sessions.items() for start, end in found]
    for start, end, numbers in _together(spans):
        ordinals = "+".join(str(segments[number].ordinal) for number in numbers)
        yield LedgerInterval(start, end, LedgerKind.RECORDED, RECEIVED, f"segment {ordinals}")


def _together(spans: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield the pieces between all borders with the sessions that cover them."""
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for start, end, number in spans:
        opening.setdefault(start, []).append(number)
        closing.setdefault(end, []).append(number)
    active: set[int] = set()
    for start, end in pairwise(sorted({*opening, *closing})):
        # Pieces of one session never touch, so that what closes here was open.
        active.difference_update(closing.get(start, ()))
        active.update(opening.get(start, ()))
        if active:
            yield start, end, tuple(sorted(active))


def _gap(gap: Gap, windows: Sequence[tuple[int, int, int]]) -> LedgerInterval:
    """Return a gap with the sessions that were open in the middle of it."""
    middle = gap.start_frame + gap.frames // 2
    ordinals = [str(ordinal) for ordinal, start, end in windows if start <= middle < end]
    source = f"segment {'+'.join(ordinals)}" if ordinals else ""
    return LedgerInterval(
        gap.start_frame, gap.start_frame + gap.frames, LedgerKind(gap.kind.value), gap.cause.value, source
    )


def _frame(at: datetime, started_at: datetime, rendering: Rendering) -> int:
    return (at - started_at) // timedelta(microseconds=1) * rendering.sample_rate // 1_000_000


def _frame_of_end(segment: RecordedSegment, started_at: datetime, rendering: Rendering) -> int:
    """Return the frame of a session's end; one that nobody closed ends with the recording."""
    return rendering.frames if segment.closed_at is None else _frame(segment.closed_at, started_at, rendering)
