"""Captures as the catalog knows them, and how one that is found on a disk comes (back) into it. Reads no capture."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from storage.catalog.connection import Database
from storage.catalog.records import RecordingState, SegmentState
from storage.catalog.text import key, storable, storable_json


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCapture:
    """A capture that a session names."""

    host: str
    path: str
    writer: str
    segment_id: UUID
    ordinal: int
    """Of the session in its recording."""
    segment_state: SegmentState
    recording_id: UUID
    record_identifier: str
    recording_state: RecordingState
    captures_state: str
    """kept or erasing."""
    opened_at: datetime


class CaptureFate(enum.StrEnum):
    """What becomes of a capture that is found."""

    KNOWN = "known"
    """The catalog has it under this host and path: nothing is to be done."""
    MOVED = "moved"
    """Of a known session, under another host or path; the session follows it."""
    JOINED = "joined"
    """Of a known session that did not know this capture."""
    NEW_SESSION = "new-session"
    """Of a session that the catalog did not know, of a recording that it does."""
    NEW_RECORDING = "new-recording"
    ERASED = "erased"
    """Of a recording whose captures were erased, or that is deleted: it stays out."""
    SEALED = "sealed"
    """Its recording takes nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCapture:
    """A capture on a disk, as its SESSION block describes itself."""

    path: str
    """Where the recorder has it, or will have it."""
    writer: str
    opened_at: datetime
    closed_at: datetime
    """Of the last block that may be trusted."""
    session: UUID
    record_identifier: str
    door: str
    sip_call_id: str
    call: Mapping[str, str]
    parameters: tuple[tuple[str, str], ...]
    streams: tuple[Mapping[str, Any], ...]
    """As of `StreamOpening`, by m-line."""

    @property
    def name(self) -> str:
        """File name; it never changes, wherever the file goes."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureTaking:
    """Answer to `find` and `take`."""

    fate: CaptureFate
    recording_id: UUID | None


class Captures:
    """The captures of one catalog; use it as `Catalog.captures`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, *, host: str | None = None) -> list[KnownCapture]:
        """Return the captures that are not erased, oldest first; of one host when given."""
        return [
            KnownCapture(
                **{
                    **row,
                    "segment_id": UUID(str(row["segment_id"])),
                    "recording_id": UUID(str(row["recording_id"])),
                    "segment_state": SegmentState(row["segment_state"]),
                    "recording_state": RecordingState(row["recording_state"]),
                }
            )
            for row in await self._database.rows("captures", host)
        ]

    async def find(self, found: FoundCapture, *, host: str) -> CaptureTaking:
        """Say what would become of a capture; changes nothing."""
        row = await self._database.row(
            "find_capture",
            *(found.name, host, found.path, key(found.record_identifier), key(found.sip_call_id), found.opened_at),
        )
        return _taking(row)

    async def take(self, found: FoundCapture, *, host: str, by: str) -> CaptureTaking:
        """Take a capture that is durable under its path on this host; a second time it is `known`.

        An open session whose last capture it is ends as interrupted. The recording is queued for finalising once none
        of its sessions is open.
        """
        session = {
            "session": str(found.session),
            "record_identifier": key(found.record_identifier),
            "door": found.door,
            "sip_call_id": key(found.sip_call_id),
            "call": {name: key(value) for name, value in found.call.items()},
            "parameters": storable_json(found.parameters),
            "streams": storable_json(found.streams),
        }
        row = await self._database.row(
            "take_capture",
            *(found.name, host, found.path, storable(found.writer), found.opened_at, found.closed_at, session),
            storable(by),
        )
        return _taking(row)


def _taking(row: Any) -> CaptureTaking:
    recording_id = row["recording_id"]
    return CaptureTaking(fate=CaptureFate(row["fate"]), recording_id=UUID(str(recording_id)) if recording_id else None)
