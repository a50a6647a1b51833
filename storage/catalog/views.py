"""What the catalog's queries return, and the filter they take: plain frozen values.

`as_json` methods give the documented form of `recorder-admin ... --json`; times there are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from storage.catalog.deletions import Tombstone
from storage.catalog.holds import Hold
from storage.catalog.records import CaptureLocation, Door, GapKind, RecordingState, Role, SegmentState
from storage.catalog.redactions import Redaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFilter:
    """Which recordings to list; conditions that are None do not apply, the others all must hold."""

    started_from: datetime | None = None
    """Inclusive."""
    started_to: datetime | None = None
    """Exclusive."""
    record_identifier: str | None = None
    """Exact; with a trailing `*`, everything that begins so."""
    call_uuid: str | None = None
    dn: str | None = None
    """Of either party or of a participant. This and the other terms below may end in `*`: a beginning."""
    ani: str | None = None
    dnis: str | None = None
    agent: str | None = None
    participant: str | None = None
    """Name, address of record or DN of anybody whom the metadata named."""
    where: tuple[tuple[str, str], ...] = ()
    """Further (name, value) pairs: any parameter as received, any annotation, any term of docs/catalog.md."""
    shorter_s: float | None = None
    """Rendered length below so many seconds."""
    longer_s: float | None = None
    """Rendered length of at least so many seconds."""
    lost_more_s: float | None = None
    """Lost audio of all parties together above so many seconds."""
    state: RecordingState | None = None
    door: Door | None = None
    copies: bool = False
    """Also copies that another recording stands for, and withdrawn masters; a record identifier finds them anyway."""
    limit: int = 100
    after: tuple[datetime, UUID] | None = None
    """Key of the last row of the previous page (`RecordingSummary.key`); newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapView:
    """A declared gap."""

    party: int
    start_s: float
    duration_s: float
    kind: GapKind
    cause: str
    segment_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """A stream of a segment."""

    index: int
    party: int
    label: str
    media: str
    participant: Mapping[str, object] | None
    payload_types: Mapping[str, object] | None
    quality: Mapping[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment of a recording."""

    segment_id: UUID
    ordinal: int
    state: SegmentState
    interrupted: bool
    door: Door
    writer: str
    host: str
    captures: tuple[CaptureLocation, ...]
    sip_call_id: str
    dialog_id: str
    opened_at: datetime
    closed_at: datetime | None
    client_opened_at: datetime | None
    """When the client sent its INVITE, by its own clock; None if it did not say."""
    client_closed_at: datetime | None
    """When the client sent its BYE, by its own clock; None if it did not say."""
    end_cause: str | None
    descriptor: Mapping[str, object]
    streams: tuple[StreamView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A published file."""

    kind: str
    store: str
    path: str
    format: str
    sample_rate: int
    channels: int
    frames: int
    size_bytes: int
    sha256: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSummary:
    """One row of a listing."""

    recording_id: UUID
    record_identifier: str
    door: Door
    state: RecordingState
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    """Seconds of the rendered timeline; None until finalised."""
    call_uuid: str | None
    conn_id: str | None
    ani: str | None
    dnis: str | None
    dn: str | None
    other_dn: str | None
    record_dn: str | None
    agent_id: str | None
    sips_app_name: str | None
    tenant: str | None
    sip_call_ids: tuple[str, ...]
    gaps: tuple[GapView, ...]
    role: Role = Role.RECORDING
    master_id: UUID | None = None
    """What stands for a copy."""

    @property
    def key(self) -> tuple[datetime, UUID]:
        """Place in the listing, for `RecordingFilter.after`."""
        return self.started_at, self.recording_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Something that a person or another system added to a recording."""

    name: str
    value: str
    reason: str
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingDetail:
    """Everything the catalog knows about one recording."""

    summary: RecordingSummary
    parameters: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    segments: tuple[SegmentView, ...]
    files: tuple[FileView, ...]
    annotations: tuple[Annotation, ...] = ()
    """In the order in which they were added."""
    holds: tuple[Hold, ...] = ()
    """All that were ever placed on it, released ones included."""
    captures_kept: bool = True
    """False: its captures are erased, or will be; it cannot be rendered again and takes no further session."""
    redactions: tuple[Redaction, ...] = ()
    """Everything that was silenced in it afterwards."""
    tombstone: Tombstone | None = None
    """Of a recording that is deleted, or being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job that waits, runs or is dead; finished jobs are gone."""

    job_id: int
    kind: str
    payload: Mapping[str, object]
    state: str
    """queued, running or dead."""
    attempts: int
    max_attempts: int
    run_after: datetime
    locked_by: str | None
    locked_until: datetime | None
    last_error: str | None
    created_at: datetime
    claimed_at: datetime | None
    """When a worker took it last."""
    age_s: float
    """Since it was queued first, seconds, by the clock of the database."""
    running_s: float | None
    """Since it was claimed; None unless it runs."""
    due_in_s: float | None
    """Until it may be claimed, 0 when it may; None unless it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a site does now; ages in seconds by the clock of the database."""

    open_segments: int
    """Sessions that are being recorded."""
    queued: int
    due: int
    """Of the queued jobs, those whose time has come."""
    running: int
    dead: int
    """Jobs that nobody tries again before a person says so."""
    oldest_due_s: float | None
    """How long the job that is due longest waits; None when none is due."""
    longest_running_s: float | None
    holder: str | None
    """Of the lease that was asked for; None before its first acquisition."""
    epoch: int | None
    acquired_at: datetime | None
    """Of the last takeover."""
    held_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedMessage:
    """A SIP message of a segment's dialog."""

    segment_id: UUID
    ordinal: int
    """Of the segment."""
    sip_call_id: str
    at: datetime
    inbound: bool
    """True when the client sent it."""
    flow: str
    """Transport, our address, the client's."""
    message: bytes
    """As it was on the wire, secrets masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataView:
    """A metadata document as it came."""

    ordinal: int
    """Of its segment."""
    received_at: datetime
    content_type: str
    body: bytes | None
    """None where policy kept its digest only."""
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """A shortened id fits more than one recording."""

    prefix: str
    candidates: tuple[UUID, ...]


def iso_utc(at: datetime | None) -> str | None:
    """Write a time as ISO 8601 in UTC with milliseconds and a `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
