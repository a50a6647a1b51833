"""Points and lengths of time on the command line: ISO 8601 in UTC, a day, how long ago, how long. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from storage.cli.context import CommandFailed
from storage.exit_codes import ExitCode

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LENGTH: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_time(text: str, *, now: datetime, end_of_day: bool = False) -> datetime:
    """Return the point in time that `text` names.

    Args:
        text: `2026-11-22T09:30:00Z`, with an offset or without (then UTC); `2026-11-22`; `today`; or `90m`, `36h`,
            `7d` for so long ago.
        now: what `today` and the relative forms refer to.
        end_of_day: a day without a time means its end (for `--to`, so that the day is included).

    """
    text = text.strip()
    if text == "today":
        text = now.astimezone(UTC).date().isoformat()
    try:
        if match := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if _DAY.fullmatch(text):
            begin = datetime.combine(date.fromisoformat(text), time(), UTC)
            return begin + timedelta(days=1) if end_of_day else begin
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CommandFailed(
            f"{text!r} is not a time: write 2026-11-22, 2026-11-22T09:30:00Z, today, or 90m, 36h, 7d for so long ago",
            ExitCode.USAGE,
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def parse_window(since: str | None, until: str | None, *, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the points in time that `--from` and `--to` name; a day at the end is included."""
    start = parse_time(since, now=now) if since else None
    end = parse_time(until, now=now, end_of_day=True) if until else None
    if start is not None and end is not None and start >= end:
        raise CommandFailed(f"--from {since} is not before --to {until}", ExitCode.USAGE)
    return start, end


def parse_length(text: str) -> float:
    """Return the seconds that `text` names: `500ms`, `90s`, `10m`, `2h`; a number alone is seconds."""
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise CommandFailed(f"{text!r} is not a length of time: write 500ms, 90s, 10m or 2h", ExitCode.USAGE)
    return float(match[1]) * _SECONDS[match[2]]


def parse_position(text: str) -> float:
    """Return the seconds from the beginning of a recording that `text` names: `1:23.5`, `1:02:03`, or a length."""
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups("0")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    try:
        return parse_length(text)
    except CommandFailed:
        raise CommandFailed(f"{text!r} is not a position: write 83.5, 90s, 1:23.5 or 1:02:03", ExitCode.USAGE) from None
