"""Bytes to messages: what is tolerated, what is refused, and what can still be answered."""

from __future__ import annotations

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import Request, Response, parse_message, reject_malformed
from signaling.sip.parser import MAX_HEAD, MAX_HEADERS, MAX_LINE, MAX_MESSAGE

HEADERS = [
    "Via: SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bK1",
    "From: <sip:a@h>;tag=1",
    "To: sip:192.0.2.40:5060",
    "Call-ID: c",
    "CSeq: 1 INVITE",
]


def octets(
    *more: str,
    start: str = "INVITE sip:srs@192.0.2.40 SIP/2.0",
    headers: list[str] = HEADERS,
    end: str = "\r\n",
    body: bytes = b"",
) -> bytes:
    return (end.join([start, *headers, *more]) + end * 2).encode() + body


def request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def refused(data: bytes) -> SipSyntaxError:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(data)
    return caught.value


def without(name: str) -> list[str]:
    return [line for line in HEADERS if not line.startswith(name)]


def test_a_request() -> None:
    message = request(octets("Content-Length: 4", body=b"v=0\n"))
    assert (message.method, message.uri.text, message.body) == ("INVITE", "sip:srs@192.0.2.40", b"v=0\n")


def test_a_response() -> None:
    message = parse_message(octets(start="SIP/2.0 200 OK then"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "OK then")


@pytest.mark.parametrize("start", ["SIP/2.0 200", "SIP/2.0 200 ", "sip/2.0 200 "])
def test_a_response_without_a_reason(start: str) -> None:
    message = parse_message(octets(start=start))
    assert isinstance(message, Response)
    assert message.reason == ""


@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n\r\n", b"\n", b"\r\n" * 1000])
def test_blank_lines_before_the_start_line_are_ignored(blank: bytes) -> None:
    assert request(blank + octets()) == request(octets())


def test_bare_line_feeds_end_lines_and_the_body_is_left_alone() -> None:
    message = request(octets("Content-Length: 6", end="\n", body=b"a\r\n\r\nb"))
    assert message.body == b"a\r\n\r\nb"
    assert message.headers == request(octets("Content-Length: 6", body=b"123456")).headers


def test_line_ends_may_be_mixed() -> None:
    data = b"INVITE sip:h SIP/2.0\n" + "\r\n".join(HEADERS).encode() + b"\n\r\nbody"
    assert request(data).body == b"body"


def test_an_empty_line_in_the_body_does_not_end_the_head() -> None:
    message = request(octets("Content-Type: text/plain", body=b"a\n\nb\r\n\r\nc"))
    assert message.body == b"a\n\nb\r\n\r\nc"


def test_a_lone_carriage_return_is_white_space() -> None:
    assert request(octets("X-Own: a\rb")).headers.get("X-Own") == "a b"


@pytest.mark.parametrize("line", ["X-Own:v", "X-Own : v", "X-Own\t:\tv", "X-Own:   v  \t", "x-own:v"])
def test_white_space_around_the_colon(line: str) -> None:
    assert request(octets(line)).headers.get("X-Own") == "v"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_folded_lines_are_joined_with_one_space(end: str) -> None:
    message = request(octets("X-Own: a", "   b", "\tc", "X-Two: 2", end=end))
    assert (message.headers.get("X-Own"), message.headers.get("X-Two")) == ("a b c", "2")


def test_a_folded_value_may_start_on_the_second_line() -> None:
    assert request(octets("X-Own:", " a")).headers.get("X-Own") == "a"


def test_compact_forms() -> None:
    compact = [
        "v: SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bK1",
        "f: <sip:a@h>;tag=1",
        "t: sip:192.0.2.40:5060",
        "i: c",
        "CSeq: 1 INVITE",
    ]
    assert request(octets(headers=compact)) == request(octets())


def test_without_content_length_the_rest_of_the_datagram_is_the_body() -> None:
    assert request(octets(body=b"all of it")).body == b"all of it"


def test_octets_behind_the_body_are_dropped() -> None:
    assert request(octets("l: 2", body=b"abcdef")).body == b"ab"


def test_a_head_that_ends_with_the_datagram_is_whole() -> None:
    assert request(octets()[:-2]).body == b""


def test_a_head_that_was_cut_is_refused() -> None:
    assert refused(octets()[:-5]).reason == "message ends inside its head"


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\x00\x01\x02\x03"])
def test_what_is_no_message_at_all_is_refused_and_not_answered(data: bytes) -> None:
    assert reject_malformed(refused(data), to_tag="t") is None


@pytest.mark.parametrize("length", ["11", "-1", "ten", "", "1 1", "9" * 30, "1e1"])
def test_a_content_length_that_is_not_true_is_refused(length: str) -> None:
    error = refused(octets(f"Content-Length: {length}", body=b"0123456789"))
    assert (error.status, error.header) == (400, "Content-Length")
    assert reject_malformed(error, to_tag="t") is not None


@pytest.mark.parametrize("line", HEADERS)
def test_each_header_that_an_answer_needs_must_be_there(line: str) -> None:
    name = line.partition(":")[0]
    error = refused(octets(headers=without(name)))
    assert (error.status, error.header) == (400, name)


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Content-Length"])
def test_single_headers_must_not_be_repeated(name: str) -> None:
    line = next((line for line in HEADERS if line.startswith(name)), "Content-Length: 0")
    error = refused(octets(line, line))
    assert (error.header, error.reason) == (name, "header field must not be repeated")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Via: SIP/2.0/UDP", "Via"),
        ("From: <sip:a@h", "From"),
        ('To: "x', "To"),
        ("Call-ID: a b", "Call-ID"),
        ("CSeq: INVITE", "CSeq"),
    ],
)
def test_each_header_that_an_answer_needs_must_be_readable(line: str, name: str) -> None:
    error = refused(octets(line, headers=without(name)))
    assert (error.status, error.header) == (400, name)
    assert error.salvage is not None


@pytest.mark.parametrize("line", ["no colon at all", ": no name", "two words: x", "x\x00y: z", "\u00e9: z"])
def test_a_line_that_is_no_header_is_refused_and_answered(line: str) -> None:
    error = refused(octets(line))
    answer = reject_malformed(error, to_tag="t")
    assert error.reason == "line is not a header field"
    assert answer is not None
    assert answer.headers.get("To") == "sip:192.0.2.40:5060;tag=t"


def test_a_first_line_that_continues_nothing_is_refused() -> None:
    assert refused(octets(headers=[" folded: start", *HEADERS])).status == 400


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("INVITE", 400),
        ("INVITE sip:h", 400),
        ("IN@VITE sip:h SIP/2.0", 400),
        ("INVITE  SIP/2.0", 400),
        ("INVITE sip:h HTTP/1.1", 400),
        ("INVITE sip:h SIP/3.0", 505),
        ("INVITE host SIP/2.0", 400),
        ("INVITE sip:a b@h SIP/2.0", 400),
        ("SIP/2.0 20 OK", 400),
        ("SIP/2.0 2000 OK", 400),
        ("SIP/2.0 099 OK", 400),
        ("SIP/2.0 700 OK", 400),
        ("SIP/2.0 2x0 OK", 400),
        ("SIP/2.0", 400),
        ("SIP/3.0 200 OK", 505),
    ],
)
def test_malformed_start_lines(start: str, status: int) -> None:
    assert refused(octets(start=start)).status == status


@pytest.mark.parametrize(
    "start", ["INVITE  sip:h  SIP/2.0", "INVITE sip:h SIP/2.0  ", "INVITE <sip:h> SIP/2.0", "INVITE sip:h sip/2.0"]
)
def test_start_lines_that_are_forgiven(start: str) -> None:
    assert request(octets(start=start)).uri.text == "sip:h"


@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_ack_and_bye_of_vendor_scripts_may_name_invite_in_cseq(method: str) -> None:
    message = request(octets(start=f"{method} sip:h SIP/2.0"))
    assert (message.method, message.cseq.method) == (method, "INVITE")


@pytest.mark.parametrize(("method", "named"), [("OPTIONS", "INVITE"), ("BYE", "UPDATE"), ("INVITE", "ACK")])
def test_other_methods_must_agree_with_cseq(method: str, named: str) -> None:
    error = refused(octets(f"CSeq: 1 {named}", start=f"{method} sip:h SIP/2.0", headers=without("CSeq")))
    assert (error.status, error.header) == (400, "CSeq")


def test_a_broken_optional_header_does_not_spoil_the_message() -> None:
    message = request(octets("Contact: <sip:a@h", "Record-Route: ???", "Expires: soon"))
    assert message.headers.get("Expires") == "soon"


def test_a_head_of_any_legal_size_is_read() -> None:
    lines = [f"X-{number}: {'v' * 500}" for number in range(120)]
    assert len(request(octets(*lines)).headers) == 125


def test_too_large_a_head_is_refused() -> None:
    error = refused(octets(*["X: " + "v" * 10_000] * 7))
    assert (error.status, error.offset) == (513, MAX_HEAD)


def test_too_large_a_message_is_refused() -> None:
    assert refused(octets(body=bytes(MAX_MESSAGE))).status == 513


def test_too_many_header_fields_are_refused_and_answered() -> None:
    error = refused(octets(*["X: 1"] * MAX_HEADERS))
    assert error.status == 513
    assert reject_malformed(error, to_tag="t") is not None


def test_too_long_a_header_field_is_refused_and_answered() -> None:
    error = refused(octets("x-own: " + "v" * MAX_LINE))
    assert (error.status, error.header) == (513, "x-own")
    assert reject_malformed(error, to_tag="t") is not None


def test_too_long_a_request_uri_is_answered_with_414() -> None:
    error = refused(octets(start=f"INVITE sip:{'u' * MAX_LINE}@h SIP/2.0"))
    answer = reject_malformed(error, to_tag="t")
    assert answer is not None
    assert (answer.status, answer.reason) == (414, "Request-URI Too Long")


def test_an_offset_in_the_head_counts_from_its_start() -> None:
    data = octets("no colon at all")
    assert refused(data).offset == data.index(b"no colon")


def test_a_response_with_a_line_that_is_no_header_is_refused_and_not_answered() -> None:
    error = refused(octets("no colon at all", start="SIP/2.0 200 OK"))
    assert error.reason == "line is not a header field"
    assert reject_malformed(error, to_tag="t") is None


def test_of_several_faulty_lines_the_first_is_reported() -> None:
    data = octets("first fault", "second fault")
    assert refused(data).offset == data.index(b"first fault")
