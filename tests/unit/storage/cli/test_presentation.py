"""What people and scripts see."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from storage.catalog.records import GapKind
from storage.catalog.views import GapView, iso_utc
from storage.cli.presentation import (
    age,
    channel_of,
    clock,
    counted,
    gap_json,
    lost_seconds,
    moment,
    or_dash,
    printable,
    span,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "0:00.0"),
        (59.96, "1:00.0"),
        (61.25, "1:01.2"),
        (3600.0, "1:00:00.0"),
        (36061.0, "10:01:01.0"),
    ],
)
def test_clock(seconds: float | None, expected: str) -> None:
    assert clock(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "40 ms"), (0.9994, "999 ms"), (4.2, "4.20 s"), (61.0, "1:01.0")]
)
def test_span(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


def test_times_are_shown_in_utc() -> None:
    at = datetime(2026, 11, 22, 1, 30, 5, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == "2026-11-21 23:30:05"
    assert iso_utc(at) == "2026-11-21T23:30:05.123Z"
    assert (moment(None), iso_utc(None)) == ("-", None)
    assert iso_utc(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("\x1b[31m\u202eé\x9b") == "\\x1b[31m\\u202eé\\x9b"


def test_what_is_not_known_is_a_dash() -> None:
    assert (or_dash(None), or_dash(""), or_dash(0)) == ("-", "-", "0")


def test_channels() -> None:
    assert [channel_of(party) for party in (0, 1, 2, -1)] == ["left", "right", None, None]


def test_a_gap_as_documented() -> None:
    gap = GapView(party=1, start_s=3.50000000001, duration_s=0.04, kind=GapKind.LOST, cause="network", segment_id=None)
    assert gap_json(gap) == {
        "party": 1,
        "channel": "right",
        "start_s": 3.5,
        "duration_s": 0.04,
        "kind": "lost",
        "cause": "network",
    }


def test_only_lost_intervals_count_as_lost() -> None:
    gaps = [
        GapView(party=party, start_s=0.0, duration_s=1.5, kind=kind, cause="c", segment_id=None)
        for party, kind in ((0, GapKind.LOST), (1, GapKind.LOST), (0, GapKind.SILENT), (1, GapKind.PAUSED))
    ]
    assert lost_seconds(gaps) == 3.0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (-0.5, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (250.0, "4 min 10 s"),
        (7500.0, "2 h 5 min"),
        (273_600.0, "3 d 4 h"),
    ],
)
def test_age(seconds: float | None, expected: str) -> None:
    assert age(seconds) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, "0 files"), (1, "1 file"), (2000, "2,000 files")])
def test_counted(number: int, expected: str) -> None:
    assert counted(number, "file") == expected
