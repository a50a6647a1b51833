"""What is asked of finalising and what it answers: options in, a `Rendering` out. Values only; JSON-encodable."""

from __future__ import annotations

import enum

import msgspec


class OutputFormat(enum.StrEnum):
    """File formats that can be written."""

    AUTO = "auto"
    """The law of the recording if all of its audio has one (bit-exact), else 16-bit WAV."""
    WAV_MULAW = "wav-mulaw"
    WAV_ALAW = "wav-alaw"
    WAV_PCM16 = "wav-pcm16"
    FLAC = "flac"
    OGG_OPUS = "ogg-opus"


class Layout(enum.StrEnum):
    """How parties become channels."""

    PARTIES = "parties"
    """One channel for each party; party 0 is the first (left)."""
    MIX = "mix"
    """One channel with the sum of all parties."""


class RenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to render; the defaults are lossless."""

    format: OutputFormat = OutputFormat.AUTO
    layout: Layout = Layout.PARTIES
    party: int | None = None
    """Render this party alone, on the timeline of all; None for every party."""
    sample_rate: int | None = None
    """Hz; None for the highest rate that the audio has."""
    correct_drift: bool = True
    """Keep parties with different media clocks together by slips of single samples."""
    title: str = ""
    """What the file is to call itself, with the time of its beginning; empty for a file without tags."""
    comment: str = ""


class GapKind(enum.StrEnum):
    """Why an interval of a party has no audio, in one word."""

    LOST = "lost"
    """There was audio, and it is not in the captures."""
    SILENT = "silent"
    """Nothing was sent that could be played."""
    PAUSED = "paused"
    """The recording was not to record."""


class GapCause(enum.StrEnum):
    """Why an interval of a party has no audio."""

    NETWORK = "network"
    """Sequence numbers are missing and nothing at the recorder explains it."""
    KERNEL_DROP = "kernel-drop"
    """Sequence numbers are missing while the kernel dropped datagrams of this stream: loss at the receiver."""
    NOT_AUTHENTICATED = "not-authenticated"
    """Packets came that no SRTP key of the stream authenticates."""
    WRITER_FAILOVER = "writer-failover"
    """Between the last packet of one writer and the first one of its successor."""
    NO_SESSION = "no-session"
    """One recording session had ended and the next one of this recording had not begun."""
    PAUSED = "paused"
    """The stream table said not to record."""
    MASKED = "masked"
    """Keys were pressed, and policy has them masked: neither event nor tone was recorded."""
    REDACTED = "redacted"
    """It was recorded, and silenced for good afterwards."""
    COMFORT_NOISE = "comfort-noise"
    """After a comfort noise packet (RFC 3389)."""
    TELEPHONE_EVENT = "telephone-event"
    """A DTMF digit or another event was signalled in place of audio (RFC 4733)."""
    NOT_SENT = "not-sent"
    """The timestamp jumps and no sequence number is missing: discontinuous transmission or hold."""
    SOURCE_CHANGE = "source-change"
    """Between one source of the stream and the next."""
    NOT_STARTED = "not-started"
    """Before the party's first packet."""
    ENDED_EARLY = "ended-early"
    """After the party's last packet."""
    NO_MEDIA = "no-media"
    """The party never sent a packet."""
    UNDECODABLE = "undecodable"
    """Packets are in the captures, and no decoder for them is installed."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """An interval of one party that holds no audio; rendered as silence."""

    party: int
    start_frame: int
    frames: int
    kind: GapKind
    cause: GapCause


class Contributor(msgspec.Struct, frozen=True, kw_only=True):
    """A source that a mixer named as heard in a stream (RFC 3550 §7.1)."""

    csrc: int
    cname: str
    """Canonical name, by which it can be followed when its number changes (§6.5.1); empty if RTCP said none."""
    packets: int
    """Of the stream, duplicates included, that name it."""
    seconds: float
    """Media time of these packets."""
    first_arrival_ns: int
    last_arrival_ns: int


class StreamQuality(msgspec.Struct, frozen=True, kw_only=True):
    """What the network did to one stream of a party (one m-line)."""

    party: int
    stream: int
    """m-line position."""
    label: str
    ssrcs: list[int]
    """In order of appearance."""
    cnames: list[str]
    """Canonical names of these sources, as far as RTCP said any."""
    contributors: list[Contributor]
    """Whom a mixer named as heard, longest first; empty where nobody mixes."""
    payload_types: list[int]
    codecs: list[str]
    packets: int
    """Received, duplicates included."""
    octets: int
    """Of RTP payload."""
    lost: int
    """Missing sequence numbers, without those of pauses."""
    duplicates: int
    late: int
    """Packets that arrived after one with a higher sequence number."""
    strays: int
    """Packets of a known source whose numbers fit nowhere; not rendered (RFC 3550 A.1)."""
    restarts: int
    """How often a source began anew with the same SSRC."""
    jitter_ms: float
    """Interarrival jitter of RFC 3550, averaged over all packets."""
    jitter_max_ms: float
    mos: float | None
    """Estimated mean opinion score, 1 to 4.5 (ITU-T G.107), from codec and loss; None where nothing tells."""
    longest_gap_ms: float
    """Longest interval of kind `lost` of the party."""
    drift_ppm: float | None
    """Media clock against the recorder's clock, parts per million; None if the stream is too short to tell."""
    first_arrival_ns: int
    last_arrival_ns: int


class PartyReport(msgspec.Struct, frozen=True, kw_only=True):
    """One party as it sounds."""

    party: int
    label: str
    frames: int
    """Frames that hold received audio."""
    level_dbfs: float | None
    """Mean level of the received audio, dB below a full-scale square wave; None without audio or at digital silence."""
    clipped: int
    """Samples at full scale."""
    speech_share: float
    """Part of the timeline, 0..1, in which the party's level exceeds the speech threshold."""
    coverage: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Where exactly there is received audio: frames `[start, end)`, rising, neither touching nor overlapping."""
    sessions: dict[int, list[tuple[int, int]]] = msgspec.field(default_factory=dict)
    """The same by the number of the recording session that brought it; sessions that ran side by side overlap."""


class SegmentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One capture that went into the rendering."""

    session: str
    writer: str
    complete: bool
    """Ended on purpose and undamaged."""
    damage: str
    """Empty, or why reading stopped before the end of the file."""
    end_cause: str
    """Empty for a capture without end."""
    packets: int


class RenderingKind(enum.StrEnum):
    """Whether there is a file."""

    AUDIO = "audio"
    NO_MEDIA = "no-media"
    """No packet was ever received: no file was created."""


class Rendering(msgspec.Struct, frozen=True, kw_only=True):
    """What was rendered, and everything that is not in it."""

    kind: RenderingKind
    format: OutputFormat
    """As written; never `auto`."""
    sample_rate: int
    channels: int
    frames: int
    started_at_ns: int
    """Wall clock of frame 0, nanoseconds since the epoch; 0 without media."""
    duration_s: float
    parties: list[PartyReport]
    gaps: list[Gap]
    """By party, then by start; they do not overlap inside a party."""
    streams: list[StreamQuality]
    segments: list[SegmentReport]
    complete: bool
    """Every capture was ended on purpose and is undamaged."""
    warnings: list[str]
    """One sentence each; the word in front of the colon is stable."""
