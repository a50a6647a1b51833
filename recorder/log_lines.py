"""Log lines in columns without colours, for files and pipes: those of structlog's console renderer, at less cost.

A session writes its lines in the path of its 200. Whatever is no ordinary line, such as one with a trace, is left to
structlog.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_ORDINARY: Final = frozenset({"timestamp", "level", "event"})
_STRUCTLOGS: Final = frozenset({"exc_info", "exception", "stack", "logger", "logger_name"})
_LEVEL_WIDTH: Final = len("exception")
_QUOTED: Final = frozenset(" \t=\r\n\"'")


def console_renderer(*, colors: bool) -> structlog.typing.Processor:
    """Return what makes a line of an event."""
    console = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )

    def plain(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        if not event.keys() >= _ORDINARY or not _STRUCTLOGS.isdisjoint(event):
            line: str = console(logger, method, event)
            return line
        pairs = [
            f"{key}={value}" if isinstance(value, str) and _QUOTED.isdisjoint(value) else f"{key}={value!r}"
            for key, value in sorted(event.items())
            if key not in _ORDINARY
        ]
        head = f"{event['timestamp']} [{event['level']:{_LEVEL_WIDTH}}] {event['event']}"
        return " ".join([head, *pairs]).rstrip(" ")

    return console if colors else plain
