"""Session descriptions under arbitrary input, and offer/answer under arbitrary sequences."""

from __future__ import annotations

import binascii
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signaling.sdp import (
    Attribute,
    Codec,
    Connection,
    Direction,
    Forgiven,
    Line,
    MediaDescription,
    Origin,
    SdpSyntaxError,
    SessionDescription,
    parse_sdp,
    payload_map,
)
from signaling.sdp.crypto import KEY_SALT_LENGTHS, Crypto, MasterKey, parse_crypto
from signaling.sdp.grammar import MAX_BYTES
from signaling.sdp.offer_answer import AnswerPolicy, Negotiation, conclude, offer_again, offer_for_move, plan

CORPUS = Path(__file__).parents[1] / "corpus"
SEEDS = sorted(path.read_bytes() for folder in ("sdp", "vendor") for path in (CORPUS / folder).glob("*.*"))
HOST = "192.0.2.50"
ORIGIN = Origin.ours(7001, HOST)
SECONDS_FOR_THE_LARGEST_INPUT = 5.0
"""A hundred times what linear work takes here; quadratic work would take minutes."""

token = st.text(st.sampled_from("abcXYZ019-._~+!"), min_size=1, max_size=12)
value = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=30)
port = st.integers(0, 65535)


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    return Connection(draw(token), draw(token), draw(token))


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    return Attribute(draw(token), draw(st.none() | value))


@st.composite
def media_descriptions(draw: st.DrawFn) -> MediaDescription:
    return MediaDescription(
        media=draw(token),
        port=draw(port),
        protocol=draw(token),
        formats=tuple(draw(st.lists(token, min_size=1, max_size=5))),
        connection=draw(st.none() | connections()),
        lines=tuple(sorted(draw(st.lists(st.builds(Line, st.sampled_from("bi"), value), max_size=3)), key=order)),
        attributes=tuple(draw(st.lists(attributes(), max_size=5))),
    )


def order(line: Line) -> int:
    return "iuepcbk".index(line.kind)


@st.composite
def descriptions(draw: st.DrawFn) -> SessionDescription:
    return SessionDescription(
        origin=Origin(*[draw(token) for _ in range(6)]),
        name=draw(value.filter(bool)),
        connection=draw(st.none() | connections()),
        timing=(Line("t", draw(value)), *draw(st.lists(st.builds(Line, st.sampled_from("rz"), value), max_size=2))),
        lines=tuple(sorted(draw(st.lists(st.builds(Line, st.sampled_from("iuepbk"), value), max_size=4)), key=order)),
        attributes=tuple(draw(st.lists(attributes(), max_size=5))),
        media=tuple(draw(st.lists(media_descriptions(), max_size=4))),
    )


@given(descriptions())
def test_what_is_written_is_read_back_the_same(description: SessionDescription) -> None:
    assert parse_sdp(description.encode()) == description


def handle(body: bytes) -> None:
    """Do to a body what is done to a received one; only our own error may come out."""
    try:
        offer = parse_sdp(body)
    except SdpSyntaxError:
        return
    written = offer.encode()
    if len(written) <= MAX_BYTES:
        assert parse_sdp(written).encode() == written
    media = plan(offer, None, AnswerPolicy(srtp="allow"))
    ports = {stream.index: 40000 + 2 * stream.index for stream in media.accepted}
    keys = {
        stream.index: bytes([stream.index]) * KEY_SALT_LENGTHS[stream.crypto.suite]
        for stream in media.accepted
        if stream.crypto
    }
    answer = media.to_answer(HOST, ports, ORIGIN, keys)
    assert [m.media for m in answer.media] == [m.media for m in offer.media]
    written = answer.encode()
    if len(written) <= MAX_BYTES:
        again = parse_sdp(written)
        assert again.encode() == written
        assert {fault.code for fault in again.faults} <= {Forgiven.CHARACTER_SET}
    state = media.negotiation(answer)
    assert Negotiation.restore(state.snapshot()) == state


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_our_error(body: bytes) -> None:
    handle(body)
    handle(b"v=0\r\n" + body)
    handle(b"m=audio 1 RTP/SAVP 0\r\na=crypto:1 " + body)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mutated_bodies_raise_only_our_error(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(0, 12))
        body[place : place + length] = data.draw(st.binary(max_size=6) | st.sampled_from([b"\r\n", b"a=", b"m=", b"0"]))
        body = body or bytearray(b"v")
    handle(bytes(body))


@pytest.mark.parametrize(
    "pattern",
    [
        b"\n", b"\r", b"=", b"a=", b"a=rtpmap:0 \n", b"a=fmtp:\n", b"m=audio 1 RTP/AVP" + b" 0" * 50 + b"\n", b"c=\n",
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:|;\n", b"b=RR:1\n", b"\0", b"\xff", b"a=rtpmap:0 /////\n",
        b"v=0\no=\ns=\nt=\n", b" ", b"a=label:1\n", b"a=inactive\n",
    ],
)  # fmt: skip
def test_the_largest_inputs_take_linear_time(pattern: bytes) -> None:
    body = b"v=0\nm=audio 1 RTP/SAVP 0" + pattern * (MAX_BYTES // len(pattern))
    started = time.process_time()
    handle(body[:MAX_BYTES])
    handle(b"v=0\nm=audio 1 RTP/SAVP 0\na=rtpmap:0" + b"0" * 60_000)
    assert time.process_time() - started < SECONDS_FOR_THE_LARGEST_INPUT


@given(st.data())
def test_crypto_attributes_are_read_back_as_written(data: st.DataObject) -> None:
    suite = data.draw(st.sampled_from(sorted(KEY_SALT_LENGTHS)))
    length = KEY_SALT_LENGTHS[suite]
    mki_length = data.draw(st.integers(1, 8))
    count = data.draw(st.integers(1, 3))
    keys = tuple(
        MasterKey(
            data.draw(st.binary(min_size=length, max_size=length)),
            data.draw(st.none() | st.integers(1, 1 << 48)),
            data.draw(st.integers(0, (1 << (8 * mki_length)) - 1)),
            mki_length,
        )
        for _ in range(count)
    )
    crypto = Crypto(data.draw(st.integers(0, 999)), suite, keys, tuple(data.draw(st.lists(token, max_size=2))))
    assert parse_crypto(crypto.encode()) == crypto
    assert all(binascii.b2a_base64(key.key_salt[:12]).decode().strip() not in repr(crypto) for key in keys)


# Mappings of a few numbers to a few codecs, so that a later offer often contradicts an earlier one.
MAPPINGS = (
    "0 PCMU/8000", "8 PCMA/8000", "18 G729/8000", "96 opus/48000/2", "96 AMR/8000", "97 iLBC/8000", "97 opus/48000/2",
    "101 telephone-event/8000", "101 opus/48000/2", "120 EVS/16000",
)  # fmt: skip
LEGAL_ANSWERS = {
    Direction.SENDONLY: {Direction.RECVONLY, Direction.INACTIVE},
    Direction.SENDRECV: {Direction.RECVONLY, Direction.INACTIVE},
    Direction.RECVONLY: {Direction.INACTIVE},
    Direction.INACTIVE: {Direction.INACTIVE},
}


@st.composite
def offered_streams(draw: st.DrawFn) -> MediaDescription:
    mappings = draw(st.lists(st.sampled_from(MAPPINGS), min_size=1, max_size=4, unique_by=lambda m: m.split()[0]))
    found = [Attribute("rtpmap", mapping) for mapping in mappings]
    direction = draw(st.none() | st.sampled_from(Direction))
    if direction is not None:
        found.append(Attribute(direction.value))
    label = draw(st.none() | token)
    if label is not None:
        found.append(Attribute("label", label))
    if draw(st.booleans()):
        found.append(Attribute("rtcp-mux"))
    return MediaDescription(
        media=draw(st.sampled_from(("audio", "audio", "audio", "video"))),
        port=draw(st.sampled_from((0, 10000, 20000, 30000))),
        protocol=draw(st.sampled_from(("RTP/AVP", "RTP/AVP", "RTP/AVPF", "RTP/SAVP"))),
        formats=tuple([mapping.split()[0] for mapping in mappings]),
        connection=draw(st.sampled_from((None, Connection.to("198.51.100.2"), Connection.to("0.0.0.0")))),
        attributes=tuple(found),
    )


class AnySequenceOfOffers(RuleBasedStateMachine):
    """A peer that offers anything, in any order, and answers our moves in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Negotiation | None = None
        self.sent: dict[str, bytes] = {}
        self.meanings: list[dict[int, Codec]] = []
        self.version = 0
        self.slots = 0

    @rule(streams=st.lists(offered_streams(), max_size=4), raised=st.booleans(), keep=st.booleans())
    def the_peer_offers(self, streams: list[MediaDescription], raised: bool, keep: bool) -> None:
        if keep and self.state is not None:
            streams = [*streams, *self.state.remote.media[len(streams) :]]
        before = int(self.state.remote.origin.version) if self.state and self.state.remote.origin.version else 1
        offer = SessionDescription(
            origin=Origin("SRC", "1", str(before + raised), "IN", "IP4", "198.51.100.1"),
            connection=Connection.to("198.51.100.1"),
            media=tuple(streams),
        )
        media = plan(parse_sdp(offer.encode()), self.state)
        ports = {stream.index: 40000 + 2 * stream.index for stream in media.accepted}
        answer = media.to_answer(HOST, ports, ORIGIN)
        if not media.usable:
            return
        self.check_answer(media.offer, answer)
        self.state = media.negotiation(answer)
        self.record(answer)
        for stream in media.streams:
            offered = media.offer.direction_of(media.offer.media[stream.index])
            assert not (stream.recording and offered in (Direction.INACTIVE, Direction.RECVONLY))

    def check_answer(self, offer: SessionDescription, answer: SessionDescription) -> None:
        assert answer.timing == offer.timing
        assert len(answer.media) == len(offer.media)
        for theirs, ours in zip(offer.media, answer.media, strict=True):
            assert (ours.media, ours.protocol, ours.label) == (theirs.media, theirs.protocol, theirs.label)
            assert set(ours.formats) <= set(theirs.formats)
            assert ours.formats
            if ours.port:
                assert theirs.port
                assert ours.direction in LEGAL_ANSWERS[offer.direction_of(theirs)]
                places = [theirs.formats.index(number) for number in ours.formats]
                assert places == sorted(places)
                assert (ours.value("rtcp-mux") is not None) <= (theirs.value("rtcp-mux") is not None)

    def record(self, ours: SessionDescription) -> None:
        """Compare a description of ours with all that went before."""
        body = ours.encode()
        assert self.sent.setdefault(ours.origin.version, body) == body
        assert ours.origin.at_version(1) == ORIGIN
        assert int(ours.origin.version) >= self.version
        self.version = int(ours.origin.version)
        self.meanings += [{} for _ in range(len(ours.media) - len(self.meanings))]
        for index, meanings in enumerate(self.meanings):
            if index >= len(ours.media) or ours.media[index].port == 0:
                meanings.clear()
                continue
            for number, codec in payload_map(ours.media[index]).items():
                assert meanings.setdefault(number, codec).same_encoding(codec)

    @precondition(lambda self: self.state is not None)
    @rule(
        shift=st.integers(0, 3),
        accepted=st.booleans(),
        directions=st.lists(st.sampled_from(("sendonly", "inactive", "sendrecv")), min_size=8, max_size=8),
    )
    def we_move(self, shift: int, accepted: bool, directions: list[str]) -> None:
        assert self.state is not None
        ports = {i: 41000 + 100 * shift + 2 * i for i, slot in enumerate(self.state.slots) if slot.live}
        offer = offer_for_move(self.state, HOST, ports)
        assert len(offer.media) >= self.slots
        for slot, media in zip(self.state.slots, offer.media, strict=True):
            assert (media.port != 0) == slot.live
            assert not (slot.held_by_peer and media.direction is Direction.RECVONLY)
        self.record(offer)
        if not accepted:
            self.state = self.state.offered(offer)
            return
        answer = msgspec.structs.replace(
            offer,
            origin=self.state.remote.origin,
            connection=Connection.to("198.51.100.3"),
            media=tuple(
                [
                    msgspec.structs.replace(
                        media,
                        attributes=tuple(
                            [
                                Attribute(directions[index] if media.direction is Direction.RECVONLY else "inactive")
                                if attribute.name in ("recvonly", "inactive")
                                else attribute
                                for attribute in media.attributes
                            ]
                        ),
                    )
                    for index, media in enumerate(offer.media)
                ]
            ),
        )
        held = [slot.held_by_peer for slot in self.state.slots]
        conclusion = conclude(offer, answer, self.state)
        for stream, was_held in zip(conclusion.streams, held, strict=True):
            assert not (was_held and stream.recording)
        self.state = conclusion.negotiation

    @invariant()
    def a_held_stream_is_never_asked_for(self) -> None:
        if self.state is not None:
            offer = offer_again(self.state)
            for slot, media in zip(self.state.slots, offer.media, strict=True):
                assert not (slot.held_by_peer and media.direction is Direction.RECVONLY)
                assert not (slot.held_by_peer and slot.recording)

    @invariant()
    def slots_never_vanish(self) -> None:
        count = len(self.state.slots) if self.state else 0
        assert count >= self.slots
        self.slots = count

    @invariant()
    def nothing_is_lost_by_a_takeover(self) -> None:
        if self.state is not None:
            assert Negotiation.restore(self.state.snapshot()) == self.state


AnySequenceOfOffers.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestAnySequenceOfOffers = AnySequenceOfOffers.TestCase
