"""Readings of one m-line that answering and offering share: addresses, pauses, codecs, keys (RFC 3264 §5, §8).

Pure functions; decides nothing about the session as a whole (see `answering`, `offering`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from signaling.sdp.crypto import Crypto, parse_crypto
from signaling.sdp.description import Connection, Direction, MediaDescription, SessionDescription
from signaling.sdp.errors import SdpSyntaxError
from signaling.sdp.grammar import MAX_PORT, number
from signaling.sdp.offer_answer.model import (
    DEFAULT_PTIME_MS,
    AnswerPolicy,
    Change,
    Noted,
    Remark,
    Slot,
)
from signaling.sdp.payloads import COMFORT_NOISE, TELEPHONE_EVENT, Codec

MAX_PTIME_MS: Final = 1000
"""Milliseconds; a packet of G.711 that long would exceed every MTU by far."""


class Remote(msgspec.Struct, frozen=True, gc=False):
    """Where the peer is, and whether it keeps the stream paused."""

    host: str
    port: int
    rtcp: tuple[str, int] | None
    held: bool
    zero_address: bool


def remote_of(
    description: SessionDescription,
    media: MediaDescription,
    index: int,
    prior: Slot | None,
    *,
    policy: AnswerPolicy,
    mux: bool,
    notes: list[Noted],
) -> Remote:
    """Read the peer's addresses and whether it has paused the stream."""
    connection = description.connection_of(media)
    if connection is None:
        notes.append(Noted(Remark.NO_CONNECTION, index))
    zero = connection is not None and connection.unspecified
    inactive = description.direction_of(media) is Direction.INACTIVE
    live = prior is not None and prior.live
    # RFC 3264 §8.4: without an address in the first offer the peer merely does not know it yet; nothing runs that
    # could be held. Once an address was known, its loss is the old form of hold.
    began_without = zero and (not live or (prior is not None and prior.zero_address))
    held = inactive or (zero and not began_without and policy.zero_address_pauses)
    if connection is None or zero:
        return Remote("", 0 if connection is None else media.port, None, held, began_without)
    host = connection.host
    rtcp = _rtcp_of(media, host, index, mux=mux, notes=notes)
    return Remote(host, media.port, rtcp, held, began_without)


def _rtcp_of(
    media: MediaDescription, host: str, index: int, *, mux: bool, notes: list[Noted]
) -> tuple[str, int] | None:
    if mux:
        return host, media.port
    value = media.value("rtcp")
    if value is not None:
        # RFC 3605 §2.1: a port, and optionally network type, address type and address.
        fields = value.split()
        port = number(fields[0], MAX_PORT) if fields else None
        if port and len(fields) in (1, 4):
            other = Connection(*fields[1:]) if len(fields) == 4 else None
            if other is None:
                return host, port
            return None if other.unspecified else (other.host, port)
        notes.append(Noted(Remark.BAD_RTCP_ADDRESS, index))
    return (host, media.port + 1) if media.port < MAX_PORT else None


def ptime_of(media: MediaDescription) -> float:
    """Return the packet length in milliseconds, the usual 20 when nothing readable is said."""
    whole, _, fraction = (media.value("ptime") or "").strip().partition(".")
    milliseconds = number(whole, MAX_PTIME_MS)
    if not milliseconds:
        return DEFAULT_PTIME_MS
    return float(f"{milliseconds}.{fraction}") if number(fraction, 999_999) is not None else float(milliseconds)


def choose_formats(offered: dict[int, Codec], policy: AnswerPolicy) -> tuple[int, ...]:
    """Return the payload types to accept, in the offer's order; empty when no audio codec is usable.

    One audio codec, or all, as the policy says; with it the telephone-event and comfort noise of its clock rate.
    """
    audio: list[int] = []
    events: list[int] = []
    noise: list[int] = []
    for payload_type, codec in offered.items():
        if codec.name == TELEPHONE_EVENT:
            events.append(payload_type)
        elif codec.name == COMFORT_NOISE:
            noise.append(payload_type)
        elif codec.name in policy.codecs:
            audio.append(payload_type)
    if not audio:
        return ()
    if policy.codec_order == "policy":
        audio.sort(key=lambda payload_type: policy.codecs.index(offered[payload_type].name))
    if policy.answer_codecs == "one":
        del audio[1:]
        clock_rate = offered[audio[0]].clock_rate
        # Some clients announce events at 8000 Hz beside a wide-band codec and send them nevertheless.
        events = _fitting(events, offered, clock_rate) or events[:1]
        noise = _fitting(noise, offered, clock_rate)
    if policy.codec_order == "policy":
        return (*audio, *events, *noise)
    chosen = {*audio, *events, *noise}
    return tuple([payload_type for payload_type in offered if payload_type in chosen])


def _fitting(companions: list[int], offered: dict[int, Codec], clock_rate: int) -> list[int]:
    return [payload_type for payload_type in companions if offered[payload_type].clock_rate == clock_rate][:1]


def choose_crypto(media: MediaDescription, policy: AnswerPolicy, index: int, notes: list[Noted]) -> Crypto | None:
    """Return the first valid attribute with a suite and parameters that we support (RFC 4568 §5.1.2)."""
    tags: set[int] = set()
    for value in media.values("crypto"):
        try:
            crypto = parse_crypto(value)
        except SdpSyntaxError:
            notes.append(Noted(Remark.BAD_CRYPTO, index))
            continue
        if crypto.tag in tags:
            notes.append(Noted(Remark.BAD_CRYPTO, index))
            continue
        tags.add(crypto.tag)
        if crypto.suite in policy.crypto_suites and crypto.acceptable:
            return crypto
    return None


def changes_of(
    prior: Slot | None, *, accepted: bool, recording: bool, formats: tuple[int, ...], remote: Remote | None
) -> frozenset[Change]:
    """Compare a stream with what its slot held before."""
    if prior is None or not prior.live:
        if not accepted:
            return frozenset()
        return frozenset({Change.ADDED if prior is None else Change.REUSED})
    if not accepted or remote is None:
        return frozenset({Change.REMOVED})
    changes = set()
    if recording != prior.recording:
        changes.add(Change.RESUMED if recording else Change.PAUSED)
    if formats != prior.formats:
        changes.add(Change.CODECS)
    if (remote.host, remote.port) != (prior.remote_host, prior.remote_port):
        changes.add(Change.MOVED)
    return frozenset(changes)
