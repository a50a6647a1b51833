"""What callers hand to the catalog and get back from its writes: plain frozen values, no SQL.

Times are timezone-aware datetimes, durations seconds, parties channel numbers (0 is left). Text may come from the
network: the catalog stores any str, escaping what PostgreSQL cannot hold (see `storage.catalog.text`).
What queries return is in `storage.catalog.views`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from storage.catalog.ledger import PartyLedger

FRONTEND_LEASE: Final = "frontend"
"""Name of the lease of the active signalling frontend."""

CLIENT_DATE: Final = "Date"
"""Name of the parameter that says when the client opened a session, by its own clock; ISO 8601."""

FINALISE: Final = "finalise"
"""Job kind: turn the captures of one recording into its master file; dedupe key is the recording id."""

MANIFEST: Final = "manifest"
"""Job kind: state and sign what a recording is; dedupe key is the recording id."""

UPLOAD: Final = "upload"
"""Job kind: bring the files of a recording to the object store; dedupe key is the recording id."""

HOLD_OBJECTS: Final = "hold-objects"
"""Job kind: give objects the legal hold that the catalog has; dedupe key is the recording id."""

DISCARD: Final = "discard"
"""Job kind: remove a file that nothing claims; dedupe key is store:path."""


class Door(enum.StrEnum):
    """How the recording session came in."""

    MSR = "msr"
    SIPREC = "siprec"
    SIP = "sip"


class RecordingState(enum.StrEnum):
    """Life of a recording; every change is guarded in SQL."""

    RECORDING = "recording"
    """At least one segment is open."""
    FINALISING = "finalising"
    """No segment is open; the curator has, or will get, the job."""
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    """Finalised, but a segment ended without a BYE (crash, lost peer)."""
    NO_MEDIA = "no-media"
    """Finalised without a single sample; there is no file."""
    FAILED = "failed"
    """The finalise job is in the dead letter list; captures are kept."""
    DELETING = "deleting"
    """Its deletion is decided and cannot be taken back; files and captures are being erased."""
    DELETED = "deleted"
    """A tombstone: nothing of it is left but who deleted it, when and why, and what it was."""


class Role(enum.StrEnum):
    """What a row of the recordings is to people."""

    RECORDING = "recording"
    """The recording of its call."""
    COPY = "copy"
    """Another recording stands for it; lists leave it out."""
    MASTER = "master"
    """Healed from copies: the recording of its call."""
    WITHDRAWN = "withdrawn"
    """A master whose copies were separated again, or that another master took the place of; lists leave it out."""


class SegmentState(enum.StrEnum):
    """Life of a segment: one recording session, one capture file."""

    OPEN = "open"
    CLOSED = "closed"
    INTERRUPTED = "interrupted"
    FINALISED = "finalised"
    DELETED = "deleted"
    """Only its times are left."""


class GapKind(enum.StrEnum):
    """What a party's timeline holds instead of audio."""

    LOST = "lost"
    SILENT = "silent"
    PAUSED = "paused"


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """What callers write: made for every call, and plain structs for that.

    Octets are left out of its text form: they hold keys, and what people say.
    """

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, value) for name, value in fields if not isinstance(value, bytes)]


class CallFacts(Value, frozen=True, kw_only=True):
    """What the door learnt about the call; None is "not said"."""

    call_uuid: str | None = None
    conn_id: str | None = None
    ani: str | None = None
    dnis: str | None = None
    dn: str | None = None
    other_dn: str | None = None
    record_dn: str | None = None
    agent_id: str | None = None
    sips_app_name: str | None = None
    tenant: str | None = None


class StreamOpening(Value, frozen=True, kw_only=True):
    """One m-line of the session's SDP."""

    index: int
    """m-line position, from 0."""
    party: int
    """Output channel; 0 is left."""
    label: str = ""
    media: str = "audio"
    participant: Mapping[str, object] | None = None
    """Who speaks, as far as known: aor, name, participant_id, role."""
    payload_types: Mapping[str, object] | None = None
    """Payload type number (as text) to codec facts, as negotiated."""
    descriptor: Mapping[str, object] | None = None
    """Addresses, ports, direction: anything else worth keeping."""


class OpeningMetadata(Value, frozen=True, kw_only=True):
    """A metadata document as it came; by policy only its digest is kept."""

    content_type: str
    body: bytes
    keep_body: bool = True


class SegmentOpening(Value, frozen=True, kw_only=True):
    """A recording session that is about to be answered 200: everything that must be durable before."""

    epoch: int
    lease: str = FRONTEND_LEASE
    segment_id: UUID
    """Chosen by the caller; repeating the call with the same id changes nothing and returns the same answer."""
    record_identifier: str
    door: Door
    call: CallFacts
    parameters: tuple[tuple[str, str], ...] = ()
    """Request-URI parameters (or their SIPREC counterpart) as received, in order."""
    warnings: tuple[str, ...] = ()
    opened_at: datetime
    writer: str
    host: str
    capture_path: str
    sip_call_id: str
    local_tag: str
    remote_tag: str
    dialog_id: str
    dialog_snapshot: bytes
    descriptor: Mapping[str, object]
    streams: tuple[StreamOpening, ...]
    metadata: OpeningMetadata | None = None
    """The first metadata document of the session, received when it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSegment:
    """Answer to `SegmentOpening`."""

    recording_id: UUID
    segment_id: UUID
    ordinal: int
    """From 1, in the order of opening."""
    continued: bool
    """True when the record identifier was already known."""


class DialogCheckpoint(Value, frozen=True, kw_only=True):
    """The dialog as it will be once the message that needs this checkpoint has been sent."""

    epoch: int
    lease: str = FRONTEND_LEASE
    dialog_id: str
    segment_id: UUID
    writer: str
    snapshot: bytes
    made: tuple[int, int] = (0, 0)
    """Epoch of its maker, and its number among all that he makes: of two of one dialog the greater is the later one.
    Whoever brings it into the catalog later does so under an epoch of his own."""
    host: str | None = None
    """New host when the segment moved; None leaves it."""
    capture_path: str | None = None
    """New capture when the segment moved; the former one is remembered. None leaves it."""
    streams: tuple[StreamOpening, ...] | None = None
    """The streams as they are from now on (re-INVITE, UPDATE); None leaves them."""


class StreamsChange(Value, frozen=True, kw_only=True):
    """What late metadata say about an open segment: its streams as they are from now on, and the call."""

    epoch: int
    lease: str = FRONTEND_LEASE
    segment_id: UUID
    streams: tuple[StreamOpening, ...]
    call: CallFacts = CallFacts()
    """Facts that were not known at the start; they fill what is empty and never overwrite."""
    warnings: tuple[str, ...] = ()


class SegmentClosing(Value, frozen=True, kw_only=True):
    """The session has ended; the capture is durable up to its end."""

    epoch: int
    lease: str = FRONTEND_LEASE
    segment_id: UUID
    closed_at: datetime
    cause: str
    """bye, session-expired, shutdown, crash, ..."""
    interrupted: bool = False
    """True when nobody said goodbye: the recording will be `interrupted` rather than `complete`."""
    dialog_snapshot: bytes | None = None
    """Dialog with its last response, to absorb retransmissions after a takeover; None keeps the stored one."""
    warnings: tuple[str, ...] = ()
    client_closed_at: datetime | None = None
    """By the client's clock; None if it did not say."""


class PeerCapability(Value, frozen=True, kw_only=True):
    """What a recording client made of an offer of ours; of each client, software and method the latest is kept."""

    epoch: int = 0
    """Not stored; 0 in what is read."""
    lease: str = FRONTEND_LEASE
    peer: str
    """Address that its sessions come from."""
    product: str
    """Its User-Agent; empty if it names none."""
    method: str
    """INVITE or UPDATE."""
    outcome: str
    """answered, refused or ignored."""
    status: int | None
    """Of its response, if there was one."""
    learnt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSegment:
    """Answer to `SegmentClosing`."""

    recording_id: UUID
    open_segments: int
    """Segments of the recording that are still open; at 0 its finalise job is in the queue."""
    changed: bool
    """False when the segment was closed before: nothing was done."""


class StoredDialog(Value, frozen=True, kw_only=True):
    """A dialog to restore after a takeover."""

    dialog_id: str
    epoch: int
    """Epoch of the last writer of this row."""
    writer: str
    segment_id: UUID
    recording_id: UUID
    record_identifier: str
    snapshot: bytes
    made: tuple[int, int]
    """Of the snapshot; see `DialogCheckpoint`."""
    updated_at: datetime
    ended_at: datetime | None
    """Set when the dialog is over and kept only to answer retransmissions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSegmentRow:
    """A segment that nobody has closed."""

    segment_id: UUID
    recording_id: UUID
    record_identifier: str
    host: str
    writer: str
    capture_path: str
    dialog_id: str
    opened_at: datetime


class MetadataRevision(Value, frozen=True, kw_only=True):
    """One metadata document as it came, or only its digest where policy forbids to keep it."""

    epoch: int
    lease: str = FRONTEND_LEASE
    segment_id: UUID
    received_at: datetime
    content_type: str
    body: bytes
    keep_body: bool = True


class SipMessageTrace(Value, frozen=True, kw_only=True):
    """One SIP message of a segment's dialog, byte for byte."""

    at: datetime
    inbound: bool
    flow: str
    """For people: transport, local and remote address."""
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that this worker holds until `locked_until`; beat, then complete or fail it."""

    job_id: int
    kind: str
    payload: Mapping[str, object]
    attempt: int
    """From 1."""
    worker: str
    lock: int
    """Fencing number of this claim; a later claim of the same job has a higher one."""
    locked_until: datetime


class JobFate(enum.StrEnum):
    """What became of a job that failed."""

    RETRY = "retry"
    DEAD = "dead"
    LOST = "lost"
    """Another worker has it since; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStream:
    """A stream as the curator needs it."""

    index: int
    party: int
    label: str
    participant: Mapping[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureLocation:
    """Where a capture of a segment was written."""

    writer: str
    host: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSegment:
    """One session to render."""

    segment_id: UUID
    ordinal: int
    state: SegmentState
    interrupted: bool
    """True when nobody said goodbye; stays so when the state is `finalised`."""
    captures: tuple[CaptureLocation, ...]
    """In the order of writing; more than one only if the segment moved between writers."""
    opened_at: datetime
    closed_at: datetime | None
    end_cause: str | None
    streams: tuple[RecordedStream, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSegments:
    """Everything that the rendering of one recording starts from."""

    recording_id: UUID
    record_identifier: str
    state: RecordingState
    started_at: datetime
    segments: tuple[RecordedSegment, ...]
    """By ordinal."""
    facts: Mapping[str, str | None] = field(default_factory=dict)
    """Call data by the names of `storage.files.layout.FACTS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedGap:
    """An interval of one party that holds no received audio, and why."""

    party: int
    start_s: float
    """Seconds from the start of the recording."""
    duration_s: float
    kind: GapKind
    cause: str
    segment_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedStream:
    """Quality figures of one stream, as the pipeline measured them, and the channel that it became."""

    segment_id: UUID
    """The last session that had the stream; it gets the figures."""
    index: int
    quality: Mapping[str, object]
    party: int
    segment_ids: tuple[UUID, ...]
    """All sessions that the stream is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file that is published: synced, renamed, read-only. The catalog claims nothing else."""

    kind: str
    """master, ..."""
    store: str
    """Name of the store; "local" is the recorder's own file root."""
    path: str
    """Relative to the store's root, with forward slashes."""
    format: str
    sample_rate: int
    channels: int
    frames: int
    size_bytes: int
    sha256: bytes
    """32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedRecording:
    """The result of finalising one recording."""

    recording_id: UUID
    segment_ids: tuple[UUID, ...]
    """The segments that were rendered. If the recording has others by now, the publication is refused."""
    state: RecordingState
    """complete, interrupted or no-media."""
    started_at: datetime
    """Wall clock of frame 0."""
    duration_s: float
    files: tuple[RenderedFile, ...]
    gaps: tuple[RenderedGap, ...]
    streams: tuple[RenderedStream, ...]
    warnings: tuple[str, ...] = ()
    """Of the rendering; those of an earlier rendering are replaced."""
    ledger: tuple[PartyLedger, ...] = ()
    """What became of every frame, one for each party; empty without media."""


class PublicationRefusal(enum.StrEnum):
    """Why a publication was not taken; each is a lost race, not a fault."""

    REOPENED = "reopened"
    """A segment was opened since: another finalise job follows its end."""
    SEGMENTS_CHANGED = "segments-changed"
    """The recording has other segments than those rendered: render again."""
    UNKNOWN_RECORDING = "unknown-recording"
    DELETED = "deleted"
    """It is deleted, or on its way; nothing brings it back."""
    JOB_LOST = "job-lost"
    """Another worker holds the job since."""
    REDACTED = "redacted"
    """A stretch was taken out of one of the copies: a master of them would have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Answer to `publish`."""

    refused: PublicationRefusal | None
    """None: the rows are in."""
    superseded: tuple[tuple[str, str], ...] = ()
    """(store, path) of files that the catalog no longer claims; the caller removes them now."""
