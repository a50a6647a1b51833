"""What the next manifest of a recording states, read at one moment by one statement; see `FileLives.to_state`.

Not what people look at (`storage.catalog.views`): only what is signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from storage.catalog.records import CaptureLocation, RecordingState
from storage.integrity import Anchor


@dataclass(frozen=True, slots=True)
class StatedDocument:
    """A metadata document of a segment."""

    received_at: datetime
    content_type: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedSegment:
    """A session of the recording."""

    segment_id: UUID
    ordinal: int
    door: str
    sip_call_id: str
    opened_at: datetime
    closed_at: datetime | None
    end_cause: str | None
    interrupted: bool
    captures: tuple[CaptureLocation, ...]
    """In order of their beginning."""
    parties: list[dict[str, object]]
    """`stream`, `party` and `label` of each stream, in order of m-lines."""
    documents: tuple[StatedDocument, ...]


@dataclass(frozen=True, slots=True)
class StatedFile:
    """A file that is claimed."""

    kind: str
    path: str
    format: str
    sample_rate: int
    channels: int
    frames: int
    size_bytes: int
    sha256: bytes
    clear_bytes: int | None
    """Of encrypted audio: what it is in clear; so `clear_sha256`."""
    clear_sha256: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedGap:
    """A declared gap."""

    party: int
    start_s: float
    duration_s: float
    kind: str
    cause: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the recorder is with a recording."""

    state: RecordingState
    finalised_at: datetime | None
    awaits_seal: bool
    """A job is going to state what it is now."""
    under_way: bool
    """A session is open, or there is a job to finalise it, if only a dead one."""


@dataclass(frozen=True, slots=True)
class LatestManifest:
    """The manifest that the next one names as the one before it."""

    version: int
    store: str
    path: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRecording:
    """A recording as its manifest states it."""

    recording_id: UUID
    state: RecordingState
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    finalised_at: datetime | None
    """None while it has no result."""
    facts: Mapping[str, str | None]
    """By the names of `storage.files.layout.FACTS`."""
    parameters: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    gaps: tuple[StatedGap, ...]
    """By time."""
    ledger: list[dict[str, object]]
    """By party; the rows as they are."""
    segments: tuple[StatedSegment, ...]
    files: tuple[StatedFile, ...]
    latest: LatestManifest | None
    log: Anchor
    """Head of the audit log at that moment."""


def stated_recording(row: asyncpg.Record) -> StatedRecording:
    """Return the row of `to_state` with names for everything in it."""
    documents: dict[UUID, list[StatedDocument]] = {}
    for segment_id, *document in row["metadata"]:
        documents.setdefault(segment_id, []).append(StatedDocument(*document))
    return StatedRecording(
        recording_id=UUID(str(row["recording_id"])),
        state=RecordingState(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        duration_s=row["duration_s"],
        finalised_at=row["finalised_at"],
        facts=row["facts"],
        parameters=tuple((name, value) for name, value in row["parameters"]),
        warnings=(*row["warnings"], *row["render_warnings"]),
        gaps=tuple(StatedGap(**gap) for gap in row["gaps"]),
        ledger=row["ledger"],
        segments=tuple(_segment(segment, documents) for segment in row["segments"]),
        files=tuple(StatedFile(*file) for file in row["files"]),
        latest=None if row["latest"] is None else LatestManifest(*row["latest"]),
        log=Anchor(*row["log"]),
    )


def _segment(row: asyncpg.Record, documents: Mapping[UUID, list[StatedDocument]]) -> StatedSegment:
    (
        segment_id, ordinal, door, sip_call_id, opened_at, closed_at, end_cause, interrupted,
        writer, host, path, earlier, parties,
    ) = row  # fmt: skip
    return StatedSegment(
        segment_id=UUID(str(segment_id)),
        ordinal=ordinal,
        door=door,
        sip_call_id=sip_call_id,
        opened_at=opened_at,
        closed_at=closed_at,
        end_cause=end_cause,
        interrupted=interrupted,
        captures=(
            *(CaptureLocation(**one) for one in msgspec.json.decode(earlier)),
            CaptureLocation(writer=writer, host=host, path=path),
        ),
        parties=msgspec.json.decode(parties),
        documents=tuple(documents.get(segment_id, ())),
    )
