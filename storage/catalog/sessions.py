"""What the frontend writes: sessions, dialogs, their metadata and traces; every write carries the epoch of its lease.

Each is one statement, guarded by the epoch: a frontend that lost its lease changes nothing any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from storage.catalog import traces
from storage.catalog.connection import Database, LeaseLost
from storage.catalog.dialogs import DialogWrites, stream_rows
from storage.catalog.records import (
    FRONTEND_LEASE,
    CallFacts,
    ClosedSegment,
    DialogCheckpoint,
    MetadataRevision,
    OpenedSegment,
    OpeningMetadata,
    OpenSegmentRow,
    PeerCapability,
    SegmentClosing,
    SegmentOpening,
    SipMessageTrace,
    StoredDialog,
    StreamsChange,
)
from storage.catalog.text import key, optional_key, storable
from storage.errors import StaleEpoch, StorageMisused

DIALOGS_AT_ONCE: Final = 1000
"""Dialogs of one statement; some 2 MB."""


class SessionWrites:
    """The frontend's part of a catalog; use it through `Catalog`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialogs = DialogWrites(database)

    async def acquire_lease(self, name: str = FRONTEND_LEASE, holder: str = "") -> int:
        """Take the lease and return its new epoch; writes of the former holder are refused from here on.

        It waits until writes of the former holder that are under way have ended.
        """
        return int(await self._database.value("acquire_lease", name, storable(holder)))

    async def open_segment(self, opening: SegmentOpening) -> OpenedSegment:
        """Make a new session durable: recording, segment, streams, dialog snapshot, metadata. One round trip."""
        document = opening.metadata
        described = () if document is None else _document(document)
        row = await self._guarded(
            "open_segment_described" if described else "open_segment",
            opening.lease,
            opening.epoch,
            opening.segment_id,
            key(opening.record_identifier),
            opening.door.value,
            *_facts(opening.call),
            opening.parameters,
            opening.warnings,
            opening.opened_at,
            opening.writer,
            opening.host,
            opening.capture_path,
            key(opening.sip_call_id),
            storable(opening.local_tag),
            storable(opening.remote_tag),
            key(opening.dialog_id),
            opening.dialog_snapshot,
            opening.descriptor,
            stream_rows(opening.streams),
            *described,
        )
        return OpenedSegment(
            recording_id=UUID(str(row["recording_id"])),
            segment_id=opening.segment_id,
            ordinal=row["ordinal"],
            continued=row["ordinal"] > 1,
        )

    async def change_streams(self, change: StreamsChange) -> None:
        """Record what late metadata say about a segment."""
        row = await self._guarded(
            "change_streams",
            change.lease,
            change.epoch,
            change.segment_id,
            stream_rows(change.streams),
            *_facts(change.call),
            change.warnings,
        )
        if not row[0]:
            raise StorageMisused(f"segment {change.segment_id} does not exist")

    async def save_dialog(self, checkpoint: DialogCheckpoint) -> None:
        """Make a dialog snapshot durable before the message that needs it leaves.

        One that comes behind a later one, or behind the end of the dialog, changes it no more.
        """
        await self._dialogs.save(checkpoint)

    async def end_dialog(self, dialog_id: str, epoch: int, *, lease: str = FRONTEND_LEASE) -> None:
        """Mark a dialog as over; it is no longer restored. `close_segment` does this by itself."""
        await self._guarded("end_dialog", lease, epoch, key(dialog_id))

    async def load_dialogs(
        self, *, ended_within: timedelta | None = None, lease: str = FRONTEND_LEASE
    ) -> list[StoredDialog]:
        """Return the live dialogs, and those that ended within the given time (to absorb retransmissions).

        Oldest first. Obligation: be the holder of the lease, so that nobody writes meanwhile.
        """
        since = None if ended_within is None else datetime.now(UTC) - ended_within
        found: list[tuple[datetime, StoredDialog]] = []
        after = ""
        while True:
            # In pages: ten thousand at once take as long as a database that does not answer.
            page = await self._database.rows("load_dialogs", since, lease, after, DIALOGS_AT_ONCE)
            for row in page:
                fields = dict(row)
                opened_at = fields.pop("opened_at")
                fields["made"] = fields.pop("made_epoch"), fields.pop("made_number")
                ids = {name: UUID(str(row[name])) for name in ("segment_id", "recording_id")}
                found.append((opened_at, StoredDialog(**{**fields, **ids})))
            if len(page) < DIALOGS_AT_ONCE:
                break
            after = page[-1]["dialog_id"]
        found.sort(key=lambda one: (one[0], one[1].dialog_id))
        return [dialog for _, dialog in found]

    async def forget_dialogs(self, ended_before: datetime, epoch: int, *, lease: str = FRONTEND_LEASE) -> int:
        """Delete dialogs that ended before the given time; returns how many."""
        row = await self._guarded("forget_dialogs", lease, epoch, ended_before)
        return int(row[0])

    async def close_segment(self, closing: SegmentClosing) -> ClosedSegment:
        """Close a segment and its dialog; with the last open one, queue the finalise job in the same transaction."""
        row = await self._guarded(
            "close_segment",
            closing.lease,
            closing.epoch,
            closing.segment_id,
            closing.closed_at,
            storable(closing.cause),
            closing.interrupted,
            closing.dialog_snapshot,
            closing.warnings,
            closing.client_closed_at,
        )
        if row["recording_id"] is None:
            raise StorageMisused(f"segment {closing.segment_id} does not exist")
        return ClosedSegment(
            recording_id=UUID(str(row["recording_id"])), open_segments=row["open_segments"], changed=row["changed"]
        )

    async def mark_interrupted(
        self, segment_id: UUID, epoch: int, *, at: datetime, cause: str, lease: str = FRONTEND_LEASE
    ) -> ClosedSegment:
        """`close_segment` for a session that nobody ended: its process or its peer is gone."""
        return await self.close_segment(
            SegmentClosing(lease=lease, epoch=epoch, segment_id=segment_id, closed_at=at, cause=cause, interrupted=True)
        )

    async def open_segments(self, *, host: str | None = None, lease: str = FRONTEND_LEASE) -> list[OpenSegmentRow]:
        """Return the segments that nobody has closed, oldest first; of one host when given."""
        return [
            OpenSegmentRow(
                **{**row, "segment_id": UUID(str(row["segment_id"])), "recording_id": UUID(str(row["recording_id"]))}
            )
            for row in await self._database.rows("open_segments", host, lease)
        ]

    async def add_metadata(self, revision: MetadataRevision) -> None:
        """Keep a metadata document as it came (or its digest only)."""
        await self._guarded(
            "add_metadata",
            revision.lease,
            revision.epoch,
            revision.segment_id,
            revision.received_at,
            *_document(revision),
        )

    async def add_traces(
        self, messages: Sequence[tuple[UUID, SipMessageTrace]], epoch: int, *, lease: str = FRONTEND_LEASE
    ) -> set[UUID]:
        """Append SIP messages to the traces of several segments in one round trip.

        Not idempotent: a repeated call appends again, and readers tell each message once.
        Returns the segments that exist; the messages of others are not stored.
        """
        return await traces.add_traces(self._database, messages, lease=lease, epoch=epoch)

    async def learn_capability(self, capability: PeerCapability) -> None:
        """Keep what a client made of an offer of ours, unless something later is known."""
        await self._guarded(
            "learn_capability",
            capability.lease,
            capability.epoch,
            key(capability.peer),
            key(capability.product),
            capability.method,
            capability.outcome,
            capability.status,
            capability.learnt_at,
        )

    async def capabilities(self, *, since: datetime, limit: int = 10_000) -> list[PeerCapability]:
        """Return what was learnt of clients since then, latest first."""
        rows = await self._database.rows("peer_capabilities", since, limit)
        return [PeerCapability(**row) for row in rows]

    async def _guarded(self, name: str, lease: str, epoch: int, *arguments: Any) -> asyncpg.Record:
        """Run a write of a lease holder; its first two arguments are always lease and epoch."""
        try:
            return await self._database.row(name, lease, epoch, *arguments)
        except LeaseLost as error:
            raise StaleEpoch(lease, epoch) from error


def _facts(call: CallFacts) -> list[str | None]:
    """Return the call's facts in the order in which the SQL functions take them."""
    facts = (
        call.call_uuid,
        call.conn_id,
        call.ani,
        call.dnis,
        call.dn,
        call.other_dn,
        call.record_dn,
        call.agent_id,
        call.sips_app_name,
        call.tenant,
    )
    return [optional_key(fact) for fact in facts]


def _document(document: OpeningMetadata | MetadataRevision) -> tuple[str, bytes | None, bytes]:
    """Return content type, body and digest of a metadata document, as they are stored."""
    kept = document.body if document.keep_body else None
    return storable(document.content_type), kept, hashlib.sha256(document.body).digest()
