"""From what offer/answer decided to what a writer is told and the catalog keeps."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from media.writer.protocol import Codec, Reports, StreamSpec
from recorder.edge.profile import PeerProfile
from recorder.frontend.protection import awaited, protection_of
from signaling.sdp import Origin
from signaling.sdp.offer_answer import MediaPlan, Refusal, StreamPlan, initial_payload_types
from signaling.sdp.payloads import Codec as OfferedCodec
from storage.catalog.records import StreamOpening

_CODECS_REMEMBERED: Final = 1024
_UNKNOWN_PTIME_MS: Final = 20.0
_LATE_OFFER_STREAMS: Final = 1
"""A client without an offer (Cisco built-in bridge) sends one stream per dialog."""


def session_origin(segment: UUID, host: str) -> Origin:
    """Return the origin line of our descriptions of a session; the same in every process that speaks for it."""
    return Origin.ours(segment.int >> 66, host, username="srs")


def stream_specs(
    streams: Iterable[StreamPlan],
    previous: Iterable[StreamSpec],
    profile: PeerProfile,
    own_keys: Mapping[int, bytes] | None = None,
) -> list[StreamSpec]:
    """Return one spec per accepted stream; a stream that was there before keeps its port and its party.

    Unless the client's profile says otherwise, the party of m-line 1 is the left channel, that of m-line 2 the right
    one, and so on. `own_keys` are our SRTP keys by index, where they are not those of before.
    """
    before = {spec.index: spec for spec in previous}
    # RFC 7022 §4.2: short-term and random, and one for all streams of the session.
    cname = next((spec.reports.cname for spec in before.values() if spec.reports), "") or secrets.token_urlsafe(12)
    specs = []
    for stream in streams:
        if not stream.accepted:
            continue
        known = before.get(stream.index)
        specs.append(
            StreamSpec(
                index=stream.index,
                party=known.party if known else profile.party_of(stream.index),
                label=stream.label or "",
                payload_types={number: _writers_codec(codec) for number, codec in stream.payload_types.items()},
                ptime_ms=stream.ptime_ms,
                remote_host=stream.remote_host,
                remote_port=stream.remote_port,
                port=known.port if known else 0,
                rtcp_mux=stream.rtcp_mux,
                recording=stream.recording,
                protection=protection_of(stream, own_keys or {}, known.protection if known else None),
                mask_events=profile.mask_events,
                reports=_reports(stream, known.reports if known else None, cname),
            )
        )
    return specs


def late_offer_specs(profile: PeerProfile) -> list[StreamSpec]:
    """Return the streams of an offer of ours to a client that brought none.

    "The offerer MUST be prepared to receive media for any recvonly streams described by that offer as soon as it sends
    the offer" (RFC 3264 section 5.1): with what it may send, before the ACK says what it will.
    """
    return [
        StreamSpec(
            index=index,
            party=profile.party_of(index),
            payload_types={
                number: _writers_codec(codec) for number, codec in initial_payload_types(profile.answer).items()
            },
            ptime_ms=_UNKNOWN_PTIME_MS,
            protection=awaited(profile.answer),
            mask_events=profile.mask_events,
        )
        for index in range(_LATE_OFFER_STREAMS)
    ]


@lru_cache(maxsize=_CODECS_REMEMBERED)
def _writers_codec(codec: OfferedCodec) -> Codec:
    """Return a codec in the writer's terms; a site has few different ones."""
    return Codec(name=codec.name, clock_rate=codec.clock_rate, channels=codec.channels, fmtp=codec.fmtp)


@lru_cache(maxsize=_CODECS_REMEMBERED)
def _codec_facts(codec: Codec) -> Mapping[str, object]:
    """Return a codec as the catalog keeps it; whoever gets it changes nothing in it."""
    facts: dict[str, object] = msgspec.to_builtins(codec)
    return facts


def _reports(stream: StreamPlan, before: Reports | None, cname: str) -> Reports | None:
    """Return how receiver reports on a stream are sent; None where the client wants none."""
    if stream.rtcp_receivers_bps == 0:
        return None  # RFC 3556 section 2
    if stream.held_by_peer and not stream.remote_host:
        return None  # RFC 3264 section 8.4: neither RTP nor RTCP to an unspecified address
    host, port = stream.remote_rtcp or ("", 0)
    return Reports(
        ssrc=before.ssrc if before else secrets.randbits(32),
        cname=cname,
        host=host,
        port=port,
        bandwidth_bps=float((stream.rtcp_receivers_bps or 0) + (stream.rtcp_senders_bps or 0)),
    )


def remarks(media: MediaPlan) -> tuple[str, ...]:
    """Return what was tolerated or refused in an offer, as warnings of the recording."""
    return (
        *(f"offer: {fault.code} at line {fault.line}" for fault in media.offer.faults),
        *(f"m-line {noted.index + 1}: {noted.remark}" for noted in media.noted),
        *(
            f"m-line {stream.index + 1} is not recorded: {stream.refusal}"
            for stream in media.streams
            if stream.refusal not in {None, Refusal.REMOVED}
        ),
    )


def with_ports(specs: Iterable[StreamSpec], ports: Mapping[int, int]) -> list[StreamSpec]:
    """Return the specs with the ports that the writer gave them."""
    return [msgspec.structs.replace(spec, port=ports[spec.index]) for spec in specs]


def stream_openings(specs: Iterable[StreamSpec], who: Mapping[int, Mapping[str, object]]) -> tuple[StreamOpening, ...]:
    """Return the catalog's rows for the streams."""
    return tuple(
        StreamOpening(
            index=spec.index,
            party=spec.party,
            label=spec.label,
            participant=who.get(spec.index),
            payload_types={str(number): _codec_facts(codec) for number, codec in spec.payload_types.items()},
            descriptor={
                "port": spec.port,
                "remote_host": spec.remote_host,
                "remote_port": spec.remote_port,
                "recording": spec.recording,
                "ptime_ms": spec.ptime_ms,
            },
        )
        for spec in specs
    )
