"""Queries for people: listings by filter, and everything about one recording."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database, translated
from storage.catalog.deletions import tombstone_of
from storage.catalog.holds import hold_of
from storage.catalog.records import (
    CLIENT_DATE,
    CaptureLocation,
    Door,
    GapKind,
    RecordedSegment,
    RecordedStream,
    RecordingSegments,
    RecordingState,
    Role,
    SegmentState,
)
from storage.catalog.redactions import redaction_of
from storage.catalog.search import search
from storage.catalog.text import key
from storage.catalog.views import (
    Ambiguous,
    Annotation,
    FileView,
    GapView,
    RecordingDetail,
    RecordingFilter,
    RecordingSummary,
    SegmentView,
    StreamView,
)

_ID_PREFIX: Final = re.compile(r"[0-9a-fA-F-]{4,36}")


async def list_recordings(database: Database, wanted: RecordingFilter) -> list[RecordingSummary]:
    """Return one page, newest first."""
    return [_summary(row) for row in await search(database, wanted)]


async def find_recording(database: Database, reference: str | UUID) -> UUID | Ambiguous | None:
    """Resolve an id, a record identifier, or the unique beginning of an id; identifiers win over shortened ids."""
    if isinstance(reference, UUID):
        return reference
    if (found := await database.optional_row("find_by_identifier", key(reference))) is not None:
        return UUID(str(found["id"]))
    digits = reference.replace("-", "").lower()
    if not _ID_PREFIX.fullmatch(reference) or len(digits) > 32:
        return None
    rows = await database.rows("find_by_id_range", UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))
    if len(rows) > 1:
        return Ambiguous(prefix=reference, candidates=tuple(UUID(str(row["id"])) for row in rows))
    return UUID(str(rows[0]["id"])) if rows else None


async def get_recording(database: Database, reference: str | UUID) -> RecordingDetail | Ambiguous | None:
    """Return everything about one recording, seen at one moment."""
    found = await find_recording(database, reference)
    if not isinstance(found, UUID):
        return found
    statements = database.statements
    statement = statements["list_recordings"]
    for mark, text in (("placed", "true"), ("conditions", "r.id = $1"), ("limit", "1")):
        statement = statement.replace(f"/* {mark} */", text)
    with translated():
        async with (
            database.connections.lent() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(statement, found)
            if row is None:
                return None
            segments = await connection.fetch(statements["segments_of"], found)
            files = await connection.fetch(statements["files_of"], found)
            holds = await connection.fetch(statements["holds_of"], [found])
            redactions = await connection.fetch(statements["redactions_of"], found)
            tombstone = await connection.fetchrow(statements["tombstone_of"], found)
            annotations = await connection.fetch(statements["annotations_of"], found)
    return RecordingDetail(
        summary=_summary(row),
        parameters=tuple((name, value) for name, value in row["parameters"]),
        warnings=(*row["warnings"], *row["render_warnings"]),
        segments=tuple(_segment(segment) for segment in segments),
        files=tuple(FileView(**dict(file)) for file in files),
        annotations=tuple(Annotation(**dict(one)) for one in annotations),
        holds=tuple(hold_of(row) for row in holds),
        captures_kept=row["captures"] == "kept",
        redactions=tuple(redaction_of(row) for row in redactions),
        tombstone=tombstone_of(tombstone) if tombstone else None,
    )


async def recording_segments(database: Database, recording_id: UUID) -> RecordingSegments | None:
    """Return what the rendering of a recording starts from."""
    rows = await database.rows("recording_segments", recording_id)
    if not rows:
        return None
    return RecordingSegments(
        recording_id=UUID(str(rows[0]["recording_id"])),
        record_identifier=rows[0]["record_identifier"],
        state=RecordingState(rows[0]["recording_state"]),
        started_at=rows[0]["started_at"],
        facts=rows[0]["facts"],
        segments=tuple(
            RecordedSegment(
                segment_id=UUID(str(row["segment_id"])),
                ordinal=row["ordinal"],
                state=SegmentState(row["state"]),
                interrupted=row["interrupted"],
                captures=_captures(row),
                opened_at=row["opened_at"],
                closed_at=row["closed_at"],
                end_cause=row["end_cause"],
                streams=tuple(RecordedStream(**stream) for stream in row["streams"]),
            )
            for row in rows
        ),
    )


def _summary(row: asyncpg.Record) -> RecordingSummary:
    return RecordingSummary(
        recording_id=UUID(str(row["id"])),
        record_identifier=row["record_identifier"],
        door=Door(row["door"]),
        state=RecordingState(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        duration_s=row["duration_s"],
        call_uuid=row["call_uuid"],
        conn_id=row["conn_id"],
        ani=row["ani"],
        dnis=row["dnis"],
        dn=row["dn"],
        other_dn=row["other_dn"],
        record_dn=row["record_dn"],
        agent_id=row["agent_id"],
        sips_app_name=row["sips_app_name"],
        tenant=row["tenant"],
        sip_call_ids=tuple(row["sip_call_ids"] or ()),
        gaps=tuple(_gap(gap) for gap in row["gaps"]),
        role=Role(row["role"]),
        master_id=None if row["master_id"] is None else UUID(str(row["master_id"])),
    )


def _gap(gap: Mapping[str, Any]) -> GapView:
    return GapView(
        party=gap["party"],
        start_s=float(gap["start_s"]),
        duration_s=float(gap["duration_s"]),
        kind=GapKind(gap["kind"]),
        cause=gap["cause"],
        segment_id=UUID(gap["segment_id"]) if gap["segment_id"] else None,
    )


def _segment(row: asyncpg.Record) -> SegmentView:
    return SegmentView(
        segment_id=UUID(str(row["id"])),
        ordinal=row["ordinal"],
        state=SegmentState(row["state"]),
        interrupted=row["interrupted"],
        door=Door(row["door"]),
        writer=row["writer"],
        host=row["host"],
        captures=_captures(row),
        sip_call_id=row["sip_call_id"],
        dialog_id=row["dialog_id"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        client_opened_at=_client_opened_at(row["parameters"]),
        client_closed_at=row["client_closed_at"],
        end_cause=row["end_cause"],
        descriptor=row["descriptor"],
        streams=tuple(StreamView(**stream) for stream in row["streams"]),
    )


def _client_opened_at(parameters: Sequence[Sequence[str]]) -> datetime | None:
    """Return the client's time of sending among what came with a session."""
    for name, value in reversed(parameters):
        if name == CLIENT_DATE:
            with suppress(ValueError, OverflowError):  # a header field that a profile keeps
                return datetime.fromisoformat(value).astimezone(UTC)
    return None


def _captures(row: asyncpg.Record) -> tuple[CaptureLocation, ...]:
    present = CaptureLocation(writer=row["writer"], host=row["host"], path=row["capture_path"])
    return (*(CaptureLocation(**earlier) for earlier in row["earlier_captures"]), present)
