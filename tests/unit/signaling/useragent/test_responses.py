"""The text of responses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from signaling.dialog.session_timer import Agreement, SessionInterval
from signaling.errors import LocalProtocolError
from signaling.sip import Request, Response, SessionExpires, parse_message
from signaling.useragent import Flow, Identity
from signaling.useragent.responses import Echo, contact_of, stateless_tag, write_response
from tests.unit.signaling.useragent.peer import SRS, TCP, TLS, UDP, request

IDENTITY = Identity("192.0.2.40", stamp="a.7")


def asked(method: str = "INVITE", *, flow: Flow = UDP, **parts: object) -> Echo:
    message = parse_message(request(method, branch="z9hG4bK1", cseq=f"1 {method}", **parts))  # type: ignore[arg-type]
    assert isinstance(message, Request)
    return Echo.of(message, flow, "our-tag")


def answered(
    echo: Echo,
    status: int,
    *,
    headers: Sequence[tuple[str, str]] = (),
    contact: str | None = None,
    agreement: Agreement | None = None,
    session_uuid: str | None = None,
) -> Response:
    data = write_response(
        IDENTITY, echo, status, headers=headers, contact=contact, agreement=agreement,
        session_uuid=session_uuid,
    )  # fmt: skip
    response = parse_message(data)
    assert isinstance(response, Response)
    return response


def test_what_a_response_repeats_is_repeated_as_received() -> None:
    """C10, E13: a comma list of Via, an unusual To, and Record-Route come back intact."""
    route = "<sip:0x1@192.0.2.30:15060;lr;gvp.rm.datanodes=1;confinstid=ab_2030;idtag=0C>"
    echo = asked(
        via="SIP/2.0/UDP 192.0.2.30:15060;branch=z9hG4bK9, SIP/2.0/TCP 192.0.2.20:7090",
        to="sip:192.0.2.40:5060",
        from_='"Ann, B." <sip:ann@example.com>;tag=x;y="z"',
        headers=[f"Record-Route: {route}", "Record-Route: <sip:p2;lr>"],
    )
    response = answered(echo, 200)
    assert response.headers.get_all("Via") == echo.request.headers.get_all("Via")
    assert response.headers.get_all("Record-Route") == (route, "<sip:p2;lr>")
    assert response.headers.get("From") == '"Ann, B." <sip:ann@example.com>;tag=x;y="z"'
    assert response.headers.get("To") == "sip:192.0.2.40:5060;tag=our-tag"
    assert (response.call_id, str(response.cseq)) == ("call-1@192.0.2.30", "1 INVITE")


def test_octets_that_are_not_utf8_come_back_as_they_came() -> None:
    data = request("INVITE", branch="z9hG4bK1", cseq="1 INVITE", from_='"J\udcfcrgen" <sip:j@192.0.2.30>;tag=1')
    message = parse_message(data)
    assert isinstance(message, Request)
    written = write_response(IDENTITY, Echo.of(message, UDP, "t"), 200)
    assert b'From: "J\xfcrgen" <sip:j@192.0.2.30>;tag=1\r\n' in written


def test_a_to_tag_of_the_request_is_kept() -> None:
    echo = asked("BYE", to="<sip:srs@192.0.2.40>;tag=theirs")
    assert answered(echo, 200).to.tag == "theirs"


def test_only_the_topmost_via_is_completed() -> None:
    """C7."""
    natted = Flow("udp", SRS, ("198.51.100.9", 31000))
    echo = asked(flow=natted, via="SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.2;rport")
    top, second = answered(echo, 200).vias
    assert (top.received, top.rport) == ("198.51.100.9", 31000)
    assert (second.received, second.rport) == (None, None)


def test_a_100_carries_nothing_but_what_it_must() -> None:
    echo = asked(headers=["Timestamp: 54.21", "Record-Route: <sip:p;lr>"])
    trying = parse_message(echo.trying())
    assert isinstance(trying, Response)
    assert trying.status == 100
    assert trying.to.tag is None
    assert trying.headers.get("Timestamp") == "54.21"
    assert [name for name, _ in trying.headers] == [
        "Via", "From", "To", "Call-ID", "CSeq", "Timestamp", "Content-Length",
    ]  # fmt: skip
    assert "Timestamp" not in answered(echo, 200).headers


@pytest.mark.parametrize(
    ("method", "status", "present", "absent"),
    [
        ("INVITE", 200, {"Contact", "Allow", "Supported", "Record-Route"}, {"Accept"}),
        ("INVITE", 183, {"Contact", "Record-Route"}, {"Allow", "Accept"}),
        ("INVITE", 486, {"Server"}, {"Contact", "Allow", "Record-Route"}),
        ("UPDATE", 200, {"Contact", "Allow", "Supported"}, {"Record-Route"}),
        ("OPTIONS", 200, {"Contact", "Allow", "Supported", "Accept", "Accept-Encoding", "Accept-Language"}, set()),
        ("OPTIONS", 503, {"Server"}, {"Contact", "Accept"}),
        ("BYE", 200, {"Server"}, {"Contact", "Allow", "Record-Route"}),
        ("MESSAGE", 405, {"Allow"}, {"Contact"}),
        ("WOBBLE", 501, {"Allow"}, {"Contact"}),
        ("INVITE", 415, {"Accept"}, {"Contact"}),
    ],
)
def test_header_fields_by_method_and_status(method: str, status: int, present: set[str], absent: set[str]) -> None:
    echo = asked(method, headers=["Record-Route: <sip:p;lr>"])
    names = {name for name, _ in answered(echo, status, contact="<sip:srs@192.0.2.40>").headers}
    assert present <= names
    assert not absent & names


def test_header_fields_of_the_transaction_user_take_precedence() -> None:
    echo = asked()
    response = answered(echo, 200, contact="<sip:a@b>", headers=[("contact", "<sip:c@d>"), ("x-mine", "1")])
    assert response.headers.get_all("Contact") == ("<sip:c@d>",)
    assert response.headers.get("X-Mine") == "1"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb"])
def test_a_line_break_in_a_value_is_refused(value: str) -> None:
    echo = asked()
    with pytest.raises(LocalProtocolError):
        write_response(IDENTITY, echo, 200, headers=[("X-A", value)])
    with pytest.raises(LocalProtocolError):
        write_response(IDENTITY, echo, 200, reason=value)


@pytest.mark.parametrize("name", ["", "X Y", "X:Y", "X\r\n"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    echo = asked()
    with pytest.raises(LocalProtocolError):
        write_response(IDENTITY, echo, 200, headers=[(name, "v")])


@pytest.mark.parametrize("status", [0, 99, 100, 700])
def test_a_status_that_is_none_is_refused(status: int) -> None:
    echo = asked()
    with pytest.raises(LocalProtocolError):
        write_response(IDENTITY, echo, status)


def test_a_body_needs_a_type() -> None:
    echo = asked()
    with pytest.raises(LocalProtocolError):
        write_response(IDENTITY, echo, 200, body=b"v=0")


def test_session_expires_and_require_stand_only_in_success() -> None:
    agreement = Agreement(SessionInterval(1800, refreshed_by_us=False), SessionExpires(1800, "uac"), require_timer=True)
    echo = asked()
    accepted = answered(echo, 200, agreement=agreement)
    assert (accepted.headers.get("Require"), str(accepted.session_expires)) == ("timer", "1800;refresher=uac")
    refused = answered(echo, 488, agreement=agreement)
    assert "Session-Expires" not in refused.headers
    assert "Require" not in refused.headers


def test_the_session_id_is_answered_with_our_half_first() -> None:
    theirs, ours = "1" * 32, "a" * 32
    echo = asked(headers=[f"Session-ID: {theirs};remote={'0' * 32}"])
    assert answered(echo, 200, session_uuid=ours).headers.get("Session-ID") == f"{ours};remote={theirs}"


@pytest.mark.parametrize("header", ["Subject: none", "Session-ID: nonsense"])
def test_without_a_usable_session_id_none_is_sent(header: str) -> None:
    echo = asked(headers=[header])
    assert "Session-ID" not in answered(echo, 200, session_uuid="a" * 32).headers


@pytest.mark.parametrize(
    ("flow", "secure", "recording", "expected"),
    [
        (UDP, False, True, "<sip:srs@192.0.2.40:5060>;+sip.srs"),
        (UDP, False, False, "<sip:srs@192.0.2.40:5060>"),
        (TCP, False, True, "<sip:srs@192.0.2.40:5060;transport=tcp>;+sip.srs"),
        (TLS, False, True, "<sip:srs@192.0.2.40:5061;transport=tls>;+sip.srs"),
        (TLS, True, True, "<sips:srs@192.0.2.40:5061>;+sip.srs"),
    ],
)
def test_contact(flow: Flow, secure: bool, recording: bool, expected: str) -> None:
    """S3."""
    assert contact_of(IDENTITY, flow, secure=secure, recording=recording) == expected


def test_an_ipv6_contact_has_brackets() -> None:
    assert contact_of(Identity("2001:db8::40"), UDP, secure=False, recording=False) == "<sip:srs@[2001:db8::40]:5060>"


def test_a_stateless_tag_is_the_same_for_a_repetition_and_another_for_another_request() -> None:
    one, again, other = asked().request, asked().request, asked(from_="<sip:src@192.0.2.30>;tag=other").request
    assert stateless_tag(IDENTITY, one) == stateless_tag(IDENTITY, again)
    assert stateless_tag(IDENTITY, one) != stateless_tag(IDENTITY, other)
