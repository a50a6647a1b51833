"""Messages between a signalling frontend and a capture writer.

Framing: four bytes of length (unsigned, network order), then one MessagePack map whose `type` names the message.
A frontend may pipeline requests; the writer answers each with the same `request` number, in any order. Every
command carries the lease `epoch` of its sender; a writer remembers the highest epoch it has seen and refuses a
lower one, so that a frozen and thawed old active frontend can do nothing.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

MAX_MESSAGE: Final = 1 << 20
"""Bytes; a session with 64 streams and 64 kB of call data stays far below it."""


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """What one RTP payload type carries (SDP rtpmap and fmtp, or RFC 3551 table 4)."""

    name: str
    """Encoding name in upper case, for example PCMU or TELEPHONE-EVENT."""
    clock_rate: int
    """Hz; RTP timestamp units per second."""
    channels: int = 1
    fmtp: str = ""
    """Format parameters exactly as negotiated."""


class MasterKey(msgspec.Struct, frozen=True, gc=False):
    """One SRTP master key; its text form never shows the key."""

    suite: str
    """Crypto-suite by its SDP name, a key of `media.srtp.SUITES`."""
    key_salt: bytes
    """Master key followed by master salt."""
    mki: bytes = b""
    """Master key identifier as it stands in each packet; empty for none."""

    def __repr__(self) -> str:
        return f"MasterKey({self.suite}, ***)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("suite", self.suite), ("key_salt", "***")]


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream comes protected (RFC 3711): with it, nothing is accepted that does not authenticate.

    Travels over the control socket only, and is never written into a capture.
    """

    keys: tuple[MasterKey, ...]
    """The sender's; empty while they are not known: the packets then wait in the kernel."""
    former: tuple[MasterKey, ...] = ()
    """What they were before the last change: accepted for a hand-over time as well (RFC 4568 §7.1.4)."""
    own: MasterKey | None = None
    """Ours, for the reports that we send."""


class Reports(msgspec.Struct, frozen=True, kw_only=True):
    """How receiver reports on a stream are sent (RFC 3550 §6); the same in every writer that has the stream."""

    ssrc: int
    """Ours."""
    cname: str
    host: str = ""
    """Where the SDP wants RTCP; empty when unknown: it then goes to where the sender's comes from."""
    port: int = 0
    bandwidth_bps: float = 0.0
    """Bits per second for RTCP of the stream; 0 for the default."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One RTP stream of a recording session: one m-line of its SDP."""

    index: int
    """m-line position, from 0; the stream's name inside its session."""
    party: int
    """Output channel the stream belongs to; 0 is left."""
    label: str = ""
    payload_types: dict[int, Codec]
    ptime_ms: float = 20.0
    remote_host: str = ""
    """Where the SDP says that RTP comes from; empty when unknown."""
    remote_port: int = 0
    port: int = 0
    """Local RTP port; 0 lets the writer choose one."""
    rtcp_mux: bool = False
    recording: bool = True
    """False while inactive or paused: no payload of that time reaches disk."""
    mask_events: bool = False
    """Keyed digits reach disk neither as events nor as tones."""
    protection: Protection | None = None
    """None: plain RTP."""
    reports: Reports | None = None
    """None: no receiver reports are sent."""


class OpenSession(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """Start capturing. Answered by `SessionOpened` or `Refused`.

    The same `session` opened again with equal streams is answered as the first time (a retried command).
    """

    request: int
    epoch: int
    session: str
    """Segment id: 32 hexadecimal digits, the name of the capture file."""
    descriptor: dict[str, object]
    """Call data, opaque to the writer; written into the capture so that it explains itself."""
    streams: list[StreamSpec]
    adopt: bool = False
    """True when a replacement writer takes over ports: packets waiting in their sockets are kept, not discarded."""


class ModifySession(msgspec.Struct, frozen=True, kw_only=True, tag="modify"):
    """Replace the stream table from now on: pause, resume, moved media, codecs, added and removed streams."""

    request: int
    epoch: int
    session: str
    streams: list[StreamSpec]
    cause: str
    """Why, for the ledger: reinvite, update, pause, resume."""


class CloseSession(msgspec.Struct, frozen=True, kw_only=True, tag="close"):
    """Drain what the kernel holds, end the capture and make it durable. Answered by `SessionClosed`."""

    request: int
    epoch: int
    session: str
    cause: str
    """Why, for the ledger: bye, session-expired, shutdown, rejected."""


class ListSessions(msgspec.Struct, frozen=True, kw_only=True, tag="list"):
    """Ask what the writer is capturing, to reconcile after a takeover, or what one session has received."""

    request: int
    epoch: int
    session: str = ""
    """Only this one; empty: all."""


class SettleSessions(msgspec.Struct, frozen=True, kw_only=True, tag="settle"):
    """Say what was agreed without this writer. Answered by `SessionsSettled`; nothing else decides about a standstill.

    Whoever sends it has held the lease at a moment after that standstill: so nobody else has held it meanwhile.
    """

    request: int
    epoch: int
    standstill: int
    """As a heartbeat or `SessionList` told it; 0 decides about none."""
    untold: list[str]
    """Sessions of which something was agreed that the writer was not told: what waits for them is not recorded, and
    they are muted until they are modified or closed. Names that the writer does not know are passed over."""


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one stream since its session was opened."""

    index: int
    port: int
    packets: int = 0
    octets: int = 0
    """RTP payload and header bytes captured."""
    foreign: int = 0
    """Packets from a source that the session does not name; counted and kept out."""
    malformed: int = 0
    """Datagrams that are not RTP."""
    paused: int = 0
    """Packets that arrived while not recording; their payload was discarded."""
    kernel_drops: int = 0
    """Datagrams the kernel dropped because the socket buffer was full."""
    unauthentic: int = 0
    """Packets of a protected stream that no key of it authenticates; kept out."""
    replayed: int = 0
    """Authentic packets that had been received before; kept out."""
    last_arrival_ns: int = 0
    """Wall clock, nanoseconds since the epoch; 0 before the first packet."""


class SessionOpened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The capture exists; its ports are receiving. `host` and `ports` belong in the SDP answer."""

    request: int
    session: str
    host: str
    ports: dict[int, int]
    """Stream index to local RTP port."""
    capture_path: str


class SessionModified(msgspec.Struct, frozen=True, kw_only=True, tag="modified"):
    """The new stream table is in force; nothing of a paused stream reaches disk from here on."""

    request: int
    session: str
    host: str
    ports: dict[int, int]


class SessionClosed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """The capture is complete and durable."""

    request: int
    session: str
    capture_path: str
    streams: list[StreamReport]


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One running capture."""

    session: str
    capture_path: str
    streams: list[StreamReport]


class SessionList(msgspec.Struct, frozen=True, kw_only=True, tag="sessions"):
    """Answer to `ListSessions`."""

    request: int
    sessions: list[SessionSummary]
    standstill: int = 0
    """As in `Heartbeat`."""


class SessionsSettled(msgspec.Struct, frozen=True, kw_only=True, tag="settled"):
    """Answer to `SettleSessions`."""

    request: int


class RefusalReason(enum.StrEnum):
    """Why a writer did not do as it was told."""

    STALE_EPOCH = "stale-epoch"
    UNKNOWN_SESSION = "unknown-session"
    SESSION_EXISTS = "session-exists"
    NO_FREE_PORT = "no-free-port"
    PORT_TAKEN = "port-taken"
    DISK_FULL = "disk-full"
    DISK_FAILED = "disk-failed"
    MALFORMED = "malformed"


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The command had no effect."""

    request: int
    reason: RefusalReason
    detail: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent by the working loop itself to every connected frontend, once per flush of its captures.

    A loop that is stuck stops `progress`, so it looks dead, as it should.
    """

    writer: str
    progress: int
    """Visits of the packet sources since start; strictly rising."""
    sessions: int
    streams: int
    free_ports: int
    """RTP ports that a new stream could take now."""
    packets: int
    kernel_drops: int
    free_bytes: int
    """Of the file system that holds the captures."""
    cpu_seconds: float
    """CPU time of the process since start."""
    failed: str = ""
    """Empty, or why the writer has declared itself failed (first EIO or ENOSPC)."""
    standstill: int = 0
    """Number of the standstill after which the writer waits for `SettleSessions`: it reads no packets, and leaves other
    commands but `ListSessions` for later. 0: it waits for nothing."""


class SessionFailed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Unasked: the writer cannot go on with this capture; move its streams."""

    session: str
    detail: str


Command = OpenSession | ModifySession | CloseSession | ListSessions | SettleSessions
Reply = (
    SessionOpened
    | SessionModified
    | SessionClosed
    | SessionList
    | SessionsSettled
    | Refused
    | Heartbeat
    | SessionFailed
)
