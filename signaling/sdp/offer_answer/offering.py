"""Offers of our own: in the 2xx to an INVITE without one, and with a new media address (RFC 3264 §5, §8.3.1).

`initial_offer` and `offer_for_move` build descriptions, `conclude` applies the peer's answer. A recorder's offer may
remove or move streams and never adds one to a running session (RFC 7866 §7.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sdp.crypto import Crypto, MasterKey, check_key, parse_crypto
from signaling.sdp.description import Attribute, Connection, Direction, MediaDescription, Origin, SessionDescription
from signaling.sdp.offer_answer.answering import AUDIO, codec_attributes, local_port, settle_version
from signaling.sdp.offer_answer.model import (
    DEFAULT_POLICY,
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
from signaling.sdp.offer_answer.streams import changes_of, choose_crypto, ptime_of, remote_of
from signaling.sdp.payloads import MAX_PAYLOAD_TYPE, MUX_CONFLICTS, STATIC, Codec, payload_map

DIRECTIONS: Final = (Direction.RECVONLY.value, Direction.INACTIVE.value)

_EVENTS: Final = Codec("TELEPHONE-EVENT", 8000, 1, "0-15")
_EVENTS_TYPE: Final = 101
"""The number that nearly every client uses for events, which spares it a translation."""


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer to an offer of ours came to."""

    streams: tuple[StreamPlan, ...]
    """One for each m-line of our offer, in its order."""
    negotiation: Negotiation
    """State to remember from now on."""
    noted: tuple[Noted, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether at least one stream runs."""
        return any(stream.accepted for stream in self.streams)


def initial_payload_types(policy: AnswerPolicy = DEFAULT_POLICY) -> dict[int, Codec]:
    """Return the payload types of every stream of an initial offer; media of any may come before the answer does.

    Raises:
        LocalProtocolError: no codec of the policy has a static payload type.

    """
    codecs = {
        payload_type: codec
        for name in policy.codecs
        for payload_type, codec in STATIC.items()
        if codec.name == name and codec.channels == 1
    }
    if not codecs:
        raise LocalProtocolError("no codec of the policy has a static payload type")
    codecs[_EVENTS_TYPE] = _EVENTS
    return codecs


def initial_offer(
    host: str,
    ports: Sequence[int],
    origin: Origin,
    policy: AnswerPolicy = DEFAULT_POLICY,
    *,
    keys: Mapping[int, bytes] | None = None,
) -> SessionDescription:
    """Offer one receive-only audio m-line for each port, for an INVITE that came without an offer.

    Only codecs with a static payload type are offered, and telephone-event: a client without SDP in its INVITE names
    its own choice in the answer, from what every endpoint has.

    Args:
        host: our media address.
        ports: local RTP port of each stream.
        origin: our origin.
        policy: what this peer may have; with SRTP required, the streams are offered as RTP/SAVP.
        keys: SRTP master key and salt for each stream, by its index; needed when SRTP is required.

    Raises:
        LocalProtocolError: a port or key is missing or invalid, or no codec of the policy has a static payload type.

    """
    codecs = initial_payload_types(policy)
    direction = Direction.RECVONLY if policy.receive else Direction.INACTIVE
    secure = policy.srtp == "require"
    numbered = dict(enumerate(ports))
    media = []
    for index in numbered:
        crypto = (_first_key(policy.crypto_suites, index, keys or {}),) if secure else ()
        media.append(
            MediaDescription(
                media=AUDIO,
                port=local_port(index, numbered),
                protocol="RTP/SAVP" if secure else "RTP/AVP",
                formats=tuple([str(payload_type) for payload_type in codecs]),
                attributes=(*codec_attributes(codecs), *crypto, Attribute(direction.value)),
            )
        )
    return SessionDescription(origin=origin, connection=Connection.to(host), media=tuple(media))


def _first_key(suites: Sequence[str], index: int, keys: Mapping[int, bytes]) -> Attribute:
    suite = suites[0] if suites else ""
    key_salt = keys.get(index, b"")
    check_key(suite, key_salt)
    return Attribute("crypto", Crypto(1, suite, (MasterKey(key_salt),)).encode())


def offer_again(previous: Negotiation, *, receive: bool = True) -> SessionDescription:
    """Offer the running session as it is, for a re-INVITE that came without an offer (RFC 3261 §14.2).

    Same address, ports and keys; a stream that the peer paused is inactive.

    Args:
        previous: state after the last completed exchange.
        receive: False asks for nothing yet (RFC 7866 §7.2).

    """
    connection = previous.local.connection
    ports = {index: media.port for index, media in enumerate(previous.local.media)}
    return offer_for_move(previous, connection.host if connection else "", ports, receive=receive)


def offer_for_move(
    previous: Negotiation,
    host: str,
    ports: Mapping[int, int],
    *,
    keys: Mapping[int, bytes] | None = None,
    receive: bool = True,
) -> SessionDescription:
    """Offer the running session again from another media address.

    Same m-lines, formats and labels. A stream that the peer paused stays inactive: a recorder never asks for audio
    that was paused. The new ports must be receiving before the offer leaves, and the old ones until audio has
    arrived on the new (RFC 3264 §8.3.1).

    Args:
        previous: state after the last completed exchange.
        host: our new media address.
        ports: new local RTP port for each live stream, by its index; 0 removes the stream.
        keys: fresh SRTP master key and salt for each live SRTP stream that moves (RFC 4568 §7.1.4), by its index.
        receive: False asks for nothing yet (RFC 7866 §7.2).

    Raises:
        LocalProtocolError: a live stream has no entry in `ports`, or an SRTP stream none in `keys`.

    """
    media = tuple(
        [_moved(previous, index, host, ports, keys=keys or {}, receive=receive) for index in range(len(previous.slots))]
    )
    offer = msgspec.structs.replace(previous.local, connection=Connection.to(host), media=media)
    return settle_version(offer, previous)


def _moved(
    previous: Negotiation,
    index: int,
    host: str,
    ports: Mapping[int, int],
    *,
    keys: Mapping[int, bytes],
    receive: bool,
) -> MediaDescription:
    slot = previous.slots[index]
    if not slot.live or ports.get(index) == 0:
        formats = tuple([str(payload_type) for payload_type in slot.formats[:1]])
        return MediaDescription(media=slot.media, port=0, protocol=slot.protocol, formats=formats or ("0",))
    before = previous.local.media[index]
    direction = Direction.RECVONLY if receive and not slot.held_by_peer else Direction.INACTIVE
    stays = before.port == ports.get(index) and previous.local.connection == Connection.to(host)
    attributes = []
    for attribute in before.attributes:
        if attribute.name == "crypto" and not stays:
            attributes.append(Attribute("crypto", _rekeyed(attribute.value or "", index, keys).encode()))
        elif attribute.name in DIRECTIONS:
            attributes.append(Attribute(direction.value))
        else:
            attributes.append(attribute)
    return msgspec.structs.replace(before, port=local_port(index, ports), connection=None, attributes=tuple(attributes))


def _rekeyed(value: str, index: int, keys: Mapping[int, bytes]) -> Crypto:
    # RFC 4568 §7.1.4: "If the offerer includes an IP address and/or port that differs from that used previously for
    # a media stream (or FEC stream), the offerer MUST include a new master key with the offer."
    before = parse_crypto(value)
    key_salt = keys.get(index, b"")
    check_key(before.suite, key_salt)
    if any(key.key_salt == key_salt for key in before.keys):
        raise LocalProtocolError("a moved SRTP stream needs a new key")
    return Crypto(before.tag, before.suite, (MasterKey(key_salt),))


def conclude(
    offer: SessionDescription,
    answer: SessionDescription,
    previous: Negotiation | None = None,
    policy: AnswerPolicy = DEFAULT_POLICY,
) -> Conclusion:
    """Apply the peer's answer to an offer of ours (RFC 3264 §7).

    Args:
        offer: what we sent.
        answer: what came back, in a 2xx or in the ACK of an INVITE that had no offer.
        previous: state after the last completed exchange, None when this is the first.
        policy: what this peer may have.

    """
    noted: list[Noted] = []
    slots = () if previous is None else previous.slots
    if len(answer.media) > len(offer.media):
        noted.append(Noted(Remark.SURPLUS_LINES))
    streams = tuple(
        [
            _concluded(offer, answer, index, slots[index] if index < len(slots) else None, policy=policy, noted=noted)
            for index in range(len(offer.media))
        ]
    )
    negotiation = Negotiation(
        local=offer,
        remote=answer,
        slots=remember(streams, previous),
        version=max(int(offer.origin.version), previous.version if previous else 0),
    )
    return Conclusion(streams=streams, negotiation=negotiation, noted=tuple(noted))


def _concluded(
    offer: SessionDescription,
    answer: SessionDescription,
    index: int,
    prior: Slot | None,
    *,
    policy: AnswerPolicy,
    noted: list[Noted],
) -> StreamPlan:
    ours = offer.media[index]
    theirs = answer.media[index] if index < len(answer.media) else None
    crypto: Crypto | None = None
    refusal: Refusal | None = None
    if theirs is None:
        noted.append(Noted(Remark.LINE_NOT_ANSWERED, index))
        refusal = Refusal.REMOVED
    elif ours.port == 0 or theirs.port == 0:
        refusal = Refusal.REMOVED
    elif ours.protocol.upper() in SECURE_PROTOCOLS:
        crypto = _answered_crypto(ours, theirs, policy, index, noted)
        refusal = Refusal.NO_CRYPTO if crypto is None else None
    if theirs is None or refusal is not None:
        return StreamPlan(
            index=index,
            media=ours.media,
            protocol=ours.protocol,
            refusal=refusal,
            label=ours.label,
            changes=changes_of(prior, accepted=False, recording=False, formats=(), remote=None),
        )
    if theirs.protocol.upper() != ours.protocol.upper():
        noted.append(Noted(Remark.TRANSPORT_CHANGED, index))
    formats, known = _answered_formats(ours, theirs, index, prior, noted)
    mux = (
        ours.value("rtcp-mux") is not None
        and theirs.value("rtcp-mux") is not None
        and not any(payload_type in MUX_CONFLICTS for payload_type in formats)
    )
    remote = remote_of(answer, theirs, index, prior, policy=policy, mux=mux, notes=noted)
    asked = offer.direction_of(ours) is Direction.RECVONLY
    # An answer can only be inactive to an inactive offer (RFC 3264 §6.1), so it does not tell whether the peer has
    # paused; what was known before remains.
    held = remote.held if asked else prior is not None and prior.held_by_peer
    if answer.direction_of(theirs) is Direction.RECVONLY:
        noted.append(Noted(Remark.RECEIVE_ONLY, index))
    recording = asked and not held
    return StreamPlan(
        index=index,
        media=ours.media,
        protocol=ours.protocol,
        direction=Direction.RECVONLY if asked else Direction.INACTIVE,
        formats=formats,
        payload_types=known,
        recording=recording,
        remote_host=remote.host,
        remote_port=remote.port,
        remote_rtcp=remote.rtcp,
        rtcp_mux=mux,
        rtcp_receivers_bps=answer.bandwidth_of(theirs, "RR"),
        rtcp_senders_bps=answer.bandwidth_of(theirs, "RS"),
        label=theirs.label if theirs.label is not None else ours.label,
        ptime_ms=ptime_of(theirs),
        crypto=crypto,
        held_by_peer=held,
        zero_address=remote.zero_address,
        changes=changes_of(prior, accepted=True, recording=recording, formats=formats, remote=remote),
    )


def _answered_formats(
    ours: MediaDescription, theirs: MediaDescription, index: int, prior: Slot | None, noted: list[Noted]
) -> tuple[tuple[int, ...], dict[int, Codec]]:
    offered = payload_map(ours)
    answered = payload_map(theirs)
    known = prior.payload_types if prior is not None and prior.live else {}
    formats = tuple([payload_type for payload_type in answered if payload_type in offered])
    if len(formats) < len(answered):
        noted.append(Noted(Remark.FORMAT_NOT_OFFERED, index))
    # RFC 3264 §6.1: the peer sends with the numbers of our offer; a number it adds of its own is only remembered.
    meanings = {**answered, **known, **offered}
    return formats or tuple(sorted(offered)), {pt: meanings[pt] for pt in sorted(meanings) if pt <= MAX_PAYLOAD_TYPE}


def _answered_crypto(
    ours: MediaDescription, theirs: MediaDescription, policy: AnswerPolicy, index: int, noted: list[Noted]
) -> Crypto | None:
    # RFC 4568 §5.1.3: the offerer verifies that an offered suite and its tag were echoed.
    chosen = choose_crypto(theirs, policy, index, noted)
    if chosen is None:
        return None
    offered = [parse_crypto(value) for value in ours.values("crypto")]
    return chosen if any((c.tag, c.suite) == (chosen.tag, chosen.suite) for c in offered) else None
