"""Renderings of real captures become ledgers: kinds and causes as declared, sources by session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from media.pipeline import render
from recorder.curator.accounting import ledger_of
from storage.catalog.ledger import LedgerInterval, LedgerKind
from storage.catalog.records import RecordedSegment, SegmentState
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, sound, stream, talk

START = datetime.fromtimestamp(START_NS / 1e9, UTC)
RECORDED, SILENT, LOST = LedgerKind.RECORDED, LedgerKind.SILENT, LedgerKind.LOST


def segment(ordinal: int, *, opened_s: float, closed_s: float) -> RecordedSegment:
    return RecordedSegment(
        segment_id=uuid4(),
        ordinal=ordinal,
        state=SegmentState.CLOSED,
        interrupted=False,
        captures=(),
        opened_at=START + timedelta(seconds=opened_s),
        closed_at=START + timedelta(seconds=closed_s),
        end_cause="bye",
        streams=(),
    )


def test_two_sessions_with_a_time_between(tmp_path: Path) -> None:
    first = CaptureFile(packets=talk(sound(4800, 1)), streams=[stream(0)], session="a" * 32)
    second = CaptureFile(
        packets=talk(sound(4800, 2), start_ms=1600, ssrc=0x3000), streams=[stream(0)], session="b" * 32, opened_ms=1500
    )
    paths = [first.write(tmp_path), second.write(tmp_path)]
    rendering = render(paths, tmp_path / "out.wav", sessions=[0, 1])
    (party,) = ledger_of(
        rendering, [segment(1, opened_s=-0.1, closed_s=0.6), segment(2, opened_s=1.5, closed_s=2.2)], START
    )
    assert party.frames == rendering.frames
    assert party.intervals[0] == LedgerInterval(0, 4800, RECORDED, "received", "segment 1")
    assert party.intervals[-1] == LedgerInterval(12_800, 17_600, RECORDED, "received", "segment 2")
    assert {(piece.kind, piece.cause) for piece in party.intervals[1:-1]} <= {
        (LOST, "no-session"),
        (SILENT, "source-change"),
    }


def test_sessions_side_by_side_are_both_named(tmp_path: Path) -> None:
    """Two live dialogs with one identifier: what both captured comes from both."""
    first = CaptureFile(packets=talk(sound(8000, 1)), streams=[stream(0)], session="a" * 32)
    second = CaptureFile(packets=talk(sound(4800, 2), start_ms=400, ssrc=0x3000), streams=[stream(0)], session="b" * 32)
    rendering = render([first.write(tmp_path), second.write(tmp_path)], tmp_path / "out.wav", sessions=[0, 1])
    (party,) = ledger_of(
        rendering, [segment(1, opened_s=0, closed_s=1.0), segment(2, opened_s=0.4, closed_s=1.0)], START
    )
    assert [(piece.start, piece.end, piece.source) for piece in party.intervals] == [
        (0, 3200, "segment 1"),
        (3200, 8000, "segment 1+2"),
    ]


def test_loss_names_the_session_that_lost_it_and_what_is_too_short_to_declare_is_an_edge(tmp_path: Path) -> None:
    packets = talk(sound(8000, 1)) + talk(sound(6400, 2), stream=1, ssrc=0x2000, start_ms=100)
    del packets[10:12]
    path = CaptureFile(packets=sorted(packets, key=lambda one: one.arrival_ms)).write(tmp_path)
    rendering = render([path], tmp_path / "out.wav")
    left, right = ledger_of(rendering, [segment(1, opened_s=-0.1, closed_s=1.1)], START)
    assert left.intervals == (
        LedgerInterval(0, 1600, RECORDED, "received", "segment 1"),
        LedgerInterval(1600, 1920, LOST, "network", "segment 1"),
        LedgerInterval(1920, 8000, RECORDED, "received", "segment 1"),
    )
    assert [(piece.kind, piece.cause, piece.source) for piece in right.intervals] == [
        (SILENT, "edge", ""),
        (RECORDED, "received", "segment 1"),
        (SILENT, "edge", ""),
    ]


def test_a_recording_without_media_has_no_timeline_to_account_for(tmp_path: Path) -> None:
    rendering = render([CaptureFile().write(tmp_path)], tmp_path / "out.wav")
    assert ledger_of(rendering, [segment(1, opened_s=0, closed_s=1)], START) == ()
