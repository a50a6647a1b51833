"""Messages of our own."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError, Salvage, SipSyntaxError
from signaling.sip import (
    REASONS,
    NameAddr,
    Request,
    Uri,
    Via,
    build_ack,
    build_cancel,
    build_request,
    build_response,
    parse_message,
    reject_malformed,
)


def parsed(octets: bytes) -> Request:
    message = parse_message(octets)
    assert isinstance(message, Request)
    return message


INVITE = parsed(
    b"INVITE sip:record=1@192.0.2.40 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1, SIP/2.0/TCP 192.0.2.20\r\n"
    b"Record-Route: <sip:0x1@192.0.2.30;lr;idtag=C>\r\n"
    b"Timestamp: 54\r\n"
    b"f: <sip:Genesys@192.0.2.20>;tag=a\r\n"
    b"t: sip:192.0.2.40:5060\r\n"
    b"i: c@192.0.2.20\r\n"
    b"CSeq: 0007 INVITE\r\n\r\n"
)


def own(method: str = "INVITE") -> Request:
    return build_request(
        method,
        Uri.parse("sip:Genesys@192.0.2.20:7090"),
        via=Via("UDP", "192.0.2.40", 5060),
        from_=NameAddr.parse("<sip:srs@192.0.2.40>;tag=l", "From"),
        to=NameAddr.parse("<sip:Genesys@192.0.2.20>;tag=r", "To"),
        call_id="c",
        cseq=1001,
        routes=["<sip:0x1@192.0.2.30;lr;idtag=C>", NameAddr.parse("<sip:r2;lr>", "Route")],
        contact="<sip:srs@192.0.2.40>;+sip.srs",
        headers=[("supported", "timer")],
        body=b"v=0",
        content_type="application/sdp",
    )


def test_a_request_of_ours() -> None:
    assert own().encode() == (
        b"INVITE sip:Genesys@192.0.2.20:7090 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.40:5060\r\n"
        b"Route: <sip:0x1@192.0.2.30;lr;idtag=C>\r\n"
        b"Route: <sip:r2;lr>\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:srs@192.0.2.40>;tag=l\r\n"
        b"To: <sip:Genesys@192.0.2.20>;tag=r\r\n"
        b"Call-ID: c\r\n"
        b"CSeq: 1001 INVITE\r\n"
        b"Contact: <sip:srs@192.0.2.40>;+sip.srs\r\n"
        b"Supported: timer\r\n"
        b"Content-Type: application/sdp\r\n"
        b"Content-Length: 3\r\n\r\nv=0"
    )


def test_a_response_copies_what_it_must_as_it_came() -> None:
    response = build_response(INVITE, 200, to_tag="srs", record_route=True, headers=[("contact", "<sip:srs@h>")])
    assert response.encode() == (
        b"SIP/2.0 200 OK\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1, SIP/2.0/TCP 192.0.2.20\r\n"
        b"Record-Route: <sip:0x1@192.0.2.30;lr;idtag=C>\r\n"
        b"From: <sip:Genesys@192.0.2.20>;tag=a\r\n"
        b"To: sip:192.0.2.40:5060;tag=srs\r\n"
        b"Call-ID: c@192.0.2.20\r\n"
        b"CSeq: 0007 INVITE\r\n"
        b"Contact: <sip:srs@h>\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_a_hundred_copies_the_timestamp_and_needs_no_tag() -> None:
    response = build_response(INVITE, 100)
    assert (response.to.tag, response.headers.get("Timestamp")) == (None, "54")
    assert "Timestamp" not in build_response(INVITE, 200).headers


def test_a_tag_that_is_there_stays() -> None:
    assert build_response(own(), 200, to_tag="other").to.tag == "r"


def test_reasons() -> None:
    assert build_response(INVITE, 488).reason == REASONS[488] == "Not Acceptable Here"
    assert build_response(INVITE, 599).reason == ""
    assert build_response(INVITE, 503, reason="Draining").reason == "Draining"


@pytest.mark.parametrize("status", [99, 700])
def test_a_status_must_be_one(status: int) -> None:
    with pytest.raises(LocalProtocolError):
        build_response(INVITE, status)


def test_a_body() -> None:
    response = build_response(INVITE, 200, body=b"v=0\n", content_type="application/sdp")
    assert response.encode().endswith(b"Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n")


def test_cancel_repeats_its_request() -> None:
    invite = own()
    cancel = build_cancel(invite)
    assert (cancel.method, str(cancel.cseq), cancel.uri) == ("CANCEL", "1001 CANCEL", invite.uri)
    assert cancel.vias == (invite.via,)
    assert (cancel.to.tag, cancel.from_, cancel.call_id, cancel.body) == ("r", invite.from_, "c", b"")
    assert [str(route.uri) for route in cancel.routes] == [str(route.uri) for route in invite.routes]
    assert "Require" not in cancel.headers


def test_ack_takes_the_to_of_the_response() -> None:
    invite = own()
    ack = build_ack(invite, build_response(INVITE, 486, to_tag="theirs"))
    assert (ack.method, str(ack.cseq), ack.to.tag) == ("ACK", "1001 ACK", "theirs")


def error(method: str, *headers: tuple[str, str], status: int = 400) -> SipSyntaxError:
    fault = SipSyntaxError(status, "To", 0, "quoted string is not closed")
    fault.salvage = Salvage(method, headers)
    return fault


VIA = ("Via", "SIP/2.0/UDP h")


def test_a_malformed_request_is_answered_with_its_fault() -> None:
    answer = reject_malformed(error("INVITE", ("CSeq", "1 INVITE"), ("To", "<sip:h>"), VIA), to_tag="t")
    assert answer is not None
    assert answer.encode() == (
        b"SIP/2.0 400 Bad Request - quoted string is not closed\r\n"
        b"Via: SIP/2.0/UDP h\r\nTo: <sip:h>;tag=t\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )


def test_of_repeated_fields_only_vias_are_all_returned() -> None:
    repeated = [
        ("CSeq", "1 INVITE"),
        ("Call-ID", "a"),
        VIA,
        ("Call-ID", "b"),
        ("Via", "SIP/2.0/TCP i"),
        ("CSeq", "2 BYE"),
    ]
    answer = reject_malformed(error("INVITE", *repeated), to_tag="t")
    assert answer is not None
    assert list(answer.headers)[:-1] == [VIA, ("Via", "SIP/2.0/TCP i"), ("Call-ID", "a"), ("CSeq", "1 INVITE")]


def test_a_to_that_is_malformed_is_returned_as_it_came() -> None:
    answer = reject_malformed(error("INVITE", VIA, ("To", '"x')), to_tag="t", headers=[("Server", "Tandem")])
    assert answer is not None
    assert (answer.headers.get("To"), answer.headers.get("Server")) == ('"x', "Tandem")


def test_other_statuses_have_their_own_phrase() -> None:
    answer = reject_malformed(error("INVITE", VIA, status=505), to_tag="t")
    assert answer is not None
    assert answer.reason == "Version Not Supported"


@pytest.mark.parametrize("method", ["ACK", ""])
def test_an_ack_and_what_is_no_request_are_not_answered(method: str) -> None:
    assert reject_malformed(error(method, VIA), to_tag="t") is None


def test_without_a_via_there_is_no_way_back() -> None:
    assert reject_malformed(error("INVITE", ("CSeq", "1 INVITE")), to_tag="t") is None


def test_an_error_about_one_field_answers_nothing() -> None:
    assert reject_malformed(SipSyntaxError(400, "Contact", 0, "x"), to_tag="t") is None


def test_a_superfluous_semicolon_does_not_spoil_the_tag() -> None:
    request = Request(INVITE.method, INVITE.uri, INVITE.headers.replacing("To", "<sip:h>;"), b"")
    assert build_response(request, 200, to_tag="t").to.tag == "t"
