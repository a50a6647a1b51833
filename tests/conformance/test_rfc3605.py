"""RFC 3605, the rtcp attribute, and RFC 5761 §5.1.1 beside it (checklist O8, R4, R8)."""

from __future__ import annotations

import pytest

from signaling.sdp.offer_answer import AnswerPolicy, StreamPlan, plan
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, sdp, text_of


def offer(attributes: str, formats: str = "0") -> str:
    return (
        "v=0\no=- 1 1 IN IP4 126.16.64.4\ns=-\nc=IN IP4 126.16.64.4\nt=0 0\n"
        f"m=audio 49170 RTP/AVP {formats}\n{attributes}"
    )


def stream(attributes: str, formats: str = "0") -> StreamPlan:
    return plan(sdp(offer(attributes, formats))).streams[0]


@pytest.mark.parametrize(
    ("attribute", "address"),
    [
        ("a=rtcp:53020\n", ("126.16.64.4", 53020)),
        ("a=rtcp:53020 IN IP4 126.16.64.5\n", ("126.16.64.5", 53020)),
        (
            "a=rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD\n",
            ("2001:2345:6789:ABCD:EF01:2345:6789:ABCD", 53020),
        ),
    ],
)
def test_2_1_the_examples_of_the_rfc(attribute: str, address: tuple[str, int]) -> None:
    assert stream(attribute).remote_rtcp == address


def test_r4_without_the_attribute_the_next_higher_port_is_used() -> None:
    assert stream("").remote_rtcp == ("126.16.64.4", 49171)


def test_2_1_it_must_not_be_used_as_a_session_level_attribute_and_is_ignored_there() -> None:
    text = offer("").replace("t=0 0\n", "t=0 0\na=rtcp:53020\n")
    assert plan(sdp(text)).streams[0].remote_rtcp == ("126.16.64.4", 49171)


def test_our_own_rtcp_port_is_the_next_one_so_no_attribute_is_written() -> None:
    answer = plan(sdp(offer("a=rtcp:53020\n"))).to_answer(HOST, {0: 40000}, ORIGIN)
    assert "rtcp" not in text_of(answer)


def test_r8_if_the_answerer_wishes_to_multiplex_it_must_include_rtcp_mux_in_the_answer() -> None:
    answer = plan(sdp(offer("a=rtcp-mux\n"))).to_answer(HOST, {0: 40000}, ORIGIN)
    assert answer.media[0].value("rtcp-mux") == ""
    assert stream("a=rtcp-mux\n").remote_rtcp == ("126.16.64.4", 49170)


def test_r8_without_it_in_the_answer_the_signalled_rtcp_port_is_used() -> None:
    media = plan(sdp(offer("a=rtcp-mux\na=rtcp:53020\n")), None, AnswerPolicy(rtcp_mux=False))
    assert media.streams[0].remote_rtcp == ("126.16.64.4", 53020)
    assert "rtcp-mux" not in text_of(media.to_answer(HOST, {0: 40000}, ORIGIN))


@pytest.mark.parametrize("payload_type", [64, 72, 76, 95])
def test_r8_payload_types_64_to_95_must_not_be_used_with_multiplexing(payload_type: int) -> None:
    attributes = f"a=rtcp-mux\na=rtpmap:{payload_type} opus/48000/2\n"
    assert not stream(attributes, str(payload_type)).rtcp_mux


@pytest.mark.parametrize("payload_type", [63, 96])
def test_r8_the_numbers_beside_them_may_be_used(payload_type: int) -> None:
    attributes = f"a=rtcp-mux\na=rtpmap:{payload_type} opus/48000/2\n"
    assert stream(attributes, str(payload_type)).rtcp_mux
