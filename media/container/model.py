"""The JSON bodies of SESSION, EVENT and END blocks, docs/storage-format.md.

Values only. They are the format's own types, so that the control protocol can change without changing files.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """What one RTP payload type carries."""

    name: str
    """Encoding name in upper case."""
    clock_rate: int
    """Hz; RTP timestamp units per second."""
    channels: int = 1
    fmtp: str = ""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One m-line of the session."""

    index: int
    party: int
    """Output channel; 0 is left."""
    label: str = ""
    payload_types: dict[int, Codec]
    ptime_ms: float = 20.0
    remote_host: str = ""
    remote_port: int = 0
    port: int = 0
    rtcp_mux: bool = False
    recording: bool = True
    mask_events: bool = False
    """Telephone-events are in the capture without their digits, and audio of their time without its payload."""
    protection: str = ""
    """Crypto-suite by its SDP name while the stream comes as SRTP."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the SESSION block."""

    session: str
    writer: str
    host: str
    wall_ns: int
    """Wall clock at opening, nanoseconds since the epoch."""
    monotonic_ns: int
    """Monotonic clock read together with `wall_ns`."""
    adopted: bool = False
    descriptor: dict[str, object]
    """Call data; opaque."""
    streams: list[Stream]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    at_ns: int
    """Wall clock from which the event holds."""


class Streams(_Event, frozen=True, kw_only=True, tag="streams"):
    """The stream table from here on."""

    cause: str
    streams: list[Stream]


class Source(_Event, frozen=True, kw_only=True, tag="source"):
    """Packets of a stream are accepted from this address under this number."""

    stream: int
    source: int
    host: str
    port: int
    cause: str
    """announced, learned, moved, switched or rtcp."""


class Ssrc(_Event, frozen=True, kw_only=True, tag="ssrc"):
    """First packet of an SSRC that is new on this stream."""

    stream: int
    ssrc: int
    source: int
    sequence_number: int
    rtp_timestamp: int
    payload_type: int


class Drops(_Event, frozen=True, kw_only=True, tag="drops"):
    """The kernel dropped datagrams of this stream: its buffer was full."""

    stream: int
    packets: int
    """0 where a ring shared by all streams was full: how many of this one is not known."""
    since_ns: int


class Unauthentic(_Event, frozen=True, kw_only=True, tag="unauthentic"):
    """Packets of a protected stream that no key of it authenticates; kept out."""

    stream: int
    packets: int
    since_ns: int


class Foreign(_Event, frozen=True, kw_only=True, tag="foreign"):
    """A source that the session does not name; kept out."""

    stream: int
    host: str
    port: int


class Fragments(_Event, frozen=True, kw_only=True, tag="fragments"):
    """Datagrams that the network had cut into pieces, which a packet ring cannot put together: lost at the receiver."""

    stream: int
    packets: int


class Clock(_Event, frozen=True, kw_only=True, tag="clock"):
    """The wall clock jumped against the monotonic clock."""

    step_ns: int


class Late(_Event, frozen=True, kw_only=True, tag="late"):
    """The writer did not visit its sockets in time; loss meanwhile is the receiver's fault."""

    stalled_ns: int


class RtcpLimit(_Event, frozen=True, kw_only=True, tag="rtcp-limit"):
    """RTCP packets left out because of the rate limit."""

    stream: int
    packets: int


class Recovered(_Event, frozen=True, kw_only=True, tag="recovered"):
    """So many packets of a dead writer follow, flagged RECOVERED."""

    packets: int


Event = Streams | Source | Ssrc | Drops | Unauthentic | Foreign | Fragments | Clock | Late | RtcpLimit | Recovered


class UnknownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a newer minor version."""

    event: str
    at_ns: int
    fields: dict[str, object]
    """Everything the block said."""


class StreamTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one stream at the end of its capture."""

    index: int
    port: int
    packets: int = 0
    octets: int = 0
    """RTP header and payload bytes."""
    foreign: int = 0
    malformed: int = 0
    paused: int = 0
    masked: int = 0
    """Packets whose payload was overwritten or cut off."""
    kernel_drops: int = 0
    unauthentic: int = 0
    """Packets of a protected stream that did not authenticate."""
    replayed: int = 0
    """Authentic packets that had been received before, or were too old to tell."""
    first_arrival_ns: int = 0
    """0 if no packet came."""
    last_arrival_ns: int = 0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the END block."""

    cause: str
    at_ns: int
    streams: list[StreamTotals]


_ENCODER: Final = msgspec.json.Encoder()
_SESSION: Final = msgspec.json.Decoder(Session)
_EVENT: Final = msgspec.json.Decoder[Event](Event)
_END: Final = msgspec.json.Decoder(End)
_RAW: Final = msgspec.json.Decoder(dict[str, object])


def encode(body: Session | Event | End) -> bytes:
    """Return the JSON body of a block."""
    return _ENCODER.encode(body)


def decode_session(body: bytes) -> Session:
    """Return the SESSION body; raises `msgspec.MsgspecError`."""
    return _SESSION.decode(body)


def decode_end(body: bytes) -> End:
    """Return the END body; raises `msgspec.MsgspecError`."""
    return _END.decode(body)


def decode_event(body: bytes) -> Event | UnknownEvent:
    """Return the EVENT body, as `UnknownEvent` when a newer version wrote it; raises `msgspec.MsgspecError`."""
    try:
        event: Event = _EVENT.decode(body)
    except msgspec.ValidationError:
        fields = _RAW.decode(body)
        at_ns = fields.get("at_ns", 0)
        return UnknownEvent(
            event=str(fields.get("event", "")), at_ns=at_ns if isinstance(at_ns, int) else 0, fields=fields
        )
    return event
