"""RFC 7866 §7, SDP handling in the recording session (checklist S4 to S6, S10 to S13)."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp import Direction
from signaling.sdp.offer_answer import AnswerPolicy, Negotiation, conclude, initial_offer, offer_for_move, plan
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, TWO_STREAMS, sdp, text_of

PORTS = {index: 10000 + 2 * index for index in range(8)}

# Figure 5: audio and video of two participants. The recorder takes the audio.
FIGURE_5 = """\
v=0
o=SRC 2890844526 2890844526 IN IP4 198.51.100.1
s=-
c=IN IP4 198.51.100.1
t=0 0
m=audio 12240 RTP/AVP 0 4 8
a=sendonly
a=label:1
m=video 22456 RTP/AVP 98
a=rtpmap:98 H264/90000
a=fmtp:98 profile-level-id=42A01E;sprop-parameter-sets=Z0IACpZTBYmI,aMljiA==
a=sendonly
a=label:2
m=audio 12242 RTP/AVP 0 4 8
a=sendonly
a=label:3
m=video 22458 RTP/AVP 98
a=rtpmap:98 H264/90000
a=fmtp:98 profile-level-id=42A01E;sprop-parameter-sets=Z0IACpZTBYmI,aMljiA==
a=sendonly
a=label:4
"""


def answered(text: str, previous: Negotiation | None = None, policy: AnswerPolicy | None = None) -> Negotiation:
    media = plan(sdp(text), previous, policy or AnswerPolicy())
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))


def test_7_2_the_answer_to_the_offer_of_figure_5() -> None:
    assert text_of(answered(FIGURE_5).local) == (
        "v=0\no=srs 7001 1 IN IP4 192.0.2.50\ns=-\nc=IN IP4 192.0.2.50\nt=0 0\n"
        "m=audio 10000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly\na=label:1\n"
        "m=video 0 RTP/AVP 98\na=label:2\n"
        "m=audio 10004 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly\na=label:3\n"
        "m=video 0 RTP/AVP 98\na=label:4\n"
    )


def test_s6_7_2_the_srs_normally_sets_each_media_stream_to_receive_media() -> None:
    for text in (TWO_STREAMS, TWO_STREAMS.replace("a=sendonly\n", "")):
        assert {media.direction for media in answered(text).local.media} == {Direction.RECVONLY}


def test_7_1_1_labels_are_echoed_so_that_each_recorded_stream_can_be_identified() -> None:
    assert [media.label for media in answered(FIGURE_5).local.media] == ["1", "2", "3", "4"]


def test_7_1_1_a_stream_without_a_label_is_recorded_all_the_same() -> None:
    text = TWO_STREAMS.replace("a=label:96\n", "").replace("a=label:97\n", "")
    assert [slot.recording for slot in answered(text).slots] == [True, True]
    assert all(media.label is None for media in answered(text).local.media)


def test_s10_7_1_1_1_a_paused_stream_is_answered_inactive_and_not_collected() -> None:
    state = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
    assert {media.direction for media in state.local.media} == {Direction.INACTIVE}
    assert all(media.port for media in state.local.media)
    assert [slot.recording for slot in state.slots] == [False, False]


def test_s10_7_1_1_1_a_resumed_stream_is_collected_again() -> None:
    paused = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
    assert [slot.recording for slot in answered(TWO_STREAMS, paused).slots] == [True, True]


def test_s10_the_first_offer_can_already_be_inactive() -> None:
    assert [slot.recording for slot in answered(TWO_STREAMS.replace("a=sendonly", "a=inactive")).slots] == [
        False,
        False,
    ]


def test_s11_7_1_1_1_a_recorded_stream_is_removed_by_port_zero() -> None:
    state = answered(TWO_STREAMS.replace("m=audio 12242", "m=audio 0"), answered(TWO_STREAMS))
    assert [media.port for media in state.local.media] == [10000, 0]


def test_s11_7_1_1_1_a_stream_is_added_by_a_new_description_or_by_reusing_a_disabled_one() -> None:
    two = answered(TWO_STREAMS.replace("m=audio 12242", "m=audio 0"), answered(TWO_STREAMS))
    three = answered(TWO_STREAMS + "m=audio 12244 RTP/AVP 0\na=sendonly\na=label:98\n", two)
    assert [media.port for media in three.local.media] == [10000, 10002, 10004]


def test_s12_7_2_when_the_srs_is_not_ready_it_sets_the_stream_as_inactive() -> None:
    waiting = answered(TWO_STREAMS, policy=AnswerPolicy(receive=False))
    assert {media.direction for media in waiting.local.media} == {Direction.INACTIVE}
    assert [slot.recording for slot in waiting.slots] == [False, False]


def test_s12_7_2_when_it_is_ready_it_sends_a_new_offer_with_recvonly() -> None:
    waiting = answered(TWO_STREAMS, policy=AnswerPolicy(receive=False))
    offer = offer_for_move(waiting, HOST, PORTS)
    assert {media.direction for media in offer.media} == {Direction.RECVONLY}
    assert offer.origin.version == "2"
    answer = sdp(text_of(offer).replace("a=recvonly", "a=sendonly"))
    assert [stream.recording for stream in conclude(offer, answer, waiting).streams] == [True, True]


def test_s13_7_2_the_srs_may_remove_streams_in_its_offer() -> None:
    offer = offer_for_move(answered(TWO_STREAMS), HOST, {0: 10000, 1: 0})
    assert [media.port for media in offer.media] == [10000, 0]


def test_s13_7_2_the_srs_must_not_add_recorded_streams_in_its_offer() -> None:
    state = answered(TWO_STREAMS.replace("m=audio 12242", "m=audio 0"))
    offer = offer_for_move(state, HOST, {0: 11000, 1: 11002, 2: 11004})
    assert [media.port for media in offer.media] == [11000, 0]


def test_s4_8_4_at_least_two_audio_m_lines_one_per_direction() -> None:
    assert len(plan(sdp(TWO_STREAMS)).accepted) == 2


@pytest.mark.parametrize("count", [1, 3, 8])
def test_s4_8_4_other_numbers_of_streams_as_well(count: int) -> None:
    text = TWO_STREAMS[: TWO_STREAMS.index("m=")] + "m=audio 12240 RTP/AVP 0\na=sendonly\n" * count
    assert len(plan(sdp(text)).accepted) == count


def test_7_2_an_offer_for_an_invite_without_one_asks_only_to_receive() -> None:
    offer = initial_offer(HOST, [10000, 10002], ORIGIN)
    assert {media.direction for media in offer.media} == {Direction.RECVONLY}
    with pytest.raises(LocalProtocolError):
        initial_offer(HOST, [0], ORIGIN)
