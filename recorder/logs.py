"""Structured logs on standard error: one line per decision, JSON for collectors or columns for people.

The lower packages log through the standard library with their variables in `extra`; this module renders those
lines and our own alike. Values that came from the network never become part of a message text, and control
characters in them are escaped, so that nobody can forge a line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from recorder.log_lines import console_renderer
from recorder.settings import LogSettings

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _add_extra(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event.update({key: value for key, value in vars(record).items() if key not in _STANDARD and key[0] != "_"})
    return event


def _no_trace_of_the_expected(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Libraries attach traces to warnings about things that happen, such as a database that restarts.
    record = event.get("_record")
    if isinstance(record, logging.LogRecord) and record.levelno < logging.ERROR and record.exc_info:
        event["reason"] = str(record.exc_info[1])
        record.exc_info = None
        event.pop("exc_info", None)
    return event


def _escape(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and key not in {"event", "exception"} and not value.isprintable():
            event[key] = value.encode("unicode_escape", "backslashreplace").decode("ascii")
    return event


def configure_logging(settings: LogSettings, *, role: str, name: str) -> None:
    """Send every logger of this process to standard error in the configured form."""

    def name_process(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", name if name == role else f"{role}/{name}")
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        _escape,
    ]
    if settings.format == "json":
        final: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        final = [console_renderer(colors=sys.stderr.isatty())]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_extra, _no_trace_of_the_expected, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    # Its lines say nothing that the supervisor's and ours do not.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(settings.level.upper())))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level.upper())),
        # A whole line and a flush at a time, like the handler. The way through the standard library's loggers costs
        # twice as much, and a session logs in the path of its 200.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
