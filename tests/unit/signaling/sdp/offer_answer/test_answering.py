"""Answers of a receiver: literal offers in, literal answers out."""

from __future__ import annotations

import msgspec
import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp import Codec, Direction, parse_sdp
from signaling.sdp.offer_answer import (
    AnswerPolicy,
    Change,
    MediaPlan,
    Negotiation,
    Noted,
    Refusal,
    Remark,
    StreamPlan,
    offer_for_move,
    plan,
)
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, TWO_STREAMS, sdp, text_of

PORTS = {index: 40000 + 2 * index for index in range(8)}


def offered(text: str, previous: Negotiation | None = None, **policy: object) -> MediaPlan:
    return plan(sdp(text), previous, msgspec.convert(policy, AnswerPolicy))


def answer_text(text: str, **policy: object) -> str:
    return text_of(offered(text, None, **policy).to_answer(HOST, PORTS, ORIGIN))


def answered(text: str, previous: Negotiation | None = None, **policy: object) -> Negotiation:
    media = offered(text, previous, **policy)
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))


def stream(text: str, index: int = 0, **policy: object) -> StreamPlan:
    return offered(text, None, **policy).streams[index]


def one(attributes: str, formats: str = "0", proto: str = "RTP/AVP", media: str = "audio", port: int = 12240) -> str:
    session = "v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\n"
    return f"{session}m={media} {port} {proto} {formats}\n{attributes}"


def test_the_usual_two_streams() -> None:
    assert answer_text(TWO_STREAMS) == (
        "v=0\no=srs 7001 1 IN IP4 192.0.2.50\ns=-\nc=IN IP4 192.0.2.50\nt=0 0\n"
        "m=audio 40000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
        "a=recvonly\na=label:96\n"
        "m=audio 40002 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
        "a=recvonly\na=label:97\n"
    )


def test_what_a_writer_needs_to_know_of_a_stream() -> None:
    first = stream(TWO_STREAMS)
    assert first == StreamPlan(
        index=0,
        media="audio",
        protocol="RTP/AVP",
        direction=Direction.RECVONLY,
        formats=(0, 101),
        payload_types={
            0: Codec("PCMU", 8000),
            8: Codec("PCMA", 8000),
            101: Codec("TELEPHONE-EVENT", 8000, 1, "0-15"),
        },
        recording=True,
        remote_host="198.51.100.1",
        remote_port=12240,
        remote_rtcp=("198.51.100.1", 12241),
        label="96",
        changes=frozenset({Change.ADDED}),
    )
    assert list(first.codecs) == [0, 101]


def test_an_ipv6_host_is_named_as_such() -> None:
    answer = plan(sdp(TWO_STREAMS)).to_answer("2001:db8::50", PORTS, ORIGIN)
    assert "c=IN IP6 2001:db8::50\n" in text_of(answer)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (one("", media="video", formats="98"), Refusal.MEDIA_TYPE),
        (one("", media="text", formats="98"), Refusal.MEDIA_TYPE),
        (one("", proto="udp", formats="wb"), Refusal.TRANSPORT),
        (one("", proto="UDP/TLS/RTP/SAVPF"), Refusal.TRANSPORT),
        (one("", proto="RTP/SAVP"), Refusal.NO_CRYPTO),
        (one("", formats="97"), Refusal.NO_CODEC),
        (one("", formats="31"), Refusal.NO_CODEC),
        (one("a=rtpmap:101 telephone-event/8000\n", formats="101 13"), Refusal.NO_CODEC),
        (one("c=IN IP4 224.2.1.1/127\n"), Refusal.MULTICAST),
        (one("", port=0), Refusal.REMOVED),
    ],
)
def test_a_stream_that_cannot_be_recorded_is_refused_with_its_reason(text: str, refusal: Refusal) -> None:
    media = offered(text)
    assert media.streams[0].refusal is refusal
    assert not media.streams[0].accepted
    assert not media.streams[0].recording
    answered_line = text_of(media.to_answer(HOST, {}, ORIGIN)).splitlines()[5]
    offered_line = text.splitlines()[5].split()
    assert answered_line == f"{offered_line[0]} 0 {offered_line[2]} {offered_line[3]}"


def test_a_refused_stream_keeps_its_place_label_and_one_format() -> None:
    text = TWO_STREAMS.replace("m=audio 12240 RTP/AVP 0 8 101", "m=video 12240 RTP/AVP 98 99")
    assert answer_text(text).splitlines()[5:7] == ["m=video 0 RTP/AVP 98", "a=label:96"]
    assert "m=audio 40002" in answer_text(text)


def test_a_refused_stream_without_formats_gets_one() -> None:
    assert "m=audio 0 RTP/AVP 0\n" in answer_text(TWO_STREAMS + "m=audio 0 RTP/AVP\n")


@pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/AVPF", "rtp/avp"])
def test_the_transport_is_repeated_as_written(proto: str) -> None:
    assert f"m=audio 40000 {proto} 0\n" in answer_text(one("", proto=proto))


def test_the_media_type_is_matched_in_any_case_and_repeated_as_written() -> None:
    assert "m=AUDIO 40000 RTP/AVP 0\n" in answer_text(one("", media="AUDIO"))


@pytest.mark.parametrize(
    ("formats", "maps", "expected"),
    [
        ("0 8 18", "", (0,)),
        ("18 0", "", (18,)),
        ("0 101", "a=rtpmap:101 telephone-event/8000\n", (0, 101)),
        ("101 0", "a=rtpmap:101 telephone-event/8000\n", (101, 0)),
        ("0 13 101", "a=rtpmap:101 telephone-event/8000\n", (0, 13, 101)),
        ("0 19", "", (0, 19)),
        ("97 0", "", (0,)),
        (
            "111 101 110 13",
            "a=rtpmap:111 opus/48000/2\na=rtpmap:101 telephone-event/8000\na=rtpmap:110 telephone-event/48000\n",
            (111, 110),
        ),
        ("111 101", "a=rtpmap:111 opus/48000/2\na=rtpmap:101 telephone-event/8000\n", (111, 101)),
        ("0 100 101", "a=rtpmap:100 telephone-event/8000\na=rtpmap:101 telephone-event/8000\n", (0, 100)),
    ],
)
def test_one_codec_with_its_events_and_noise(formats: str, maps: str, expected: tuple[int, ...]) -> None:
    assert stream(one(maps, formats=formats)).formats == expected


def test_all_codecs_on_request() -> None:
    text = one("a=rtpmap:101 telephone-event/8000\na=rtpmap:97 EVS/16000\n", formats="18 97 0 101 13")
    assert stream(text, answer_codecs="all").formats == (18, 0, 101, 13)


def test_the_policy_can_put_its_own_preference_first() -> None:
    text = one("a=rtpmap:101 telephone-event/8000\n", formats="18 101 8 0")
    assert stream(text, codec_order="policy").formats == (0, 101)
    assert stream(text, codec_order="policy", codecs=["PCMA", "G729"], answer_codecs="all").formats == (8, 18, 101)


def test_a_codec_outside_the_policy_is_not_accepted_but_its_meaning_is_kept() -> None:
    planned = stream(one("", formats="18 0"), codecs=["PCMU"])
    assert planned.formats == (0,)
    assert planned.payload_types[18] == Codec("G729", 8000)


def test_format_parameters_are_repeated() -> None:
    assert "a=fmtp:18 annexb=no\n" in answer_text(one("a=fmtp:18 annexb=no\n", formats="18"))


@pytest.mark.parametrize(
    ("direction", "expected", "recording"),
    [
        ("a=sendonly\n", Direction.RECVONLY, True),
        ("a=sendrecv\n", Direction.RECVONLY, True),
        ("", Direction.RECVONLY, True),
        ("a=inactive\n", Direction.INACTIVE, False),
        ("a=recvonly\n", Direction.INACTIVE, False),
    ],
)
def test_directions(direction: str, expected: Direction, recording: bool) -> None:
    planned = stream(one(direction))
    assert (planned.direction, planned.recording) == (expected, recording)
    assert f"a={expected.value}\n" in answer_text(one(direction))


def test_a_peer_that_only_receives_is_noted() -> None:
    assert offered(one("a=recvonly\n")).noted == (Noted(Remark.RECEIVE_ONLY, 0),)


def test_not_ready_answers_everything_inactive_without_calling_it_a_pause() -> None:
    planned = stream(TWO_STREAMS, receive=False)
    assert (planned.direction, planned.recording, planned.held_by_peer) == (Direction.INACTIVE, False, False)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", ("198.51.100.1", 12241)),
        ("a=rtcp:53020\n", ("198.51.100.1", 53020)),
        ("a=rtcp:53020 IN IP4 198.51.100.9\n", ("198.51.100.9", 53020)),
        ("a=rtcp:53020 IN IP6 2001:db8::9\n", ("2001:db8::9", 53020)),
        ("a=rtcp:53020 IN IP4 0.0.0.0\n", None),
        ("a=rtcp-mux\na=rtcp:53020\n", ("198.51.100.1", 12240)),
        ("c=IN IP4 0.0.0.0\n", None),
    ],
)
def test_where_receiver_reports_go(attributes: str, expected: tuple[str, int] | None) -> None:
    assert stream(one(attributes)).remote_rtcp == expected


@pytest.mark.parametrize("value", ["", "x", "0", "70000", "1 IN", "1 IN IP4 a b"])
def test_an_unreadable_rtcp_address_is_noted_and_the_usual_one_assumed(value: str) -> None:
    media = offered(one(f"a=rtcp:{value}\n"))
    assert media.streams[0].remote_rtcp == ("198.51.100.1", 12241)
    assert media.noted == (Noted(Remark.BAD_RTCP_ADDRESS, 0),)


def test_above_the_last_port_there_is_no_rtcp_port() -> None:
    assert stream(one("", port=65535)).remote_rtcp is None


def test_missing_connection_data_is_noted_and_recording_goes_on() -> None:
    media = offered(one("").replace("c=IN IP4 198.51.100.1\n", ""))
    assert media.noted == (Noted(Remark.NO_CONNECTION, 0),)
    assert (media.streams[0].recording, media.streams[0].remote_host, media.streams[0].remote_port) == (True, "", 0)


def test_rtcp_mux_is_repeated_only_when_offered() -> None:
    assert "a=rtcp-mux\na=recvonly\n" in answer_text(one("a=rtcp-mux\n"))
    assert "rtcp-mux" not in answer_text(one(""))
    assert "rtcp-mux" not in answer_text(one("a=rtcp-mux\n"), rtcp_mux=False)


def test_rtcp_mux_is_declined_when_a_payload_type_looks_like_rtcp() -> None:
    text = one("a=rtcp-mux\na=rtpmap:72 opus/48000/2\n", formats="72")
    assert not stream(text).rtcp_mux
    assert stream(text).remote_rtcp == ("198.51.100.1", 12241)


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("", 20.0), ("a=ptime:30\n", 30.0), ("a=ptime: 40 \n", 40.0), ("a=ptime:2.5\n", 2.5), ("a=ptime:0\n", 20.0),
        ("a=ptime:-1\n", 20.0), ("a=ptime:x\n", 20.0), ("a=ptime:9999\n", 20.0), ("a=ptime:20.\n", 20.0),
    ],
)  # fmt: skip
def test_packet_length(attribute: str, expected: float) -> None:
    assert stream(one(attribute)).ptime_ms == expected


def test_rtcp_bandwidth() -> None:
    planned = stream(one("b=RR:0\nb=RS:800\n"))
    assert (planned.rtcp_receivers_bps, planned.rtcp_senders_bps) == (0, 800)


@pytest.mark.parametrize("label", ["1", "Left Leg", " padded ", "", "\u00e4\u20ac", "a:b", "%0d%0a"])
def test_labels_are_repeated_exactly(label: str) -> None:
    assert f"a=recvonly\na=label:{label}\n" in answer_text(one(f"a=label:{label}\n"))


def test_labels_in_an_old_code_page_are_repeated_byte_for_byte() -> None:
    raw = one("a=label:@\n").replace("\n", "\r\n").encode().replace(b"@", b"\xe4\xff")
    assert b"a=label:\xe4\xff\r\n" in plan(parse_sdp(raw)).to_answer(HOST, PORTS, ORIGIN).encode()


def test_two_streams_with_one_label_are_noted() -> None:
    media = offered(TWO_STREAMS.replace("label:97", "label:96"))
    assert media.noted == (Noted(Remark.DUPLICATE_LABEL, 1),)
    assert len(media.accepted) == 2


def test_the_times_of_the_offer_are_repeated() -> None:
    assert "t=1 2\nr=7d 1h 0\n" in answer_text(TWO_STREAMS.replace("t=0 0", "t=1 2\nr=7d 1h 0"))


def test_a_port_is_needed_for_each_accepted_stream() -> None:
    media = plan(sdp(TWO_STREAMS))
    for ports in ({0: 40000}, {0: 40000, 1: 0}, {0: 40000, 1: 65536}):
        with pytest.raises(LocalProtocolError, match="port"):
            media.to_answer(HOST, ports, ORIGIN)


class TestUsable:
    def test_one_accepted_stream_is_enough(self) -> None:
        assert offered(TWO_STREAMS.replace("m=audio 12240 RTP/AVP", "m=audio 12240 udp")).usable

    def test_an_offer_of_which_nothing_can_be_recorded_is_not(self) -> None:
        assert not offered(one("", media="video", formats="98")).usable

    def test_an_offer_without_m_lines_is(self) -> None:
        media = offered("v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nt=0 0\n")
        assert media.usable
        assert media.to_answer(HOST, {}, ORIGIN).media == ()

    def test_taking_all_streams_away_is(self) -> None:
        gone = TWO_STREAMS.replace("12240", "0").replace("12242", "0")
        media = offered(gone, answered(TWO_STREAMS))
        assert media.usable
        assert [s.changes for s in media.streams] == [frozenset({Change.REMOVED})] * 2

    def test_taking_the_audio_away_beside_a_video_that_was_refused_before_is(self) -> None:
        both = TWO_STREAMS + "m=video 12244 RTP/AVP 98\n"
        assert offered(both.replace("12240", "0").replace("12242", "0"), answered(both)).usable

    def test_replacing_all_audio_by_an_unknown_codec_is_not(self) -> None:
        assert not offered(TWO_STREAMS.replace("RTP/AVP 0 8 101", "RTP/AVP 120"), answered(TWO_STREAMS)).usable


class TestVersions:
    def test_the_same_offer_again_gets_the_same_answer(self) -> None:
        first = answered(TWO_STREAMS)
        again = offered(TWO_STREAMS, first)
        assert not again.changed
        assert again.to_answer(HOST, PORTS, ORIGIN) == first.local
        assert all(not stream.changes for stream in again.streams)

    def test_a_raised_version_without_a_change_gets_the_same_answer(self) -> None:
        first = answered(TWO_STREAMS)
        again = offered(TWO_STREAMS.replace("SRC 100 1", "SRC 100 2"), first)
        assert not again.changed
        assert again.to_answer(HOST, PORTS, ORIGIN).encode() == first.local.encode()

    def test_a_change_raises_our_version_by_one_and_nothing_else_of_the_origin(self) -> None:
        first = answered(TWO_STREAMS)
        changed = offered(TWO_STREAMS.replace("a=sendonly", "a=inactive").replace("SRC 100 1", "SRC 100 2"), first)
        answer = changed.to_answer("192.0.2.99", PORTS, ORIGIN.at_version(77))
        assert answer.origin == ORIGIN.at_version(2)

    def test_a_change_without_a_raised_version_is_still_seen(self) -> None:
        media = offered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
        assert media.changed
        assert media.noted == (Noted(Remark.VERSION_NOT_RAISED),)
        assert [s.recording for s in media.streams] == [False, False]

    def test_another_origin_is_noted(self) -> None:
        media = offered(TWO_STREAMS.replace("SRC 100", "SRC 101"), answered(TWO_STREAMS))
        assert media.noted == (Noted(Remark.ORIGIN_CHANGED),)

    def test_a_version_that_was_used_up_in_vain_is_not_taken_again(self) -> None:
        first = answered(TWO_STREAMS)
        failed = first.offered(offer_for_move(first, "192.0.2.51", {0: 41000, 1: 41002}))
        answer = offered(TWO_STREAMS, failed).to_answer(HOST, PORTS, ORIGIN)
        assert answer.origin.version == "3"


class TestPauses:
    def test_inactive_pauses_and_sendonly_resumes(self) -> None:
        paused = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
        assert [slot.held_by_peer for slot in paused.slots] == [True, True]
        resumed = offered(TWO_STREAMS, paused)
        assert [s.changes for s in resumed.streams] == [frozenset({Change.RESUMED})] * 2
        assert all(s.recording for s in resumed.streams)

    def test_one_stream_can_be_paused_alone(self) -> None:
        media = offered(TWO_STREAMS.replace("a=sendonly\na=label:97", "a=inactive\na=label:97"), answered(TWO_STREAMS))
        assert [s.changes for s in media.streams] == [frozenset(), frozenset({Change.PAUSED})]

    def test_losing_the_address_in_mid_session_is_a_pause(self) -> None:
        media = offered(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"), answered(TWO_STREAMS))
        assert [(s.recording, s.held_by_peer, s.direction) for s in media.streams] == [
            (False, True, Direction.RECVONLY)
        ] * 2
        assert all(s.remote_rtcp is None and s.remote_host == "" for s in media.streams)

    def test_a_refresh_does_not_end_that_pause_but_an_address_does(self) -> None:
        held = answered(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"), answered(TWO_STREAMS))
        refreshed = answered(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"), held)
        assert [slot.recording for slot in refreshed.slots] == [False, False]
        assert [slot.recording for slot in answered(TWO_STREAMS, refreshed).slots] == [True, True]

    def test_beginning_without_an_address_is_no_pause_nor_is_going_on_so(self) -> None:
        text = TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0")
        first = answered(text)
        assert [slot.recording for slot in first.slots] == [True, True]
        assert [slot.recording for slot in answered(text, first).slots] == [True, True]

    def test_a_profile_can_take_a_lost_address_for_what_it_says(self) -> None:
        text = TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0")
        media = offered(text, answered(TWO_STREAMS), zero_address_pauses=False)
        assert [s.recording for s in media.streams] == [True, True]


class TestStreamsComeAndGo:
    def test_a_new_m_line_is_added(self) -> None:
        third = TWO_STREAMS + "m=audio 12244 RTP/AVP 0\na=label:98\n"
        media = offered(third, answered(TWO_STREAMS))
        assert [s.changes for s in media.streams] == [frozenset(), frozenset(), frozenset({Change.ADDED})]

    def test_port_zero_removes_and_the_slot_can_be_used_again(self) -> None:
        without = TWO_STREAMS.replace("m=audio 12240", "m=audio 0")
        removed = answered(without, answered(TWO_STREAMS))
        assert [slot.live for slot in removed.slots] == [False, True]
        again = offered(TWO_STREAMS.replace("0 8 101", "8 101"), removed)
        assert again.streams[0].changes == frozenset({Change.REUSED})

    def test_a_used_again_slot_may_give_payload_types_a_new_meaning(self) -> None:
        before = one("a=rtpmap:96 opus/48000/2\n", formats="96")
        removed = answered(before.replace("12240", "0"), answered(before))
        media = offered(one("a=rtpmap:96 AMR/8000\n", formats="96"), removed)
        assert media.streams[0].codecs == {96: Codec("AMR", 8000)}
        assert media.noted == (Noted(Remark.VERSION_NOT_RAISED),)

    def test_vanished_m_lines_are_noted_and_their_slots_kept(self) -> None:
        short = TWO_STREAMS[: TWO_STREAMS.index("m=audio 12242")]
        media = offered(short, answered(TWO_STREAMS))
        assert Noted(Remark.SLOTS_VANISHED) in media.noted
        state = media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))
        assert [slot.live for slot in state.slots] == [True, False]
        assert len(state.local.media) == 1

    def test_a_moved_peer_is_followed(self) -> None:
        media = offered(TWO_STREAMS.replace("m=audio 12240", "m=audio 13000"), answered(TWO_STREAMS))
        assert media.streams[0].changes == frozenset({Change.MOVED})
        assert media.streams[0].remote_port == 13000

    def test_a_changed_codec_is_followed_and_the_old_one_still_understood(self) -> None:
        media = offered(TWO_STREAMS.replace("RTP/AVP 0 8 101", "RTP/AVP 18 101"), answered(TWO_STREAMS))
        assert media.streams[0].changes == frozenset({Change.CODECS})
        assert media.streams[0].formats == (18, 101)
        assert set(media.streams[0].payload_types) == {0, 8, 18, 101}


class TestRemappedPayloadTypes:
    BEFORE = one("a=rtpmap:96 opus/48000/2\n", formats="96")
    AFTER = one("a=rtpmap:96 AMR/8000\n", formats="96 0")

    def test_a_format_whose_number_meant_something_else_is_not_accepted(self) -> None:
        media = offered(self.AFTER, answered(self.BEFORE))
        assert media.streams[0].formats == (0,)
        assert media.streams[0].payload_types[96] == Codec("OPUS", 48000, 2)
        assert Noted(Remark.PAYLOAD_REMAPPED, 0) in media.noted

    def test_a_stream_that_has_no_other_format_is_refused(self) -> None:
        media = offered(self.AFTER.replace("96 0", "96"), answered(self.BEFORE))
        assert media.streams[0].refusal is Refusal.PAYLOAD_REMAPPED
        assert not media.usable

    def test_a_profile_can_follow_the_peer(self) -> None:
        media = offered(self.AFTER, answered(self.BEFORE), remapped_payloads="follow")
        assert media.streams[0].codecs == {96: Codec("AMR", 8000)}
        assert Noted(Remark.PAYLOAD_REMAPPED, 0) in media.noted

    def test_other_parameters_are_no_other_codec(self) -> None:
        media = offered(self.BEFORE + "a=fmtp:96 stereo=1\n", answered(self.BEFORE))
        assert media.streams[0].codecs == {96: Codec("OPUS", 48000, 2, "stereo=1")}
