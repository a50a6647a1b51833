"""RFC 3261 §8.2: what a UAS does with every request, sentence by sentence; §8.1.3 for responses."""

from __future__ import annotations

import pytest

from signaling.sip import Response
from signaling.useragent import (
    AckReceived,
    Identity,
    InfoReceived,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    ResponseReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, TCP, Line, Src, octets, request


def refused(line: Line, status: int) -> Response:
    response = line.response()
    assert response.status == status
    assert not [event for event in line.events() if not isinstance(event, MessageDiscarded)]
    return response


@pytest.mark.parametrize("method", ["MESSAGE", "REGISTER", "SUBSCRIBE", "NOTIFY", "REFER", "PUBLISH"])
def test_a_method_that_is_recognised_but_not_supported_gets_405_with_the_methods_in_allow(method: str) -> None:
    """C20, §8.2.1."""
    line = Line()
    Src(line).send(method)
    allow = refused(line, 405).allow
    assert set(allow) == {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK"}


def test_a_method_that_is_not_recognised_gets_501() -> None:
    """C20, §21.5.2."""
    line = Line()
    Src(line).send("WOBBLE")
    refused(line, 501)


def test_methods_are_case_sensitive() -> None:
    line = Line()
    Src(line).send("invite")
    refused(line, 501)


def test_a_header_field_that_is_not_understood_is_ignored() -> None:
    """C20, §8.2.2."""
    line = Line()
    Src(line).send("INVITE", headers=["X-Genesys-GVP-Session-ID: 1;gvp.rm.datanodes=2|1", "P-Whatever: <<<>>>"])
    line.event(InviteReceived)


def test_a_malformed_header_field_that_is_not_needed_is_ignored() -> None:
    """C20, §8.2.2."""
    line = Line()
    Src(line).send(
        "INVITE",
        headers=[
            'Allow: "',
            "Session-Expires: soon",
            "Min-SE: -1",
            "Expires: never",
            'Require: "a, b',
            "Session-ID: x",
        ],
        body=OFFER,
    )
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert line.statuses() == [100, 200]


@pytest.mark.parametrize("to", ["<tel:+15550100>", "<urn:service:sos>", "<sip:somebody@elsewhere.example>"])
def test_a_to_that_is_not_ours_is_no_reason_to_refuse(to: str) -> None:
    """§8.2.2.1."""
    line = Line()
    Src(line).send("INVITE", to=to)
    line.event(InviteReceived)


@pytest.mark.parametrize("uri", ["http://192.0.2.40", "nobodyKnowsThisScheme:totallyopaquecontent", "urn:x:y"])
def test_a_request_uri_with_another_scheme_gets_416(uri: str) -> None:
    """C20, §8.2.2.1."""
    line = Line()
    Src(line).send("OPTIONS", uri=uri)
    refused(line, 416)


@pytest.mark.parametrize("uri", ["sip:record=x@other.example;calluuid=1", "sips:srs@192.0.2.40", "tel:+15550100"])
def test_other_request_uris_are_accepted(uri: str) -> None:
    """E13: the host of the Request-URI need not be ours."""
    line = Line()
    Src(line).send("INVITE", uri=uri)
    line.event(InviteReceived)


def test_a_merged_request_gets_482() -> None:
    """C21, §8.2.2.2: same From-tag, Call-ID and CSeq, another branch."""
    line = Line()
    src = Src(line)
    src.send("INVITE")
    line.event(InviteReceived)
    line.heard()
    src.send("INVITE", cseq=1)
    refused(line, 482)


def test_a_request_merged_after_the_answer_still_gets_482_while_the_transaction_lives() -> None:
    """C21."""
    line = Line()
    src = Src(line)
    src.establish()
    line.advance(31)
    src.send("INVITE", cseq=1, to="<sip:srs@192.0.2.40>")
    refused(line, 482)


def test_a_request_with_a_to_tag_is_never_taken_for_merged() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    src.send("OPTIONS", cseq=1)
    line.event(OptionsReceived)


def test_the_same_call_again_with_another_cseq_is_a_new_request() -> None:
    line = Line()
    src = Src(line)
    src.send("INVITE")
    src.send("INVITE")
    assert [type(event) for event in line.events()] == [InviteReceived, InviteReceived]


def test_a_required_option_that_is_not_understood_gets_420_and_is_named_in_unsupported() -> None:
    """S2, §8.2.2.3."""
    line = Line()
    Src(line).send("INVITE", headers=["Require: siprec, nothingSupportsThis, timer, noway"])
    assert refused(line, 420).headers.get("Unsupported") == "nothingsupportsthis, noway"


@pytest.mark.parametrize("tags", ["siprec", "timer", "100rel", "siprec, timer, 100rel"])
def test_options_that_are_understood_are_never_refused(tags: str) -> None:
    """S2; src-profiles 15: `Require: siprec` never answered 420."""
    line = Line()
    Src(line).send("INVITE", headers=[f"Require: {tags}"])
    line.event(InviteReceived)


def test_require_must_be_ignored_in_cancel_and_ack() -> None:
    """§8.2.2.3."""
    line = Line()
    src = Src(line)
    src.establish(ack=False)
    src.ack(headers=["Require: noway"])
    line.event(AckReceived)
    branch = "z9hG4bKx"
    src.send("INVITE", branch=branch)
    line.heard()
    src.send("CANCEL", cseq=src.cseq, branch=branch, headers=["Require: noway"])
    assert line.statuses() == [200, 487]


def test_non_invite_requests_get_no_provisional_response_at_first() -> None:
    """C6, §8.2.6.1."""
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INFO")
    line.event(InfoReceived)
    assert line.heard() == []


def test_a_timestamp_is_copied_into_the_100() -> None:
    """§8.2.6.1."""
    line = Line()
    Src(line).send("INVITE", headers=["Timestamp: 54"])
    assert line.responses()[0].headers.get("Timestamp") == "54"


def test_from_call_id_cseq_and_vias_of_the_response_equal_those_of_the_request() -> None:
    """C10, §8.2.6.2."""
    line = Line()
    src = Src(line, via="SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bKa;x=y, SIP/2.0/TCP 192.0.2.20")
    sent = src.send("INVITE", from_='"A" <sip:a@b;x>;tag=1;y=2')
    assert (line.event(InviteReceived).request.headers.get("Via") or "") in sent.decode()
    for response in line.responses():
        for name in ("Via", "From", "Call-ID", "CSeq"):
            assert f"{name}: {response.headers.get(name)}\r\n".encode() in sent


def test_the_same_tag_is_used_for_all_responses_to_a_request() -> None:
    """C10, §8.2.6.2."""
    line = Line()
    Src(line).send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 180, now=line.now)
    line.agent.respond(event.request_id, 183, now=line.now)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    tags = {response.to.tag for response in line.responses() if response.status > 100}
    assert len(tags) == 1
    assert None not in tags


def test_a_to_tag_carries_the_stamp_of_instance_and_epoch() -> None:
    """C12."""
    line = Line(identity=Identity("192.0.2.40", stamp="b.12"))
    src = Src(line)
    src.establish()
    assert "tag=b.12~" in src.to


def test_a_stateless_answer_is_the_same_each_time() -> None:
    """§8.2.7: "in a manner that will generate the same tag for the same request consistently"."""
    line = Line()
    again = Src(line).send("REGISTER")
    first = line.heard()[0].data
    line.receive(again)
    assert line.heard()[0].data == first
    assert line.agent.deadline is None


def test_a_stateless_uas_must_ignore_ack() -> None:
    """§8.2.7."""
    line = Line()
    src = Src(line)
    src.send("INVITE", headers=["Require: noway"])
    src.learn(line.response())
    line.events()
    src.ack()
    assert line.heard() == []


def test_a_final_response_is_repeated_byte_for_byte() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    sent = src.send("OPTIONS")
    event = line.event(OptionsReceived)
    line.agent.respond(event.request_id, 200, now=line.now)
    first = line.heard()[0].data
    for _ in range(3):
        line.advance(1)
        line.receive(sent)
    assert [outgoing.data for outgoing in line.heard()] == [first] * 3
    assert line.events() == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), 505),
        ((b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), 400),
        ((b"CSeq: 1 OPTIONS", b"CSeq: one OPTIONS"), 400),
        ((b"To: <sip:srs@192.0.2.40>\r\n", b""), 400),
        ((b"Call-ID: call-1@192.0.2.30\r\n", b""), 400),
        ((b"Content-Length: 0", b"Content-Length: 9"), 400),
    ],
)
def test_a_request_that_cannot_be_used_is_answered_if_its_via_can(change: tuple[bytes, bytes], status: int) -> None:
    """C20, C2: silence is never an answer."""
    line = Line()
    line.receive(Src(line).build("OPTIONS").replace(*change))
    assert line.heard()[0].data.startswith(b"SIP/2.0 %d " % status)
    line.event(MessageDiscarded)


def test_the_answer_to_a_broken_request_goes_where_its_via_says() -> None:
    """C7."""
    line = Line()
    src = Src(line, via="SIP/2.0/UDP 10.1.1.1:7070;rport")
    line.receive(src.build("OPTIONS").replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"))
    outgoing = line.heard()[0]
    assert outgoing.flow == line.flow
    assert b"10.1.1.1:7070;rport=5060;" in outgoing.data
    assert b";received=192.0.2.30\r\n" in outgoing.data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"hello",
        b"\x00\x01\x00\x08!\x12\xa4B" + bytes(12),
        octets("OPTIONS sip:a@b SIP/2.0\nFrom: <sip:a@b>\n\n"),
        request("ACK", branch="z9hG4bK1", cseq="1 ACK").replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
        request("ACK", branch="z9hG4bK1", cseq="1 ACK").replace(b"Call-ID", b"X-Call-ID"),
        b"SIP/2.0 200 OK\r\n\r\n",
    ],
)
def test_what_cannot_be_answered_is_dropped_in_silence(data: bytes) -> None:
    """§18.3 and §17.1.1.3: no Via, an ACK, a response, or no SIP at all."""
    line = Line()
    line.receive(data)
    assert line.heard() == []


def test_over_a_connection_a_request_without_a_usable_via_is_answered_on_it() -> None:
    line = Line(flow=TCP)
    line.receive(octets("OPTIONS sip:a@b SIP/2.0\nVia: nonsense\nFrom: <sip:a@b>;tag=1\nContent-Length: 0\n\n"))
    assert line.heard()[0].flow == TCP


def test_a_response_that_is_not_for_us_is_discarded() -> None:
    """§18.1.2."""
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    sent = line.requests()[0]
    line.receive(src.answer(sent, 200).replace(b"Via: SIP/2.0/UDP 192.0.2.40", b"Via: SIP/2.0/UDP 192.0.2.99"))
    assert "somebody else" in line.event(MessageDiscarded).reason


def test_a_response_with_more_than_one_via_is_discarded() -> None:
    """§8.1.3.3."""
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    sent = line.requests()[0]
    two = src.answer(sent, 200).replace(b"From:", b"Via: SIP/2.0/UDP 192.0.2.77\r\nFrom:")
    line.receive(two)
    assert line.event(MessageDiscarded).reason == "response with more than one Via"
    line.receive(src.answer(sent, 200))
    line.event(ResponseReceived)


def test_a_response_without_a_transaction_is_discarded() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    sent = line.requests()[0]
    line.receive(src.answer(sent, 200).replace(b"branch=z9hG4bKtoken", b"branch=z9hG4bKother"))
    assert line.event(MessageDiscarded).reason == "response without a transaction"
