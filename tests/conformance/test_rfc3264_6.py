"""RFC 3264 §6, generating the answer, sentence by sentence (checklist O1 to O3, O9, S5, S6)."""

from __future__ import annotations

import pytest

from signaling.sdp import Direction, SessionDescription
from signaling.sdp.offer_answer import AnswerPolicy, plan
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, TWO_STREAMS, sdp, text_of

PORTS = {index: 40000 + 2 * index for index in range(8)}
MANY = (
    "v=0\no=SRC 1 5 IN IP4 198.51.100.1\ns=Call\nc=IN IP4 198.51.100.1\nt=3724394400 3724398000\n"
    "m=audio 12240 RTP/AVP 97 18 8 0 101\na=rtpmap:97 speex/8000\na=rtpmap:101 telephone-event/8000\na=sendonly\n"
    "m=video 22456 RTP/AVP 98\na=rtpmap:98 H264/90000\na=sendonly\n"
    "m=application 5000 udp wb\n"
    "m=audio 12242 RTP/AVP 97 18 8 0 101\na=rtpmap:97 speex/8000\na=rtpmap:101 telephone-event/8000\na=sendonly\n"
    "m=audio 0 RTP/AVP 0\n"
)


def answer_to(text: str, policy: AnswerPolicy | None = None) -> SessionDescription:
    return plan(sdp(text), None, policy or AnswerPolicy()).to_answer(HOST, PORTS, ORIGIN)


def test_o1_the_origin_line_must_be_different_in_the_answer() -> None:
    assert answer_to(MANY).origin == ORIGIN


def test_o1_the_answer_must_contain_exactly_the_same_number_of_m_lines_as_the_offer() -> None:
    assert len(answer_to(MANY).media) == 5


def test_o1_if_the_offer_contained_zero_m_lines_the_answer_must_contain_zero_m_lines() -> None:
    assert answer_to(MANY[: MANY.index("m=audio")]).media == ()


def test_o1_the_t_line_in_the_answer_must_equal_that_of_the_offer() -> None:
    assert "t=3724394400 3724398000\n" in text_of(answer_to(MANY))


def test_o1_the_media_type_of_the_stream_in_the_answer_must_match_that_of_the_offer() -> None:
    assert [(media.media, media.protocol) for media in answer_to(MANY).media] == [
        (media.media, media.protocol) for media in sdp(MANY).media
    ]


def test_s5_to_reject_an_offered_stream_the_port_number_must_be_set_to_zero() -> None:
    assert [media.port for media in answer_to(MANY).media] == [40000, 0, 0, 40006, 0]


def test_o2_at_least_one_media_format_must_be_present_also_in_a_rejected_stream() -> None:
    assert [len(media.formats) >= 1 for media in answer_to(MANY).media] == [True] * 5


@pytest.mark.parametrize(
    ("offered", "legal"),
    [
        ("a=sendonly\n", {Direction.RECVONLY, Direction.INACTIVE}),
        ("a=recvonly\n", {Direction.SENDONLY, Direction.INACTIVE}),
        ("a=inactive\n", {Direction.INACTIVE}),
        ("a=sendrecv\n", set(Direction)),
        ("", set(Direction)),
    ],
)
@pytest.mark.parametrize("receive", [True, False])
def test_s6_the_direction_in_the_answer(offered: str, legal: set[Direction], receive: bool) -> None:
    """§6.1: what may be answered to each direction; a recorder moreover never sends."""
    answer = answer_to(TWO_STREAMS.replace("a=sendonly\n", offered), AnswerPolicy(receive=receive))
    for media in answer.media:
        assert media.direction in legal
        assert media.direction in {Direction.RECVONLY, Direction.INACTIVE}


def test_s6_a_session_level_direction_applies_to_streams_without_one_of_their_own() -> None:
    text = TWO_STREAMS.replace("a=sendonly\n", "").replace("t=0 0\n", "t=0 0\na=inactive\n")
    assert {media.direction for media in answer_to(text).media} == {Direction.INACTIVE}


def test_s6_a_sendonly_offer_is_not_answered_inactive_without_reason() -> None:
    assert {media.direction for media in answer_to(TWO_STREAMS).media} == {Direction.RECVONLY}


def test_o2_the_m_line_must_contain_at_least_one_format_from_amongst_those_in_the_offer() -> None:
    for theirs, ours in zip(sdp(MANY).media, answer_to(MANY).media, strict=True):
        assert set(ours.formats) <= set(theirs.formats)


def test_o2_the_same_payload_type_number_should_be_used_for_a_codec_in_the_answer() -> None:
    offered = sdp(MANY).media[0].values("rtpmap")
    assert answer_to(MANY).media[0].values("rtpmap") == offered


def test_o2_the_answer_must_contain_rtpmap_attributes_for_dynamic_and_should_for_static_types() -> None:
    answer = answer_to(TWO_STREAMS.replace("a=rtpmap:0 PCMU/8000\n", ""))
    assert answer.media[0].values("rtpmap") == ["0 PCMU/8000", "101 telephone-event/8000"]


def test_o2_formats_are_listed_in_the_same_relative_order_as_in_the_offer() -> None:
    answer = answer_to(MANY, AnswerPolicy(answer_codecs="all", codecs=("PCMU", "PCMA", "G729")))
    assert answer.media[0].formats == ("18", "8", "0", "101")


def test_o2_fmtp_parameters_with_the_same_values_must_be_present_in_the_answer() -> None:
    text = TWO_STREAMS.replace("a=rtpmap:8 PCMA/8000\n", "a=fmtp:0 mode=x; y\n")
    assert answer_to(text).media[0].values("fmtp") == ["0 mode=x; y", "101 0-15"]


def test_if_the_answerer_has_no_media_formats_in_common_it_must_reject_that_stream() -> None:
    answer = answer_to(TWO_STREAMS.replace("12240 RTP/AVP 0 8 101", "12240 RTP/AVP 120"))
    assert [media.port for media in answer.media] == [0, 40002]


def test_o9_if_there_are_no_formats_in_common_for_all_streams_the_entire_session_is_rejected() -> None:
    assert not plan(sdp(TWO_STREAMS.replace("RTP/AVP 0 8 101", "RTP/AVP 120"))).usable


def test_o3_every_listed_format_is_known_to_the_receiver_before_the_answer_is_built() -> None:
    for stream in plan(sdp(MANY), None, AnswerPolicy(answer_codecs="all")).accepted:
        assert set(stream.codecs) == set(stream.formats)


def test_a_multicast_stream_is_rejected() -> None:
    """§6.2 would bind the answer to the group's address; a recorder does not join groups."""
    assert answer_to(TWO_STREAMS.replace("198.51.100.1\nt", "224.2.1.1/127\nt")).media[0].port == 0
