"""Answers an offer as a recorder: receive or pause, never send (RFC 3264 §6 and §8, RFC 7866 §7.2).

Two steps, because ports are known only after the writer was asked: `plan` decides, `MediaPlan.to_answer` builds the
description, `MediaPlan.negotiation` is what to remember once it was sent. No step has an effect, so a refused or
abandoned exchange leaves the session as it was (RFC 3261 §14.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sdp.crypto import Crypto, parse_crypto
from signaling.sdp.description import Attribute, Connection, Direction, MediaDescription, Origin, SessionDescription
from signaling.sdp.grammar import MAX_PORT
from signaling.sdp.offer_answer.model import (
    DEFAULT_POLICY,
    PLAIN_PROTOCOLS,
    SECURE_PROTOCOLS,
    AnswerPolicy,
    Negotiation,
    Noted,
    Refusal,
    Remark,
    Slot,
    StreamPlan,
    remember,
)
from signaling.sdp.offer_answer.streams import changes_of, choose_crypto, choose_formats, ptime_of, remote_of
from signaling.sdp.payloads import MUX_CONFLICTS, Codec, payload_map

AUDIO: Final = "audio"


class MediaPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Decision about every m-line of an offer."""

    offer: SessionDescription
    previous: Negotiation | None
    streams: tuple[StreamPlan, ...]
    """One for each m-line of the offer, in its order."""
    noted: tuple[Noted, ...] = ()
    changed: bool = True
    """Whether the offer says anything new; compared by content, because some clients never raise the version."""

    @property
    def accepted(self) -> tuple[StreamPlan, ...]:
        """Streams that need a port."""
        return tuple([stream for stream in self.streams if stream.accepted])

    @property
    def usable(self) -> bool:
        """Whether to answer at all, as opposed to 488.

        True as soon as one stream is accepted; also for an offer without m-lines (a persistent session without a
        call) and for one that only takes streams away. 488 leaves a running session as it was.
        """
        if any(stream.accepted for stream in self.streams):
            return True
        return not any(stream.refusal is not Refusal.REMOVED and self._wanted(stream) for stream in self.streams)

    def _wanted(self, stream: StreamPlan) -> bool:
        """Whether refusing the stream takes something from the peer: it is new, or was running."""
        slots = () if self.previous is None else self.previous.slots
        return stream.index >= len(slots) or slots[stream.index].live

    def to_answer(
        self, host: str, ports: Mapping[int, int], origin: Origin, keys: Mapping[int, bytes] | None = None
    ) -> SessionDescription:
        """Build the answer.

        Args:
            host: our media address.
            ports: local RTP port for each accepted stream, by its index.
            origin: our origin for a first answer; later ones keep the session's own.
            keys: fresh SRTP master key and salt for each accepted stream that has `crypto`, by its index; unused
                where the stream keeps its key because our address did not change (RFC 4568 §7.1.4).

        Raises:
            LocalProtocolError: a port or a key is missing or invalid.

        """
        media = tuple([self._media(stream, host, ports, keys or {}) for stream in self.streams])
        answer = SessionDescription(
            origin=origin if self.previous is None else self.previous.local.origin,
            connection=Connection.to(host),
            # RFC 3264 §6: "The 't=' line in the answer MUST equal that of the offer."
            timing=self.offer.timing,
            media=media,
            charset=self.offer.charset,
        )
        return settle_version(answer, self.previous)

    def negotiation(self, answer: SessionDescription) -> Negotiation:
        """Return what to remember after `answer` was sent."""
        return Negotiation(
            local=answer,
            remote=self.offer,
            slots=remember(self.streams, self.previous),
            version=max(int(answer.origin.version), self.previous.version if self.previous else 0),
        )

    def _media(
        self, stream: StreamPlan, host: str, ports: Mapping[int, int], keys: Mapping[int, bytes]
    ) -> MediaDescription:
        offered = self.offer.media[stream.index]
        # RFC 4574: a label is copied, not numbered anew; some clients send only labelled streams.
        label = () if offered.label is None else (Attribute("label", offered.label),)
        if not stream.accepted:
            return MediaDescription(
                media=offered.media,
                port=0,
                protocol=offered.protocol,
                formats=offered.formats[:1] or ("0",),
                attributes=label,
            )
        port = local_port(stream.index, ports)
        crypto = () if stream.crypto is None else (self._crypto(stream, stream.crypto, host, port, keys),)
        mux = (Attribute("rtcp-mux"),) if stream.rtcp_mux else ()
        return MediaDescription(
            media=offered.media,
            port=port,
            protocol=offered.protocol,
            formats=tuple([str(payload_type) for payload_type in stream.formats]),
            attributes=(
                *codec_attributes(stream.codecs),
                *crypto,
                *mux,
                Attribute(stream.direction.value),
                *label,
            ),
        )

    def _crypto(
        self, stream: StreamPlan, offered: Crypto, host: str, port: int, keys: Mapping[int, bytes]
    ) -> Attribute:
        kept = _key_in_use(self.previous, stream.index, host, port)
        if kept is not None and (kept.tag, kept.suite) == (offered.tag, offered.suite):
            return Attribute("crypto", kept.encode())
        if stream.index not in keys:
            raise LocalProtocolError("an accepted SRTP stream needs a key of ours")
        return Attribute("crypto", offered.answer(keys[stream.index]).encode())


def plan(
    offer: SessionDescription, previous: Negotiation | None = None, policy: AnswerPolicy = DEFAULT_POLICY
) -> MediaPlan:
    """Decide about every m-line of an offer.

    Args:
        offer: the peer's offer.
        previous: state after the last completed exchange, None for the first.
        policy: what this peer may have.

    """
    noted: list[Noted] = []
    changed = True
    slots: tuple[Slot, ...] = ()
    if previous is not None:
        slots = previous.slots
        changed = not offer.same_content(previous.remote)
        _compare_origins(offer, previous.remote, noted, changed=changed)
        if len(offer.media) < len(slots):
            noted.append(Noted(Remark.SLOTS_VANISHED))
    labels: set[str] = set()
    streams = []
    for index, media in enumerate(offer.media):
        prior = slots[index] if index < len(slots) else None
        streams.append(_plan_stream(offer, index, prior, policy, noted))
        label = media.label
        if label is not None and media.port:
            if label in labels:
                noted.append(Noted(Remark.DUPLICATE_LABEL, index))
            labels.add(label)
    return MediaPlan(offer=offer, previous=previous, streams=tuple(streams), noted=tuple(noted), changed=changed)


def _compare_origins(
    offer: SessionDescription, before: SessionDescription, noted: list[Noted], *, changed: bool
) -> None:
    same = msgspec.structs.replace(offer.origin, version="") == msgspec.structs.replace(before.origin, version="")
    if not same:
        noted.append(Noted(Remark.ORIGIN_CHANGED))
    elif changed and offer.origin.version == before.origin.version:
        noted.append(Noted(Remark.VERSION_NOT_RAISED))


def _plan_stream(
    offer: SessionDescription, index: int, prior: Slot | None, policy: AnswerPolicy, noted: list[Noted]
) -> StreamPlan:
    media = offer.media[index]
    crypto: Crypto | None = None
    refusal = _refuse_kind(offer, media, policy)
    if refusal is None and media.protocol.upper() in SECURE_PROTOCOLS:
        crypto = choose_crypto(media, policy, index, noted)
        if crypto is None:
            refusal = Refusal.NO_CRYPTO
    formats: tuple[int, ...] = ()
    known: dict[int, Codec] = {}
    if refusal is None:
        formats, known, refusal = _codecs(media, index, prior, policy, noted)
    if refusal is not None:
        return StreamPlan(
            index=index,
            media=media.media,
            protocol=media.protocol,
            refusal=refusal,
            label=media.label,
            changes=changes_of(prior, accepted=False, recording=False, formats=(), remote=None),
        )
    # RFC 5761 §4: numbers 64 to 95 cannot be told from RTCP on a shared port.
    mux = policy.rtcp_mux and media.value("rtcp-mux") is not None and not any(p in MUX_CONFLICTS for p in formats)
    remote = remote_of(offer, media, index, prior, policy=policy, mux=mux, notes=noted)
    offered = offer.direction_of(media)
    direction = _direction(offered, index, policy, noted)
    # A peer that only wants to receive sends nothing now, and is not asked to.
    held = remote.held or offered is Direction.RECVONLY
    recording = direction is Direction.RECVONLY and not held
    return StreamPlan(
        index=index,
        media=media.media,
        protocol=media.protocol,
        direction=direction,
        formats=formats,
        payload_types=known,
        recording=recording,
        remote_host=remote.host,
        remote_port=remote.port,
        remote_rtcp=remote.rtcp,
        rtcp_mux=mux,
        rtcp_receivers_bps=offer.bandwidth_of(media, "RR"),
        rtcp_senders_bps=offer.bandwidth_of(media, "RS"),
        label=media.label,
        ptime_ms=ptime_of(media),
        crypto=crypto,
        held_by_peer=held,
        zero_address=remote.zero_address,
        changes=changes_of(prior, accepted=True, recording=recording, formats=formats, remote=remote),
    )


def _refuse_kind(offer: SessionDescription, media: MediaDescription, policy: AnswerPolicy) -> Refusal | None:
    # RFC 3264 §8.2: "A stream that is offered with a port of zero MUST be marked with port zero in the answer."
    if media.port == 0:
        return Refusal.REMOVED
    if media.media.lower() != AUDIO:
        return Refusal.MEDIA_TYPE
    protocol = media.protocol.upper()
    if protocol in SECURE_PROTOCOLS:
        if policy.srtp == "refuse":
            return Refusal.SRTP_NOT_ALLOWED
    elif protocol not in PLAIN_PROTOCOLS:
        return Refusal.TRANSPORT
    elif policy.srtp == "require":
        return Refusal.SRTP_REQUIRED
    connection = offer.connection_of(media)
    if connection is not None and connection.multicast:
        return Refusal.MULTICAST
    return None


def _codecs(
    media: MediaDescription, index: int, prior: Slot | None, policy: AnswerPolicy, noted: list[Noted]
) -> tuple[tuple[int, ...], dict[int, Codec], Refusal | None]:
    """Choose formats; return them with everything the stream's payload types ever meant."""
    offered = payload_map(media)
    known = prior.payload_types if prior is not None and prior.live else {}
    remapped = [pt for pt, codec in offered.items() if pt in known and not codec.same_encoding(known[pt])]
    if remapped:
        noted.append(Noted(Remark.PAYLOAD_REMAPPED, index))
        if policy.remapped_payloads == "refuse":
            offered = {pt: codec for pt, codec in offered.items() if pt not in remapped}
    formats = choose_formats(offered, policy)
    if formats:
        return formats, {**known, **offered}, None
    return (), known, Refusal.PAYLOAD_REMAPPED if remapped else Refusal.NO_CODEC


def _direction(offered: Direction, index: int, policy: AnswerPolicy, noted: list[Noted]) -> Direction:
    """Return our direction (RFC 3264 §6.1): recvonly for what is sent, else inactive; a recorder never sends."""
    if offered is Direction.RECVONLY:
        noted.append(Noted(Remark.RECEIVE_ONLY, index))
    if policy.receive and offered in (Direction.SENDONLY, Direction.SENDRECV):
        return Direction.RECVONLY
    return Direction.INACTIVE


def codec_attributes(codecs: Mapping[int, Codec]) -> list[Attribute]:
    """Return rtpmap and fmtp attributes, the latter with the offered parameters (RFC 3264 §6.1)."""
    attributes = []
    for payload_type, codec in codecs.items():
        attributes.append(Attribute("rtpmap", f"{payload_type} {codec.rtpmap}"))
        if codec.fmtp:
            attributes.append(Attribute("fmtp", f"{payload_type} {codec.fmtp}"))
    return attributes


def local_port(index: int, ports: Mapping[int, int]) -> int:
    """Return our port for a stream.

    Raises:
        LocalProtocolError: it is missing or out of range.

    """
    port = ports.get(index, 0)
    if not 0 < port <= MAX_PORT:
        raise LocalProtocolError("an accepted stream needs a local port")
    return port


def settle_version(description: SessionDescription, previous: Negotiation | None) -> SessionDescription:
    """Give a description of ours its version: that of the last one for an identical body, else one higher.

    RFC 3264 §8: "If the version in the origin line does not increment, the SDP MUST be identical to the SDP with that
    version number." The last one is what we sent last, whether or not the peer has agreed to it.
    """
    if previous is None:
        return description
    latest = previous.latest
    current = description.origin.at_version(int(latest.origin.version))
    unchanged = msgspec.structs.replace(description, origin=current)
    # Bytes are compared, because one text can be read in two character sets.
    if previous.version == int(current.version) and unchanged.encode() == latest.encode():
        return latest
    return msgspec.structs.replace(description, origin=current.at_version(previous.version + 1))


def _key_in_use(previous: Negotiation | None, index: int, host: str, port: int) -> Crypto | None:
    if previous is None or index >= len(previous.local.media):
        return None
    before = previous.local.media[index]
    connection = previous.local.connection_of(before)
    value = before.value("crypto")
    if value is None or before.port != port or connection is None or connection.host != host:
        return None
    return parse_crypto(value)
