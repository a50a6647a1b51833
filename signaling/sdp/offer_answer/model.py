"""Values of offer/answer for a receiver of media: policy, what is planned per stream, what is remembered (RFC 3264).

Everything is immutable; `Negotiation` is all that a takeover needs and survives `snapshot` and `restore`.
"""

from __future__ import annotations

import enum
from typing import Final, Literal

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sdp.crypto import Crypto
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.payloads import Codec

DEFAULT_PTIME_MS: Final = 20.0
"""Milliseconds per packet when nothing is said (RFC 3551 §4.2)."""

SECURE_PROTOCOLS: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
PLAIN_PROTOCOLS: Final = frozenset({"RTP/AVP", "RTP/AVPF"})


class Refusal(enum.StrEnum):
    """Why a stream is answered with port 0."""

    REMOVED = "removed-by-peer"
    MEDIA_TYPE = "media-type"
    TRANSPORT = "transport-protocol"
    MULTICAST = "multicast"
    NO_CODEC = "no-common-codec"
    PAYLOAD_REMAPPED = "payload-type-remapped"
    SRTP_NOT_ALLOWED = "srtp-not-allowed"
    SRTP_REQUIRED = "srtp-required"
    NO_CRYPTO = "no-usable-crypto-attribute"


class Change(enum.StrEnum):
    """What a new offer or answer did to a stream, for the ledger."""

    ADDED = "added"
    REUSED = "reused"
    """A slot that had been given up carries a new stream."""
    REMOVED = "removed"
    PAUSED = "paused"
    RESUMED = "resumed"
    CODECS = "codecs"
    MOVED = "moved"
    """The peer's address or port changed."""


class Remark(enum.StrEnum):
    """Deviations of the peer that were tolerated; they flag the recording."""

    VERSION_NOT_RAISED = "version-not-raised"
    ORIGIN_CHANGED = "origin-changed"
    SLOTS_VANISHED = "slots-vanished"
    PAYLOAD_REMAPPED = "payload-type-remapped"
    DUPLICATE_LABEL = "duplicate-label"
    RECEIVE_ONLY = "peer-receives-only"
    NO_CONNECTION = "no-connection-data"
    BAD_RTCP_ADDRESS = "bad-rtcp-address"
    BAD_CRYPTO = "bad-crypto-attribute"
    LINE_NOT_ANSWERED = "m-line-not-answered"
    SURPLUS_LINES = "surplus-m-lines"
    TRANSPORT_CHANGED = "transport-changed"
    FORMAT_NOT_OFFERED = "format-not-offered"


class Noted(msgspec.Struct, frozen=True, gc=False):
    """A remark and the m-line it concerns."""

    remark: Remark
    index: int = -1
    """m-line position from 0, -1 for the description as a whole."""


class AnswerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the recorder accepts; one per peer profile."""

    codecs: tuple[str, ...] = (
        "PCMU", "PCMA", "G722", "G729", "OPUS", "L16", "GSM", "ILBC", "SPEEX", "G723", "AMR", "AMR-WB",
    )  # fmt: skip
    """Encoding names in upper case that may be recorded, most wanted first."""
    codec_order: Literal["offer", "policy"] = "offer"
    """Whose preference decides; a client that only forwards can send nothing but its first format."""
    answer_codecs: Literal["one", "all"] = "one"
    """`one` leaves nothing open: a client with a choice sends a second offer at once to settle it."""
    srtp: Literal["refuse", "allow", "require"] = "allow"
    """Whether RTP/SAVP and RTP/SAVPF are accepted; `require` accepts nothing else."""
    crypto_suites: tuple[str, ...] = (
        "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80",
        "AES_256_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_32",
    )  # fmt: skip
    """Suites that may be accepted; the offer's order decides (RFC 4568 §5.1.2), in an offer of ours the first."""
    rtcp_mux: bool = True
    """Whether RTP and RTCP on one port are accepted when offered."""
    receive: bool = True
    """False answers every stream inactive: not ready to record (RFC 7866 §7.2)."""
    remapped_payloads: Literal["refuse", "follow"] = "refuse"
    """What to do with a payload type that the peer maps to another codec in mid-session (RFC 3264 §8.3.2)."""
    zero_address_pauses: bool = True
    """Whether `c=0.0.0.0` on a running stream is a pause, as BroadWorks means it; nothing of it is then recorded."""


DEFAULT_POLICY: Final = AnswerPolicy()


class StreamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one m-line comes to."""

    index: int
    """m-line position from 0; never changes during the session."""
    media: str
    """Media type as offered."""
    protocol: str
    refusal: Refusal | None = None
    """Why it gets port 0, or None when it is accepted."""
    direction: Direction = Direction.INACTIVE
    """Our side: recvonly or inactive."""
    formats: tuple[int, ...] = ()
    """Payload types of our answer or offer, in its order."""
    payload_types: dict[int, Codec] = {}
    """Every payload type that this stream was ever given a meaning for, also those not in `formats`."""
    recording: bool = False
    """False while paused, on hold or refused: nothing that arrives may be kept."""
    remote_host: str = ""
    """Where the peer says it is; empty when unknown or unspecified. RTP may come from elsewhere (RFC 3264 §5.1)."""
    remote_port: int = 0
    remote_rtcp: tuple[str, int] | None = None
    """Where receiver reports go; None when none may be sent."""
    rtcp_mux: bool = False
    rtcp_receivers_bps: int | None = None
    """Bits per second for reports of receivers (b=RR, RFC 3556); 0 forbids them, None is the default."""
    rtcp_senders_bps: int | None = None
    label: str | None = None
    """Value of `a=label`, unchanged; None when there is none."""
    ptime_ms: float = DEFAULT_PTIME_MS
    crypto: Crypto | None = None
    """The peer's attribute that was accepted: its keys protect what we receive."""
    held_by_peer: bool = False
    """The peer sends nothing: `inactive`, `recvonly`, or an unspecified address in mid-session."""
    zero_address: bool = False
    """The stream began without an address, so its absence is no pause."""
    changes: frozenset[Change] = frozenset()

    @property
    def accepted(self) -> bool:
        """Whether the stream gets a port."""
        return self.refusal is None

    @property
    def codecs(self) -> dict[int, Codec]:
        """Payload type to codec of the negotiated formats alone."""
        return {payload_type: self.payload_types[payload_type] for payload_type in self.formats}


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What must be remembered of one m-line; slots are never given up (RFC 3264 §8)."""

    media: str
    protocol: str
    live: bool = False
    """Whether it carries a stream, as opposed to port 0."""
    formats: tuple[int, ...] = ()
    payload_types: dict[int, Codec] = {}
    recording: bool = False
    held_by_peer: bool = False
    zero_address: bool = False
    remote_host: str = ""
    remote_port: int = 0

    @classmethod
    def of(cls, stream: StreamPlan) -> Slot:
        """Remember a stream."""
        if not stream.accepted:
            return cls(media=stream.media, protocol=stream.protocol)
        return cls(
            media=stream.media,
            protocol=stream.protocol,
            live=True,
            formats=stream.formats,
            payload_types=stream.payload_types,
            recording=stream.recording,
            held_by_peer=stream.held_by_peer,
            zero_address=stream.zero_address,
            remote_host=stream.remote_host,
            remote_port=stream.remote_port,
        )

    def abandoned(self) -> Slot:
        """Return the slot without its stream."""
        return Slot(media=self.media, protocol=self.protocol)


class Negotiation(msgspec.Struct, frozen=True, kw_only=True):
    """State of offer/answer after the last completed exchange.

    A refused or failed exchange leaves it as it was (RFC 3261 §14.1), but for what is on the wire: see `offered`. Holds
    SRTP keys inside the descriptions when SRTP is in use.
    """

    local: SessionDescription
    """Last description we sent that took effect."""
    remote: SessionDescription
    """Last description of the peer that took effect."""
    slots: tuple[Slot, ...]
    version: int
    """Highest session version we ever put on the wire."""
    open_offer: SessionDescription | None = None
    """The description that has this version, if it is an offer of ours that has not taken effect, or never will."""

    @property
    def latest(self) -> SessionDescription:
        """The last description that we sent."""
        return self.open_offer or self.local

    def offered(self, offer: SessionDescription) -> Negotiation:
        """Return the state once an offer of ours leaves: unchanged, but its version means this content from now on.

        Whether it is accepted or not: the peer's own offer may overtake it, and its answer must not repeat the version.
        """
        return msgspec.structs.replace(
            self,
            version=max(self.version, int(offer.origin.version)),
            open_offer=None if offer == self.local else offer,
        )

    def snapshot(self) -> bytes:
        """Return everything as bytes; it may contain keys."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def restore(cls, snapshot: bytes) -> Negotiation:
        """Rebuild the state from `snapshot`.

        Raises:
            LocalProtocolError: these bytes are not a snapshot of this version.

        """
        try:
            return msgspec.msgpack.decode(snapshot, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise LocalProtocolError("unreadable negotiation snapshot") from error


def remember(streams: tuple[StreamPlan, ...], previous: Negotiation | None) -> tuple[Slot, ...]:
    """Return the slots after an exchange: one per m-line, and those the peer dropped, without their streams."""
    slots = [Slot.of(stream) for stream in streams]
    if previous is not None:
        slots.extend([slot.abandoned() for slot in previous.slots[len(streams) :]])
    return tuple(slots)
