"""Recordings of other sites in the catalog: taking them in. Their form on the way is in docs/bundle.md."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from storage.catalog.connection import Database
from storage.catalog.ledger import PartyLedger
from storage.catalog.records import CallFacts, Door, RecordingState, RenderedFile, RenderedGap
from storage.catalog.text import key, optional_key, storable


class ImportOutcome(enum.StrEnum):
    """What became of an import."""

    IMPORTED = "imported"
    UNCHANGED = "unchanged"
    """It is here already, the same version."""
    REPLACED = "replaced"
    """It went on at its own site since: the longer version took the place of the former one."""
    OWN = "own"
    """It was recorded here; left alone."""
    DELETED = "deleted"
    """It was deleted here on purpose; left so."""
    REDACTED = "redacted"
    """A stretch of it was silenced here, and this other version has it; left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRecording:
    """A finished recording of another site; its file is published here."""

    recording_id: UUID
    """The one that it has there."""
    origin: str
    """Node that exported it."""
    record_identifier: str
    door: Door
    state: RecordingState
    """complete or interrupted."""
    call: CallFacts
    parameters: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    version: bytes
    """SHA-256 of the audio as it travelled; 32 bytes."""
    file: RenderedFile
    gaps: tuple[RenderedGap, ...]
    ledger: tuple[PartyLedger, ...]


class Imports:
    """Recordings of other sites in one catalog; use it as `Catalog.imports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, recording: ImportedRecording, *, by: str) -> ImportOutcome:
        """Take a recording in, with its audit entry. Idempotent: it keeps the id that it has at its own site."""
        facts: Mapping[str, object] = {
            "record_identifier": key(recording.record_identifier),
            "door": recording.door.value,
            "state": recording.state.value,
            **{name: optional_key(value) for name, value in msgspec.structs.asdict(recording.call).items()},
            "parameters": recording.parameters,
            "warnings": recording.warnings,
            "started_at": recording.started_at,
            "ended_at": recording.ended_at,
            "duration_s": recording.duration_s,
        }
        outcome = await self._database.value(
            "import_recording",
            recording.recording_id,
            facts,
            {**dataclasses.asdict(recording.file), "sha256": recording.file.sha256.hex()},
            [dataclasses.asdict(gap) for gap in recording.gaps],
            [party.stored() for party in recording.ledger],
            recording.version,
            storable(recording.origin),
            storable(by),
        )
        return ImportOutcome(outcome)
