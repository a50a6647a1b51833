"""Points in time on the command line."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.cli.context import CommandFailed
from storage.cli.times import parse_position, parse_time, parse_window
from storage.exit_codes import ExitCode

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T08:15:30Z", datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
        ("2026-11-20T08:15", datetime(2026, 11, 20, 8, 15, tzinfo=UTC)),
        ("2026-11-20 08:15", datetime(2026, 11, 20, 8, 15, tzinfo=UTC)),
        ("2026-11-20T08:15:30.250+02:00", datetime(2026, 11, 20, 6, 15, 30, 250000, tzinfo=UTC)),
        ("today", datetime(2026, 11, 22, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        ("45s", NOW - timedelta(seconds=45)),
    ],
)
def test_points_in_time(text: str, expected: datetime) -> None:
    assert parse_time(text, now=NOW) == expected


def test_a_window_that_ends_before_it_begins_is_no_empty_one() -> None:
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    assert parse_window("today", "today", now=now)[0] is not None
    assert parse_window(None, "2020-01-01", now=now)[0] is None
    with pytest.raises(CommandFailed, match="--from 2026-12-02 is not before --to 2026-12-01") as told:
        parse_window("2026-12-02", "2026-12-01", now=now)
    assert told.value.exit_code == ExitCode.USAGE


def test_a_day_as_an_end_is_included() -> None:
    assert parse_time("2026-11-20", now=NOW, end_of_day=True) == datetime(2026, 11, 21, tzinfo=UTC)
    assert parse_time("2026-11-20T08:15Z", now=NOW, end_of_day=True) == datetime(2026, 11, 20, 8, 15, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "22.11.2026", "-3h", "999999d", "3 h"])
def test_anything_else_is_explained(text: str) -> None:
    with pytest.raises(CommandFailed, match="is not a time") as failure:
        parse_time(text, now=NOW)
    assert failure.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [("83.5", 83.5), ("90s", 90.0), ("1.5m", 90.0), ("1:23.5", 83.5), ("1:02:03", 3723.0), ("0:00", 0.0)],
)
def test_positions_in_a_recording(text: str, expected: float) -> None:
    assert parse_position(text) == expected


@pytest.mark.parametrize("text", ["", "1:2:3:4", "-1", "1:", "1:123", "now"])
def test_what_is_no_position_is_explained(text: str) -> None:
    with pytest.raises(CommandFailed, match="is not a position") as failure:
        parse_position(text)
    assert failure.value.exit_code == ExitCode.USAGE
