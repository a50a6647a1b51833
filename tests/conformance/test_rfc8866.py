"""RFC 8866, session descriptions: grammar and the rules for who reads and writes them (checklist O8, S34)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.sdp import Direction, parse_sdp
from signaling.sdp.offer_answer import plan
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, TWO_STREAMS, sdp, text_of

CORPUS = Path(__file__).parent.parent / "corpus" / "sdp"


def test_5_every_kind_of_line_is_read_and_written_back_unchanged() -> None:
    raw = (CORPUS / "every-line.sdp").read_bytes()
    assert parse_sdp(raw).faults == ()
    assert parse_sdp(raw).encode() == raw


@pytest.mark.parametrize("name", ["srtp.sdp", "every-line.sdp"])
def test_9_what_follows_the_grammar_has_no_faults(name: str) -> None:
    assert parse_sdp((CORPUS / name).read_bytes()).faults == ()


def test_9_what_does_not_follow_it_is_read_as_far_as_it_can_be() -> None:
    description = parse_sdp((CORPUS / "odd.sdp").read_bytes())
    stream = plan(description).streams[0]
    assert (stream.formats, stream.label, stream.direction) == ((0,), " left ", Direction.RECVONLY)
    assert {fault.code.value for fault in description.faults} == {
        "line-ends", "malformed-line", "no-version", "no-session-name",
    }  # fmt: skip


def test_9_our_answers_follow_the_grammar() -> None:
    answer = plan(parse_sdp((CORPUS / "odd.sdp").read_bytes())).to_answer(HOST, {0: 40000}, ORIGIN)
    assert parse_sdp(answer.encode()).faults == ()


def test_9_lines_end_with_crlf() -> None:
    written = plan(sdp(TWO_STREAMS)).to_answer(HOST, {0: 40000, 1: 40002}, ORIGIN).encode()
    assert written.endswith(b"\r\n")
    assert written.replace(b"\r\n", b"").count(b"\n") == 0


def test_5_13_attributes_that_are_not_understood_must_be_ignored() -> None:
    """S34: `record` and `recordpref` concern the call, not the recording session."""
    text = TWO_STREAMS.replace("a=sendonly", "a=record:paused\na=recordpref:off\na=x-unheard-of:1\na=sendonly")
    media = plan(sdp(text))
    assert all(stream.recording for stream in media.streams)
    assert "record" not in text_of(media.to_answer(HOST, {0: 40000, 1: 40002}, ORIGIN))


def test_5_a_description_is_ignored_where_it_has_an_unknown_type_letter_only_for_that_line() -> None:
    """The RFC would have the whole description ignored; a call would be lost for a vendor's private line."""
    assert len(plan(sdp(TWO_STREAMS.replace("t=0 0", "y=1\nt=0 0"))).accepted) == 2


def test_o8_5_7_connection_data_at_media_level_overrides_that_of_the_session() -> None:
    streams = plan(sdp(TWO_STREAMS + "c=IN IP6 2001:db8::7\n")).streams
    assert [stream.remote_host for stream in streams] == ["198.51.100.1", "2001:db8::7"]


def test_o8_5_7_connection_data_at_media_level_alone_is_enough() -> None:
    text = TWO_STREAMS.replace("c=IN IP4 198.51.100.1\n", "").replace("a=label", "c=IN IP4 198.51.100.8\na=label")
    assert [stream.remote_host for stream in plan(sdp(text)).streams] == ["198.51.100.8"] * 2


def test_o8_ipv6_is_read_and_written() -> None:
    answer = plan(sdp(TWO_STREAMS.replace("IP4 198.51.100.1", "IP6 2001:db8::1"))).to_answer(
        "2001:db8::50", {0: 40000, 1: 40002}, ORIGIN
    )
    assert "c=IN IP6 2001:db8::50\n" in text_of(answer)


def test_o8_6_4_ptime_is_understood_and_nothing_is_asked_of_the_peer() -> None:
    text = TWO_STREAMS.replace("a=label:97", "a=ptime:30\na=maxptime:60\na=label:97")
    media = plan(sdp(text))
    assert [stream.ptime_ms for stream in media.streams] == [20.0, 30.0]
    assert "ptime" not in text_of(media.to_answer(HOST, {0: 40000, 1: 40002}, ORIGIN))


def test_o8_rtcp_bandwidth_modifiers_are_bits_per_second_and_media_level_overrides() -> None:
    """RFC 3556 §2 and §4."""
    text = TWO_STREAMS.replace("t=0 0", "b=RS:800\nb=RR:2400\nt=0 0") + "b=RR:0\n"
    streams = plan(sdp(text)).streams
    assert [(s.rtcp_senders_bps, s.rtcp_receivers_bps) for s in streams] == [(800, 2400), (800, 0)]


def test_6_7_a_stream_without_a_direction_is_sendrecv() -> None:
    assert (
        sdp(TWO_STREAMS.replace("a=sendonly\n", "")).direction_of(sdp(TWO_STREAMS.replace("a=sendonly\n", "")).media[0])
        is Direction.SENDRECV
    )
