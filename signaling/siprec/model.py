"""Recording metadata as values, named as in the RFC (RFC 7865 §6).

`RecordingMetadata` is one document, `RecordingSession` what all documents of a session add up to. Identifiers are
opaque text: base64, hexadecimal, `urn:uuid:` and plain numbers all occur. Does not parse (see `metadata`) and does
not merge (see `update`).
"""

from __future__ import annotations

import enum

import msgspec


class Doubt(enum.StrEnum):
    """What is wrong with a document, or odd; flags the recording and never refuses the call."""

    NOT_WELL_FORMED = "not-well-formed"
    """Read after repair."""
    UNKNOWN_ROOT = "unknown-root"
    UNKNOWN_NAMESPACE = "unknown-namespace"
    UNKNOWN_CHARSET = "unknown-charset"
    BAD_CHARACTERS = "bad-characters"
    BAD_DATA_MODE = "bad-data-mode"
    BAD_TIME = "bad-time"
    NO_ZONE = "time-without-zone"
    EMPTY_IDENTIFIER = "empty-identifier"
    IDENTIFIER_CONFLICT = "identifier-conflict"
    """One identifier for two different elements; the later one was ignored (RFC 7865 §6.10)."""
    UNKNOWN_PARTICIPANT = "unknown-participant"
    UNKNOWN_STREAM = "unknown-stream"
    UNKNOWN_SESSION = "unknown-session"
    LABEL_MOVED = "label-moved"
    PARTIAL_WITHOUT_SNAPSHOT = "partial-without-snapshot"
    LABEL_MISSING = "label-missing"
    LABEL_AMBIGUOUS = "label-ambiguous"
    NO_STREAM = "no-stream-for-label"
    NO_SENDER = "no-sender-for-stream"
    TRUNCATED = "truncated"


class Doubted(msgspec.Struct, frozen=True, gc=False):
    """A doubt and the element it concerns."""

    doubt: Doubt
    subject: str = ""
    """Identifier, label or element name; text of the peer, to be logged as a field only."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A point in time as the client wrote it (RFC 7865 §6.9)."""

    text: str
    unix_ms: int | None = None
    """Milliseconds since 1970 UTC; None when the text cannot be read or has no zone."""
    zone_known: bool = True
    """False when it can be read but has no zone: it is then only as good as the time of receipt beside it."""


class Extension(msgspec.Struct, frozen=True, gc=False):
    """One leaf of vendor data, flattened (RFC 7865 §9, `xs:any`)."""

    namespace: str
    name: str
    """Local name as written."""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    path: tuple[str, ...] = ()
    """Local names of the elements around it, outermost first."""


class CsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Related communication sessions, for example before and after a transfer (RFC 7865 §6.2)."""

    group_id: str
    associate_time: Moment | None = None
    disassociate_time: Moment | None = None
    extensions: tuple[Extension, ...] = ()


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why a communication session ended (RFC 3326)."""

    text: str
    protocol: str = "SIP"
    cause: str = ""


class CommunicationSession(msgspec.Struct, frozen=True, kw_only=True):
    """The call that is recorded, as the client sees it (RFC 7865 §6.3)."""

    session_id: str
    group_ref: str = ""
    sip_session_ids: tuple[str, ...] = ()
    """Session-ID of each leg, white space removed (RFC 7989)."""
    reasons: tuple[Reason, ...] = ()
    start_time: Moment | None = None
    stop_time: Moment | None = None
    extensions: tuple[Extension, ...] = ()


class NameId(msgspec.Struct, frozen=True, gc=False):
    """One address and name of a participant."""

    aor: str
    """As written; some clients leave out the scheme."""
    name: str = ""
    language: str = ""


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """A party of the call (RFC 7865 §6.5)."""

    participant_id: str
    name_ids: tuple[NameId, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @property
    def aor(self) -> str:
        """First address, "" when there is none."""
        return self.name_ids[0].aor if self.name_ids else ""

    @property
    def name(self) -> str:
        """First name that is not empty, else ""."""
        return next((name_id.name for name_id in self.name_ids if name_id.name), "")


class MediaStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as the client sees it; it need not be in the SDP (RFC 7865 §6.7)."""

    stream_id: str
    session_id: str = ""
    label: str = ""
    """Value of the m-line's `a=label`, surrounding white space removed."""
    mode: str = ""
    """`separate` or `mixed` in the drafts, gone from the RFC."""
    extensions: tuple[Extension, ...] = ()


class CsRsAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """When a communication session belongs to the recording session (RFC 7865 §6.4)."""

    session_id: str
    associate_time: Moment | None = None
    disassociate_time: Moment | None = None


class ParticipantCsAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """When a participant is in a communication session (RFC 7865 §6.6)."""

    participant_id: str
    session_id: str
    associate_time: Moment | None = None
    disassociate_time: Moment | None = None
    params: tuple[tuple[str, str], ...] = ()
    """Capabilities, for example isfocus (RFC 3840)."""


class ParticipantStreamAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """Which streams a participant sends and receives (RFC 7865 §6.8)."""

    participant_id: str
    send: tuple[str, ...] = ()
    """Stream identifiers; empty together with `recv`: neither sends nor receives."""
    recv: tuple[str, ...] = ()
    associate_time: Moment | None = None
    disassociate_time: Moment | None = None


class RecordingMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """One document."""

    complete: bool = True
    """A snapshot; False for a partial update."""
    root: str = "recording"
    namespace: str = ""
    recording_id: str = ""
    """Identifier of the recording session itself; only drafts have it."""
    groups: tuple[CsGroup, ...] = ()
    sessions: tuple[CommunicationSession, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[MediaStream, ...] = ()
    cs_rs_associations: tuple[CsRsAssociation, ...] = ()
    participant_cs_associations: tuple[ParticipantCsAssociation, ...] = ()
    participant_stream_associations: tuple[ParticipantStreamAssociation, ...] = ()
    extensions: tuple[Extension, ...] = ()
    """Vendor data that belongs to the recording session as a whole."""
    doubts: tuple[Doubted, ...] = ()


class RecordingSession(msgspec.Struct, frozen=True, kw_only=True):
    """The recording session: what all documents so far add up to (RFC 7865 §6.1)."""

    recording_id: str = ""
    groups: tuple[CsGroup, ...] = ()
    sessions: tuple[CommunicationSession, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[MediaStream, ...] = ()
    cs_rs_associations: tuple[CsRsAssociation, ...] = ()
    participant_cs_associations: tuple[ParticipantCsAssociation, ...] = ()
    participant_stream_associations: tuple[ParticipantStreamAssociation, ...] = ()
    extensions: tuple[Extension, ...] = ()
    snapshot_seen: bool = False
    """False after a partial update without a snapshot before it: ask for one (RFC 7866 §9.2)."""
    doubts: tuple[Doubted, ...] = ()
    """Doubts of the snapshot and of every update since."""
