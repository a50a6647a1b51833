"""Captures in a directory: which files there are, and what each says about itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from media.container import Capture
from storage.catalog.captures import FoundCapture
from storage.catalog.records import Door

PATTERN: Final = "*.tcap"
REJECTED: Final = ("rejected", "cancelled")
"""END causes of captures that no 200 ever promised."""


@dataclass(frozen=True, slots=True)
class CaptureOnDisk:
    """A file, unread."""

    path: Path
    size_bytes: int
    modified_at: datetime


def captures_in(directory: Path) -> Iterator[CaptureOnDisk]:
    """Yield the captures below a directory, by name of folder and file."""
    for path in sorted(directory.rglob(PATTERN)):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue  # erased meanwhile
        yield CaptureOnDisk(path, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))


def described(capture: Capture, *, path: Path) -> FoundCapture | None:
    """Return what a capture says about itself, as if it were at `path`; None when it does not name its recording."""
    session = capture.session
    told = session.descriptor
    identifier = told.get("record_identifier")
    if not isinstance(identifier, str) or told.get("door") not in tuple(Door):
        return None
    call, parameters = told.get("call"), told.get("parameters")
    return FoundCapture(
        path=str(path),
        writer=session.writer,
        opened_at=_moment(session.wall_ns),
        closed_at=_moment(max(capture.last_written_ns, session.wall_ns)),
        session=UUID(hex=session.session),
        record_identifier=identifier,
        door=str(told["door"]),
        sip_call_id=str(told.get("sip_call_id") or ""),
        call={str(k): str(v) for k, v in call.items()} if isinstance(call, dict) else {},
        parameters=tuple((str(one[0]), str(one[1])) for one in parameters) if isinstance(parameters, list) else (),
        streams=tuple(_stream(stream) for stream in session.streams),
    )


def _stream(stream: Any) -> dict[str, Any]:
    return {
        "index": stream.index,
        "party": stream.party,
        "label": stream.label,
        "media": "audio",
        "payload_types": {str(number): msgspec.to_builtins(codec) for number, codec in stream.payload_types.items()},
    }


def _moment(wall_ns: int) -> datetime:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC)
