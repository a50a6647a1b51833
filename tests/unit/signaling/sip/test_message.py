"""Typed access to header fields, and what goes on the wire."""

from __future__ import annotations

import datetime

import pytest

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip import (
    CSeq,
    Headers,
    RAck,
    Request,
    Response,
    SessionExpires,
    SessionId,
    Uri,
    encode,
)
from signaling.sip.message import HeaderAccess

URI = Uri.parse("sip:srs@192.0.2.40")
BASE = [
    ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b"),
    ("Via", "SIP/2.0/TLS c"),
    ("From", "<sip:a@h>;tag=1"),
    ("To", "<sip:b@h>"),
    ("Call-ID", "c"),
    ("CSeq", "1 INVITE"),
]


def request(*more: tuple[str, str], body: bytes = b"") -> Request:
    return Request("INVITE", URI, Headers([*BASE, *more]), body)


def test_the_mandatory_five() -> None:
    message = request()
    assert message.via.host == "a"
    assert [via.host for via in message.vias] == ["a", "b", "c"]
    assert (message.from_.tag, message.to.tag, message.call_id) == ("1", None, "c")
    assert message.cseq == CSeq(1, "INVITE")


@pytest.mark.parametrize("name", ["via", "from_", "to", "call_id", "cseq"])
def test_a_missing_mandatory_field_is_an_error(name: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        getattr(Request("INVITE", URI, Headers()), name)
    assert (caught.value.status, caught.value.reason) == (400, "header field is missing")


def test_a_value_is_read_once() -> None:
    message = request()
    assert message.via is message.via
    assert message.contacts is message.contacts


def test_on_the_class_a_property_is_itself() -> None:
    assert HeaderAccess.via.__doc__ == "Topmost Via."


@pytest.mark.parametrize("text", ["", "a b", "a\tb"])
def test_a_call_id_is_one_word(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        _ = Request("INVITE", URI, Headers([("Call-ID", text)])).call_id


def test_addresses() -> None:
    message = request(
        ("m", '"A, B" <sip:a@h>;+sip.src, sip:b@h'),
        ("Record-Route", "<sip:r1;lr>,<sip:r2;lr>"),
        ("Record-Route", "<sip:r3;lr>"),
        ("Route", "<sip:r4;lr>"),
    )
    assert [address.uri.user for address in message.contacts] == ["a", "b"]
    assert message.contact is message.contacts[0]
    assert [address.uri.host for address in message.record_routes] == ["r1", "r2", "r3"]
    assert [address.uri.host for address in message.routes] == ["r4"]


def test_without_contact() -> None:
    assert (request().contacts, request().contact) == ((), None)


def test_the_star_of_a_register_is_no_address() -> None:
    assert request(("Contact", "*")).contacts == ()


def test_option_tags_methods_and_media_types() -> None:
    message = request(
        ("Require", "SIPREC, timer"),
        ("k", "Timer"),
        ("Supported", "100rel"),
        ("Allow", "INVITE, ack"),
        ("Accept", "Application/SDP, */*"),
    )
    assert message.require == ("siprec", "timer")
    assert message.supported == ("timer", "100rel")
    assert message.allow == ("INVITE", "ack")
    assert [kind.essence for kind in message.accept or ()] == ["application/sdp", "*/*"]


def test_no_accept_is_not_an_empty_accept() -> None:
    assert (request().accept, request(("Accept", "")).accept) == (None, ())


def test_scalars() -> None:
    message = request(
        ("Expires", "60"),
        ("Max-Forwards", "069"),
        ("Retry-After", "18000 (in a meeting);duration=3600"),
        ("x", "1800;refresher=uac"),
        ("Min-SE", "90"),
        ("RSeq", "7"),
        ("RAck", "7 1 INVITE"),
        ("Session-ID", "a" * 32),
        ("Content-Disposition", "Session;handling=optional"),
        ("c", "application/SDP"),
    )
    assert (message.expires, message.max_forwards, message.retry_after) == (60, 69, 18000)
    assert (message.session_expires, message.min_se) == (SessionExpires(1800, "uac"), 90)
    assert (message.rseq, message.rack) == (7, RAck(7, CSeq(1, "INVITE")))
    assert message.session_id == SessionId("a" * 32)
    assert message.content_disposition is not None
    assert message.content_disposition.kind == "session"
    assert message.content_type is not None
    assert message.content_type.essence == "application/sdp"


@pytest.mark.parametrize(
    "name",
    [
        "expires", "max_forwards", "retry_after", "session_expires", "min_se", "rseq", "rack", "session_id", "date",
        "content_disposition", "content_type",
    ],
)  # fmt: skip
def test_what_is_not_there_is_none(name: str) -> None:
    assert getattr(request(), name) is None


@pytest.mark.parametrize(
    ("header", "value", "name"),
    [
        ("Contact", "<sip:a", "contacts"),
        ("Max-Forwards", "300", "max_forwards"),
        ("Expires", "soon", "expires"),
        ("Retry-After", "soon", "retry_after"),
        ("Content-Type", 'a/b;c="', "content_type"),
        ("Record-Route", "nobody", "record_routes"),
        ("Date", "yesterday", "date"),
    ],
)
def test_a_malformed_optional_field_harms_nobody_else(header: str, value: str, name: str) -> None:
    message = request((header, value))
    with pytest.raises(SipSyntaxError) as caught:
        getattr(message, name)
    assert caught.value.header == header
    assert message.cseq.number == 1


def test_the_date_is_utc() -> None:
    moment = request(("Date", "Sat, 13 Nov 2010 23:29:00 GMT")).date
    assert moment == datetime.datetime(2010, 11, 13, 23, 29, tzinfo=datetime.UTC)


def test_a_request_on_the_wire() -> None:
    octets = Request("BYE", URI, Headers([("Via", "v"), ("X-Own", "1")]), b"\x00body").encode()
    assert octets == b"BYE sip:srs@192.0.2.40 SIP/2.0\r\nVia: v\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\n\x00body"


def test_a_response_on_the_wire() -> None:
    octets = encode(Response(200, "OK", Headers([("l", "99"), ("Content-Length", "98")]), b"x"))
    assert octets == b"SIP/2.0 200 OK\r\nl: 1\r\n\r\nx"


def test_octets_that_are_not_utf_8_go_out_as_they_came() -> None:
    value = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert b"X-Own: \xff\xfe\r\n" in Response(200, "OK", Headers([("X-Own", value)])).encode()


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nEvil: 1", "a\rEvil: 1"])
def test_a_line_break_cannot_be_smuggled_in(value: str) -> None:
    with pytest.raises(LocalProtocolError):
        Request("INVITE", URI, Headers([("X-Own", value)])).encode()
    with pytest.raises(LocalProtocolError):
        Response(200, value, Headers()).encode()


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY"])
def test_a_header_name_must_be_a_token(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Request("INVITE", URI, Headers([(name, "1")])).encode()


def test_a_method_must_be_a_token() -> None:
    with pytest.raises(LocalProtocolError):
        Request("IN VITE", URI, Headers()).encode()


def test_the_top_via_is_completed_and_the_rest_of_its_line_kept() -> None:
    seen = request().seen_from("192.0.2.30", 40000)
    assert seen.headers.get_all("Via") == (
        "SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.30, SIP/2.0/TCP b",
        "SIP/2.0/TLS c",
    )
    assert seen.via.received == "192.0.2.30"


def test_a_via_that_is_complete_changes_nothing() -> None:
    message = Request("INVITE", URI, Headers([("Via", "SIP/2.0/UDP 192.0.2.30")]))
    assert message.seen_from("192.0.2.30", 5060) is message


@pytest.mark.parametrize(
    ("status", "provisional", "success"),
    [(100, True, False), (199, True, False), (200, False, True), (300, False, False)],
)
def test_classes_of_responses(status: int, provisional: bool, success: bool) -> None:
    response = Response(status, "", Headers())
    assert (response.is_provisional, response.is_success) == (provisional, success)


def test_messages_are_values() -> None:
    assert request() == request()
    assert request() != request(("X-Own", "1"))
