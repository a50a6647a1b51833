"""Sample values for the tests of the catalog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec

from storage.catalog import Catalog
from storage.catalog.records import (
    CallFacts,
    Door,
    GapKind,
    RecordingState,
    RenderedFile,
    RenderedGap,
    RenderedRecording,
    RenderedStream,
    SegmentClosing,
    SegmentOpening,
    StreamOpening,
)
from storage.catalog.views import RecordingDetail

START = datetime(2026, 11, 22, 9, 30, 0, tzinfo=UTC)


def opening(
    identifier: str = "CALL0001_2026-11-22_09-30-00", *, epoch: int = 1, at: datetime = START
) -> SegmentOpening:
    """A two-party MSR session, with ids of its own; vary it with `msgspec.structs.replace`."""
    segment = uuid4()
    return SegmentOpening(
        epoch=epoch,
        segment_id=segment,
        record_identifier=identifier,
        door=Door.MSR,
        call=CallFacts(
            call_uuid=identifier.partition("_")[0],
            conn_id="00aa00aa00aa00aa",
            ani="5550199",
            dnis="5550100",
            dn="5550100",
            other_dn="5550111",
            sips_app_name="SIP_Switch",
        ),
        parameters=(("calluuid", identifier.partition("_")[0]), ("gvp-tenant-id", "[Environment].record")),
        opened_at=at,
        writer="writer-1",
        host="host-a",
        capture_path=f"captures/{segment.hex}.tcap",
        sip_call_id=f"{segment.hex}@192.0.2.20",
        local_tag=f"srs-a-e{epoch}-{segment.hex[:8]}",
        remote_tag="000001",
        dialog_id=f"dialog-{segment.hex}",
        dialog_snapshot=b"\x00snapshot" * 400,
        descriptor={"request_uri": f"sip:record={identifier}@192.0.2.40:5060"},
        streams=(
            StreamOpening(index=0, party=0, label="1", payload_types={"0": {"name": "PCMU", "clock_rate": 8000}}),
            StreamOpening(index=1, party=1, label="2", participant={"aor": "sip:5550111@192.0.2.7"}),
        ),
    )


def closing(opened: SegmentOpening, *, after_s: float = 60.0, interrupted: bool = False) -> SegmentClosing:
    """The end of a session."""
    return SegmentClosing(
        epoch=opened.epoch,
        segment_id=opened.segment_id,
        closed_at=opened.opened_at + timedelta(seconds=after_s),
        cause="bye",
        interrupted=interrupted,
    )


def rendered(recording_id: UUID, *segments: SegmentOpening, digest: bytes = b"\x01" * 32) -> RenderedRecording:
    """A complete stereo master of the given segments, with one lost interval."""
    return RenderedRecording(
        recording_id=recording_id,
        segment_ids=tuple(segment.segment_id for segment in segments),
        state=RecordingState.COMPLETE,
        started_at=segments[0].opened_at + timedelta(milliseconds=40),
        duration_s=59.5,
        files=(
            RenderedFile(
                kind="master",
                store="local",
                path=f"2026/11/22/{recording_id}_{digest.hex()[:12]}.wav",
                format="wav-mulaw",
                sample_rate=8000,
                channels=2,
                frames=476_000,
                size_bytes=952_058,
                sha256=digest,
            ),
        ),
        gaps=(
            RenderedGap(
                party=1,
                start_s=3.5,
                duration_s=0.04,
                kind=GapKind.LOST,
                cause="network",
                segment_id=segments[0].segment_id,
            ),
        ),
        streams=(
            RenderedStream(
                segment_id=segments[0].segment_id,
                index=1,
                quality={"packets": 2973, "lost": 2},
                party=1,
                segment_ids=tuple(one.segment_id for one in segments),
            ),
        ),
        warnings=("stream 1 began 0.3 s late",),
    )


def with_facts(sample: SegmentOpening, **facts: str | None) -> SegmentOpening:
    """The sample with other call facts."""
    return msgspec.structs.replace(sample, call=msgspec.structs.replace(sample.call, **facts))


async def rows(dsn: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Return what a statement of a test finds."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


async def detail(catalog: Catalog, recording: UUID) -> RecordingDetail:
    """Return everything that the catalog shows of a recording."""
    found = await catalog.get_recording(recording)
    assert isinstance(found, RecordingDetail)
    return found
