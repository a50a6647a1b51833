"""Lines are those of structlog's console renderer, character by character."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import structlog

from recorder.log_lines import console_renderer

HEAD = {"timestamp": "2026-11-30T06:00:00.000001Z", "level": "info", "event": "recording"}


@pytest.mark.parametrize(
    "event",
    [
        HEAD,
        {**HEAD, "level": "warning", "reason": "two words", "call_id": "a84b4c76e66710"},
        {**HEAD, "zeta": 1, "alpha": 2.5, "streams": {0: 10000}, "nothing": None, "sure": True},
        {**HEAD, "empty": "", "quoted": "it's", "assigned": "a=b", "broken": "a\nb", "tab": "a\tb"},
        {**HEAD, "segment": UUID(int=7), "names": ("a", "b"), "umlaut": "Zürich"},
        {**HEAD, "event": "ends in spaces   "},
        {**HEAD, "event": ""},
        {**HEAD, "logger": "asyncio", "peer": "192.0.2.1"},
        {**HEAD, "exception": "Traceback (most recent call last):\n  ..."},
        {**HEAD, "stack": "Stack (most recent call last):"},
        {"event": "without a time", "level": "error"},
        {"event": "without a level", "timestamp": "now"},
    ],
)
def test_a_line_is_that_of_structlog(event: dict[str, Any]) -> None:
    theirs = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    assert console_renderer(colors=False)(None, "info", dict(event)) == theirs(None, "info", dict(event))


def test_a_trace_is_written_below_its_line() -> None:
    line = console_renderer(colors=False)(None, "error", {**HEAD, "exc_info": ValueError("of this test")})
    assert isinstance(line, str)
    assert line.startswith("2026-11-30T06:00:00.000001Z [info     ] recording\n")
    assert line.endswith("ValueError: of this test")


def test_colours_are_structlogs() -> None:
    assert isinstance(console_renderer(colors=True), structlog.dev.ConsoleRenderer)
