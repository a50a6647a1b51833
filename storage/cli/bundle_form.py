"""What a recording bundle says about its recording: the typed form of `recording.json`, made and read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from storage.catalog.copy_records import FinishedAudio
from storage.catalog.imports import ImportedRecording
from storage.catalog.ledger import RECEIVED, LedgerInterval, LedgerKind, PartyLedger, account
from storage.catalog.records import CallFacts, Door, GapKind, RecordingState, RenderedFile, RenderedGap
from storage.catalog.views import FileView, RecordingDetail
from storage.cli.audio_source import AudioSource
from storage.errors import IntegrityBroken, StorageMisused
from storage.files import PublishedFile


class _Audio(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    suffix: str
    sample_rate: int
    channels: int
    frames: int
    size_bytes: int
    sha256: str


class _Gap(msgspec.Struct, frozen=True, kw_only=True):
    party: int
    start_s: float
    duration_s: float
    kind: GapKind
    cause: str


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """`recording.json`, checked."""

    origin: str
    """Node that recorded it."""
    id: UUID
    record_identifier: str
    door: Door
    state: RecordingState
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    call: CallFacts
    parameters: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    audio: _Audio
    recorded: tuple[tuple[int, int, int], ...]
    """Party, first frame, frame after the last: where audio was received."""
    gaps: tuple[_Gap, ...]


def describe(
    recording: RecordingDetail, source: AudioSource, file: FileView, audio: FinishedAudio, *, origin: str
) -> Mapping[str, Any]:
    """Return the description of a finished recording and its audio in clear."""
    summary = recording.summary
    described = Described(
        origin=origin,
        id=summary.recording_id,
        record_identifier=summary.record_identifier,
        door=summary.door,
        state=summary.state,
        started_at=summary.started_at,
        ended_at=summary.ended_at,
        duration_s=summary.duration_s or 0.0,
        call=CallFacts(**{name: getattr(summary, name) for name in CallFacts.__struct_fields__}),
        parameters=recording.parameters,
        warnings=recording.warnings,
        audio=_Audio(
            format=file.format,
            suffix=Path(source.file_name).suffix,
            sample_rate=file.sample_rate,
            channels=file.channels,
            frames=file.frames,
            size_bytes=source.size_bytes,
            sha256=source.sha256.hex(),
        ),
        recorded=tuple((party, start, end) for party, spans in audio.recorded.items() for start, end in spans),
        gaps=tuple(
            _Gap(party=gap.party, start_s=gap.start_s, duration_s=gap.duration_s, kind=gap.kind, cause=gap.cause)
            for gap in audio.gaps
        ),
    )
    found: Mapping[str, Any] = msgspec.to_builtins(described)
    return found


def read_description(path: Path, description: Mapping[str, Any]) -> Described:
    """Check a description.

    Errors: `IntegrityBroken` when a field is missing or of another kind.
    """
    try:
        return msgspec.convert(description, Described)
    except msgspec.ValidationError as error:
        raise IntegrityBroken(f"{path}: its description is damaged: {error}") from error


def imported(path: Path, described: Described, published: PublishedFile) -> ImportedRecording:
    """Return what the catalog is told.

    Errors: `IntegrityBroken` for a description that contradicts itself.
    """
    try:
        ledger = tuple(_ledger(described, party) for party in range(described.audio.channels))
    except StorageMisused as error:
        raise IntegrityBroken(f"{path}: its description contradicts itself: {error}") from error
    return ImportedRecording(
        recording_id=described.id,
        origin=described.origin,
        record_identifier=described.record_identifier,
        door=described.door,
        state=described.state,
        call=described.call,
        parameters=described.parameters,
        warnings=described.warnings,
        started_at=described.started_at,
        ended_at=described.ended_at,
        duration_s=described.duration_s,
        version=bytes.fromhex(described.audio.sha256),
        file=RenderedFile(
            kind="master",
            store=published.store,
            path=published.path,
            format=described.audio.format,
            sample_rate=described.audio.sample_rate,
            channels=described.audio.channels,
            frames=described.audio.frames,
            size_bytes=published.size_bytes,
            sha256=published.sha256,
        ),
        gaps=tuple(
            RenderedGap(party=gap.party, start_s=gap.start_s, duration_s=gap.duration_s, kind=gap.kind, cause=gap.cause)
            for gap in described.gaps
        ),
        ledger=ledger,
    )


def _ledger(described: Described, party: int) -> PartyLedger:
    rate = described.audio.sample_rate
    source = f"import {described.origin}"
    received = [
        LedgerInterval(start, end, LedgerKind.RECORDED, RECEIVED, source)
        for number, start, end in described.recorded
        if number == party
    ]
    missing = [
        LedgerInterval(
            round(gap.start_s * rate),
            round((gap.start_s + gap.duration_s) * rate),
            LedgerKind(gap.kind.value),
            gap.cause,
            source,
        )
        for gap in described.gaps
        if gap.party == party
    ]
    return account(party, rate, described.audio.frames, [*received, *missing])
