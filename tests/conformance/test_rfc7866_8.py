"""RFC 7866 §8, what offer/answer says about RTP in the recording session (checklist S4, S5, S27)."""

from __future__ import annotations

import pytest

from signaling.sdp.offer_answer import AnswerPolicy, plan
from tests.unit.signaling.sdp.samples import HOST, KEY, ORIGIN, SECURE, TWO_STREAMS, sdp

PORTS = {0: 40000, 1: 40002, 2: 40004}


def test_s5_8_3_1_the_answer_must_include_all_m_lines_with_rejected_ones_indicated_with_a_zero_port() -> None:
    text = TWO_STREAMS + "m=video 9000 RTP/AVP 98\na=label:98\n"
    answer = plan(sdp(text)).to_answer(HOST, PORTS, ORIGIN)
    assert [(media.media, media.port) for media in answer.media] == [("audio", 40000), ("audio", 40002), ("video", 0)]


def test_s5_8_3_2_a_single_mixed_stream_is_accepted() -> None:
    text = TWO_STREAMS[: TWO_STREAMS.index("m=audio 12242")]
    answer = plan(sdp(text)).to_answer(HOST, PORTS, ORIGIN)
    assert [media.port for media in answer.media] == [40000]


@pytest.mark.parametrize(
    ("protocol", "policy"),
    [
        ("RTP/AVP", AnswerPolicy()),
        ("RTP/AVPF", AnswerPolicy()),
        ("RTP/SAVP", AnswerPolicy(srtp="allow")),
        ("RTP/SAVPF", AnswerPolicy(srtp="require")),
    ],
)
def test_8_1_2_the_profiles_that_are_recommended_or_in_use(protocol: str, policy: AnswerPolicy) -> None:
    media = plan(sdp(SECURE.replace("RTP/SAVP", protocol)), None, policy)
    answer = media.to_answer(HOST, PORTS, ORIGIN, {0: KEY})
    assert (answer.media[0].protocol, answer.media[0].port) == (protocol, 40000)


def test_s27_8_1_1_rtcp_goes_to_the_peer_also_while_a_stream_is_inactive() -> None:
    """RFC 3264 §5.1: the direction of a stream has no impact on RTCP."""
    stream = plan(sdp(TWO_STREAMS.replace("a=sendonly", "a=inactive"))).streams[0]
    assert stream.remote_rtcp == ("198.51.100.1", 12241)


def test_s27_8_1_8_symmetric_rtcp_needs_no_address_of_its_own_in_our_answer() -> None:
    answer = plan(sdp(TWO_STREAMS)).to_answer(HOST, PORTS, ORIGIN)
    assert [media.value("rtcp") for media in answer.media] == [None, None]
