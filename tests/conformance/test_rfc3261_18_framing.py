"""RFC 3261 §18.3 and §7.5, framing, sentence by sentence (checklist C2), with the keep-alive of RFC 5626 §4.4.1."""

from __future__ import annotations

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import PING, StreamFramer, parse_message, reject_malformed

MANDATORY = (
    b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
)
REQUEST = b"INVITE sip:h SIP/2.0\r\n" + MANDATORY
RESPONSE = b"SIP/2.0 200 OK\r\n" + MANDATORY


def test_c2_the_message_body_is_assumed_to_contain_that_many_bytes() -> None:
    assert parse_message(REQUEST + b"Content-Length: 4\r\n\r\nbody").body == b"body"


def test_c2_additional_bytes_beyond_the_end_of_the_body_must_be_discarded() -> None:
    assert parse_message(REQUEST + b"Content-Length: 4\r\n\r\nbody and more").body == b"body"


def test_c2_a_request_that_ends_before_its_body_should_be_answered_with_400() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(REQUEST + b"Content-Length: 5\r\n\r\nbody")
    answer = reject_malformed(caught.value, to_tag="t")
    assert answer is not None
    assert answer.status == 400
    assert answer.headers.get("Via") == "SIP/2.0/UDP a;branch=z9hG4bK1"


def test_c2_a_response_that_ends_before_its_body_must_be_discarded() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(RESPONSE + b"Content-Length: 5\r\n\r\nbody")
    assert reject_malformed(caught.value, to_tag="t") is None


def test_c2_without_content_length_the_body_ends_at_the_end_of_the_transport_packet() -> None:
    assert parse_message(REQUEST + b"\r\nall of it\r\n").body == b"all of it\r\n"


def test_c2_the_content_length_header_field_must_be_used_with_stream_oriented_transports() -> None:
    framer = StreamFramer()
    assert framer.feed(REQUEST + b"\r\n") == []
    assert framer.error is not None
    assert (framer.error.status, framer.error.header) == (400, "Content-Length")


def test_c2_content_length_locates_the_end_of_each_message_in_a_stream() -> None:
    first, second = REQUEST + b"Content-Length: 4\r\n\r\nbody", RESPONSE + b"Content-Length: 0\r\n\r\n"
    assert StreamFramer().feed(first + second) == [first, second]


def test_c2_any_crlf_before_the_start_line_must_be_ignored() -> None:
    message = REQUEST + b"Content-Length: 0\r\n\r\n"
    assert StreamFramer().feed(b"\r\n\r\n\r\n" + message + b"\r\n" + message) == [message, message]
    assert parse_message(b"\r\n\r\n" + message) == parse_message(message)


def test_c26_a_double_crlf_between_messages_is_a_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(PING) == []
    assert framer.pings() == 1
