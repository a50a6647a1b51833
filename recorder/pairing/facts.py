"""What pairing knows of a recording. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.catalog.records import CallFacts, Door


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFacts:
    """One recording, finished or not."""

    recording_id: UUID
    record_identifier: str
    door: Door
    call: CallFacts
    parameters: tuple[tuple[str, str], ...]
    """Call data as received, in order."""
    started_at: datetime
    ended_at: datetime | None
    """None while it is being recorded."""
