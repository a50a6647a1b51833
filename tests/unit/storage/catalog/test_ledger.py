"""The ledger's arithmetic: whatever is known, every frame has exactly one answer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.catalog.ledger import EDGE, LedgerInterval, LedgerKind, PartyLedger, account, overlaid
from storage.errors import StorageMisused

RECORDED, SILENT, PAUSED, LOST = LedgerKind.RECORDED, LedgerKind.SILENT, LedgerKind.PAUSED, LedgerKind.LOST

intervals = st.lists(
    st.builds(
        lambda start, length, kind, cause, source: LedgerInterval(start, start + length, kind, cause, source),
        st.integers(-20, 120),
        st.integers(-5, 60),
        st.sampled_from(LedgerKind),
        st.sampled_from(["received", "network", "paused"]),
        st.sampled_from(["segment 1", "copy x", ""]),
    ),
    max_size=12,
)


@given(intervals, st.integers(1, 100))
def test_every_frame_has_the_answer_that_was_given_last(known: list[LedgerInterval], frames: int) -> None:
    ledger = account(0, 8000, frames, known)
    answers = [
        (piece.kind, piece.cause, piece.source) for piece in ledger.intervals for _ in range(piece.start, piece.end)
    ]
    expected = [(SILENT, EDGE, "")] * frames
    for interval in known:
        for frame in range(max(interval.start, 0), min(interval.end, frames)):
            expected[frame] = (interval.kind, interval.cause, interval.source)
    assert answers == expected


@given(intervals, st.integers(1, 100))
def test_neighbours_differ(known: list[LedgerInterval], frames: int) -> None:
    pieces = account(0, 8000, frames, known).intervals
    for one, other in itertools.pairwise(pieces):
        assert (one.kind, one.cause, one.source) != (other.kind, other.cause, other.source)


@given(intervals, st.integers(1, 100))
def test_the_stored_form_says_the_same(known: list[LedgerInterval], frames: int) -> None:
    ledger = account(1, 16000, frames, known)
    stored = ledger.stored()
    ends, facts = stored["ends"], stored["facts"]
    assert isinstance(ends, list)
    assert isinstance(facts, list)
    lists = [stored[name] for name in ("kinds", "causes", "sources")]
    again = [
        LedgerInterval(start, end, LedgerKind(kind), cause, source)
        for start, end, fact in zip([0, *ends], ends, facts, strict=False)
        for kind, cause, source in [tuple(values[fact - 1] for values in lists if isinstance(values, list))]
    ]
    assert tuple(again) == ledger.intervals


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [(0, 50)],
        [(0, 50), (60, 100)],
        [(0, 60), (50, 100)],
        [(1, 100)],
        [(0, 100), (100, 100)],
        [(0, 110)],
    ],
)
def test_a_ledger_that_does_not_tile_the_timeline_is_refused(pieces: list[tuple[int, int]]) -> None:
    with pytest.raises(StorageMisused, match="ledger of party 0"):
        PartyLedger(0, 8000, 100, tuple(LedgerInterval(start, end, RECORDED, "received") for start, end in pieces))


def test_a_redaction_is_written_over_what_was() -> None:
    ledger = account(0, 8000, 100, [LedgerInterval(0, 100, RECORDED, "received", "segment 1")])
    redacted = overlaid(ledger, [LedgerInterval(20, 30, PAUSED, "redacted")])
    assert redacted.intervals == (
        LedgerInterval(0, 20, RECORDED, "received", "segment 1"),
        LedgerInterval(20, 30, PAUSED, "redacted"),
        LedgerInterval(30, 100, RECORDED, "received", "segment 1"),
    )
