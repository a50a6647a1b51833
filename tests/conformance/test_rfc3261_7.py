"""RFC 3261 §7, the message format, sentence by sentence (checklist C25)."""

from __future__ import annotations

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import Request, Response, parse_message

MANDATORY = (
    "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
)


def request(lines: str = "", start: str = "INVITE sip:h SIP/2.0") -> Request:
    message = parse_message(f"{start}\r\n{MANDATORY}{lines}\r\n".encode())
    assert isinstance(message, Request)
    return message


def response(start: str) -> Response:
    message = parse_message(f"{start}\r\n{MANDATORY}\r\n".encode())
    assert isinstance(message, Response)
    return message


def test_7_1_a_request_line_contains_a_method_name_a_request_uri_and_the_protocol_version() -> None:
    message = request(start="BYE sip:a@h;x=1 SIP/2.0")
    assert (message.method, message.uri.text) == ("BYE", "sip:a@h;x=1")


def test_7_1_the_request_uri_must_not_contain_unescaped_spaces_or_control_characters() -> None:
    for character in " \t\x00\x1f":
        with pytest.raises(SipSyntaxError):
            request(start=f"INVITE sip:a{character}b@h SIP/2.0")


def test_7_1_elements_may_support_request_uris_with_schemes_other_than_sip_and_sips() -> None:
    assert request(start="INVITE tel:+15550100 SIP/2.0").uri.scheme == "tel"


def test_7_1_the_sip_version_string_is_case_insensitive_but_implementations_must_send_upper_case() -> None:
    assert request(start="INVITE sip:h sip/2.0").encode().startswith(b"INVITE sip:h SIP/2.0\r\n")
    assert response("sip/2.0 200 OK").encode().startswith(b"SIP/2.0 200 OK\r\n")


def test_7_2_the_status_code_is_a_3_digit_integer() -> None:
    assert response("SIP/2.0 486 Busy Here").status == 486
    for code in ("48", "4860", "+86", "4_6"):
        with pytest.raises(SipSyntaxError):
            response(f"SIP/2.0 {code} Busy Here")


def test_7_2_sip_2_0_allows_six_values_for_the_first_digit() -> None:
    assert [response(f"SIP/2.0 {digit}99 x").status // 100 for digit in range(1, 7)] == [1, 2, 3, 4, 5, 6]
    for digit in (0, 7, 8, 9):
        with pytest.raises(SipSyntaxError):
            response(f"SIP/2.0 {digit}00 x")


def test_7_2_implementations_may_choose_other_text() -> None:
    assert response("SIP/2.0 404 Niemand da").reason == "Niemand da"


@pytest.mark.parametrize(
    "line", ["Subject:            lunch", "Subject      :      lunch", "Subject            :lunch"]
)
def test_7_3_1_these_are_all_valid_and_equivalent(line: str) -> None:
    assert request(line + "\r\n").headers == request("Subject: lunch\r\n").headers


def test_7_3_1_the_line_break_and_the_whitespace_are_treated_as_a_single_sp() -> None:
    one = "Subject: I know you're there, pick up the phone and talk to me!\r\n"
    many = "Subject: I know you're there,\r\n         pick up the phone\r\n\tand talk to me!\r\n"
    assert request(many) == request(one)


@pytest.mark.parametrize(
    "lines",
    [
        "Route: <sip:alice@h>\r\nSubject: Lunch\r\nRoute: <sip:bob@h>\r\nRoute: <sip:carol@h>\r\n",
        "Route: <sip:alice@atlanta.com>, <sip:bob@biloxi.com>\r\nRoute: <sip:carol@chicago.com>\r\nSubject: Lunch\r\n",
        "Subject: Lunch\r\nRoute: <sip:alice@atlanta.com>, <sip:bob@biloxi.com>,\r\n       <sip:carol@chicago.com>\r\n",
    ],
)
def test_7_3_1_the_following_groups_of_header_field_rows_are_valid_and_equivalent(lines: str) -> None:
    assert [address.uri.user for address in request(lines).routes] == ["alice", "bob", "carol"]


def test_7_3_1_the_relative_order_of_rows_with_the_same_name_is_important() -> None:
    lines = "Route: <sip:bob@h>\r\nRoute: <sip:alice@h>,<sip:carol@h>\r\n"
    assert [address.uri.user for address in request(lines).routes] == ["bob", "alice", "carol"]


def test_7_3_1_field_names_are_always_case_insensitive() -> None:
    one, two = request("Contact: <sip:a@h>;expires=3600\r\n"), request("CONTACT: <sip:a@h>;ExPiReS=3600\r\n")
    assert one.contacts[0].params.get("expires") == two.contacts[0].params.get("Expires") == "3600"


def test_7_3_1_parameter_names_and_values_are_case_insensitive() -> None:
    one = request("Content-Disposition: session;handling=optional\r\n").content_disposition
    two = request("content-disposition: Session;HANDLING=OPTIONAL\r\n").content_disposition
    assert one is not None
    assert two is not None
    assert (one.kind, one.optional) == (two.kind, two.optional) == ("session", True)


def test_7_3_3_implementations_must_accept_both_the_long_and_short_forms() -> None:
    compact = "v: SIP/2.0/UDP a;branch=z9hG4bK1\r\nf: <sip:a@h>;tag=1\r\nt: <sip:h>\r\ni: c\r\nCSeq: 1 INVITE\r\n"
    more = "m: <sip:a@h>\r\nk: timer\r\nc: application/sdp\r\nl: 0\r\ns: x\r\ne: gzip\r\n"
    long = (
        "Contact: <sip:a@h>\r\nSupported: timer\r\nContent-Type: application/sdp\r\nContent-Length: 0\r\nSubject: x\r\n"
    )
    message = parse_message(f"INVITE sip:h SIP/2.0\r\n{compact}{more}\r\n".encode())
    assert message == request(long + "Content-Encoding: gzip\r\n")


def test_7_3_3_a_name_may_appear_in_both_forms_within_the_same_message() -> None:
    assert [via.host for via in request("v: SIP/2.0/TCP b\r\nVia: SIP/2.0/TCP c\r\n").vias] == ["a", "b", "c"]


def test_7_4_1_sip_messages_may_contain_binary_bodies() -> None:
    body = bytes(range(256))
    message = parse_message(f"INVITE sip:h SIP/2.0\r\n{MANDATORY}Content-Length: 256\r\n\r\n".encode() + body)
    assert message.body == body
    assert message.encode().endswith(b"\r\n\r\n" + body)
