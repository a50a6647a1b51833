"""RFC 3261 §12: dialogs, created and used by the UAS, and requests of ours inside them."""

from __future__ import annotations

import pytest

from signaling.useragent import (
    ByeReceived,
    Destination,
    DialogDoubted,
    InfoReceived,
    InviteReceived,
    Limits,
    MessageDiscarded,
    OptionsReceived,
    ReinviteReceived,
    RequestTimedOut,
    ResponseReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, SRS, TCP, UDP, Line, Src

RM = "<sip:0x1@192.0.2.31:15060;lr;gvp.rm.datanodes=1;confinstid=01EXAMPLE;idtag=0000000C>"


def test_the_2xx_copies_all_record_route_values_in_order_with_their_parameters() -> None:
    """C9, §12.1.1."""
    line = Line()
    src = Src(line, record_route=f"{RM};x=1, <sip:p2;lr>")
    src.establish()
    accepted = line.sent[-1][1].data
    assert f"Record-Route: {RM};x=1, <sip:p2;lr>\r\n".encode() in accepted


def test_the_2xx_has_a_contact_that_is_ours() -> None:
    """C9, S3, §12.1.1."""
    line = Line()
    Src(line).establish()
    assert b"Contact: <sip:srs@192.0.2.40:5060>;+sip.srs\r\n" in line.sent[-1][1].data


def test_a_sips_request_uri_gets_a_sips_contact() -> None:
    """§12.1.1."""
    line = Line()
    src = Src(line)
    src.send("INVITE", uri="sips:srs@192.0.2.40", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    contact = line.response().contact
    assert contact is not None
    assert contact.uri.scheme == "sips"


def test_a_request_without_a_from_tag_makes_a_dialog_too() -> None:
    """§12.1.1: "A UAS MUST be prepared to receive a request without a tag in the From field"."""
    line = Line()
    src = Src(line)
    src.from_ = "<sip:src@192.0.2.30>"
    dialog_id = src.establish()
    src.send("BYE")
    assert line.event(ByeReceived).dialog_id == dialog_id


def test_the_route_set_is_used_in_order_and_the_target_is_the_request_uri() -> None:
    """C9, §12.2.1.1."""
    line = Line()
    src = Src(line, record_route=f"{RM}, <sip:p2;lr>", contact="<sip:mcp@192.0.2.20:7090>")
    src.establish()
    line.agent.bye(src.dialog_id, line.now)
    outgoing = line.heard()[0]
    assert outgoing.flow == Destination("udp", "192.0.2.31", 15060, SRS)
    assert outgoing.data.startswith(b"BYE sip:mcp@192.0.2.20:7090 SIP/2.0\r\n")
    assert outgoing.data.count(b"Route: ") == 2
    assert outgoing.data.index(RM.encode()) < outgoing.data.index(b"<sip:p2;lr>")


def test_a_strict_router_gets_the_request_uri_and_the_target_the_last_route() -> None:
    """C9, §12.2.1.1."""
    line = Line()
    src = Src(line, record_route="<sip:192.0.2.31>, <sip:p2;lr>", contact="<sip:mcp@192.0.2.20>")
    src.establish()
    line.agent.bye(src.dialog_id, line.now)
    (sent,) = line.requests()
    assert sent.uri.text == "sip:192.0.2.31"
    assert sent.headers.get_all("Route") == ("<sip:p2;lr>", "<sip:mcp@192.0.2.20>")


def test_call_id_tags_and_uris_of_our_request_are_the_dialogs() -> None:
    """Pitfall 7; §12.2.1.1."""
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    assert sent.call_id == src.call_id
    assert sent.headers.get("From") == src.to
    assert sent.headers.get("To") == src.from_


def test_our_cseq_numbers_are_contiguous_and_rise() -> None:
    """C11, §12.2.1.1."""
    line = Line()
    src = Src(line)
    src.establish()
    numbers = []
    for _ in range(3):
        line.agent.options(src.dialog_id, line.now)
        (sent,) = line.requests()
        line.receive(src.answer(sent, 200))
        numbers.append(sent.cseq.number)
    assert numbers == [1, 2, 3]


def test_our_requests_carry_no_via_or_record_route_of_others() -> None:
    """Pitfall 8."""
    line = Line()
    src = Src(line, via="SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bKa, SIP/2.0/TCP 192.0.2.20", record_route=RM)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    assert len(sent.vias) == 1
    assert sent.via.host == "192.0.2.40"
    assert "Record-Route" not in sent.headers


def test_a_target_refresh_changes_where_requests_go_once_it_is_accepted() -> None:
    """C11, §12.2.2; RFC 6141 §4.6."""
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INVITE", body=OFFER, contact="<sip:moved@192.0.2.99:5090>")
    event = line.event(ReinviteReceived)
    assert line.agent.state(src.dialog_id).remote_target == "sip:src@192.0.2.30:5060"
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert line.agent.state(src.dialog_id).remote_target == "sip:moved@192.0.2.99:5090"


def test_an_error_response_leaves_the_target_as_it_was() -> None:
    """RFC 6141 §4.6: "the UA MUST NOT update its dialog's remote target"."""
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INVITE", body=OFFER, contact="<sip:moved@192.0.2.99:5090>")
    line.agent.respond(line.event(ReinviteReceived).request_id, 488, now=line.now)
    assert line.agent.state(src.dialog_id).remote_target == "sip:src@192.0.2.30:5060"


def test_requests_that_are_no_target_refresh_do_not_change_the_target() -> None:
    """§12.2: OPTIONS, INFO and ACK."""
    line = Line()
    src = Src(line)
    src.establish(ack=False)
    src.ack(contact="<sip:a@192.0.2.99>")
    for method in ("OPTIONS", "INFO"):
        src.send(method, contact="<sip:a@192.0.2.99>")
        event = line.events()[-1]
        assert isinstance(event, OptionsReceived | InfoReceived)
        line.agent.respond(event.request_id, 200, now=line.now)
    assert line.agent.state(src.dialog_id).remote_target == "sip:src@192.0.2.30:5060"


def test_a_2xx_to_our_reinvite_replaces_the_target() -> None:
    """§12.2.1.2."""
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200, contact="<sip:new@192.0.2.77>", body=OFFER))
    (ack,) = line.requests()
    assert ack.uri.text == "sip:new@192.0.2.77"


def test_an_unusable_contact_in_a_2xx_keeps_the_old_target() -> None:
    """E3: `Contact: <<sip:host>;+sip.src>` is read, rubbish is not."""
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200, contact='"rubbish', body=OFFER))
    (ack,) = line.requests()
    assert (ack.method, ack.uri.text) == ("ACK", "sip:src@192.0.2.30:5060")


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS", "PRACK"])
@pytest.mark.parametrize("to", ["<sip:srs@192.0.2.40>;tag=foreign", "<sip:srs@192.0.2.40>;tag=a.6~dead"])
def test_a_request_in_an_unknown_dialog_gets_481(method: str, to: str) -> None:
    """C12, §12.2.2."""
    line = Line()
    Src(line).send(method, to=to)
    assert line.response().status == 481
    assert [type(event) for event in line.events()] == [MessageDiscarded]


def test_a_request_with_the_right_to_tag_and_a_wrong_from_tag_gets_481() -> None:
    """§12: all three parts identify a dialog."""
    line = Line()
    src = Src(line)
    src.establish()
    src.send("BYE", from_="<sip:src@192.0.2.30>;tag=somebody-else")
    assert line.response().status == 481


def test_an_ack_in_an_unknown_dialog_is_dropped_in_silence() -> None:
    line = Line()
    Src(line).ack(cseq=1, to="<sip:srs@192.0.2.40>;tag=foreign")
    assert line.heard() == []


def test_a_lower_cseq_gets_500() -> None:
    """C11, §12.2.2: "MUST be rejected with a 500 (Server Internal Error) response"."""
    line = Line()
    src = Src(line)
    src.cseq = 9
    src.establish()
    src.send("INFO", cseq=11)
    line.event(InfoReceived)
    src.send("INFO", cseq=10)
    assert line.response().status == 500
    assert [type(event) for event in line.events()] == [MessageDiscarded]


def test_a_gap_in_cseq_is_no_error() -> None:
    """C11, §12.2.2."""
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INFO", cseq=1000)
    line.event(InfoReceived)
    src.send("INFO", cseq=1002)
    line.event(InfoReceived)


def test_a_rejected_request_changes_no_state_but_the_number() -> None:
    """§12.2.2: "If the request is rejected, none of the state changes are performed"."""
    line = Line()
    src = Src(line)
    src.establish()
    before = line.agent.state(src.dialog_id)
    src.send("INVITE", body=OFFER, headers=["Session-Expires: 600", "Allow: BYE"], contact="<sip:x@192.0.2.1>")
    line.agent.respond(line.event(ReinviteReceived).request_id, 488, now=line.now)
    after = line.agent.state(src.dialog_id)
    before.remote_sequence = after.remote_sequence
    assert after == before


@pytest.mark.parametrize("status", [481, 408])
def test_a_481_or_408_to_our_request_puts_the_dialog_in_doubt(status: int) -> None:
    """C14, §12.2.1.2: "the UAC SHOULD terminate the dialog"; the transaction user decides, knowing the media."""
    line = Line()
    src = Src(line)
    src.establish()
    request_id = line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    received, doubted = line.events()
    assert isinstance(received, ResponseReceived)
    assert (received.request_id, received.response.status) == (request_id, status)
    assert doubted == DialogDoubted(src.dialog_id, request_id, str(status))  # type: ignore[arg-type]
    assert line.agent.dialogs() == [src.dialog_id]


def test_no_response_at_all_puts_the_dialog_in_doubt() -> None:
    """C14, §12.2.1.2."""
    line = Line()
    src = Src(line)
    src.establish()
    request_id = line.agent.options(src.dialog_id, line.now)
    line.advance(33)
    assert len(line.heard()) == 11
    assert line.events() == [
        RequestTimedOut(request_id, src.dialog_id, "timeout"),
        DialogDoubted(src.dialog_id, request_id, "timeout"),
    ]


@pytest.mark.parametrize("status", [302, 401, 404, 405, 407, 486, 488, 500, 503, 603])
def test_other_failures_leave_the_dialog_alone(status: int) -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    assert [type(event) for event in line.events()] == [ResponseReceived]
    assert line.agent.dialogs() == [src.dialog_id]


def test_requests_follow_the_peer_to_the_connection_it_used_last() -> None:
    """E12: a TCP Contact on an ephemeral port."""
    line = Line(flow=TCP)
    src = Src(line, via="SIP/2.0/TCP 192.0.2.30:40123", contact="<sip:src@192.0.2.30:40123;transport=tcp>")
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    outgoing = line.heard()[0]
    assert outgoing.flow == TCP
    assert b"Via: SIP/2.0/TCP 192.0.2.40:5060;branch=" in outgoing.data


def test_a_dialog_is_not_bound_to_a_source_address() -> None:
    """genesys-msr 1: after a Resource Manager fails, requests come from another one."""
    line = Line()
    src = Src(line)
    src.establish()
    src.line.flow = type(UDP)("udp", SRS, ("192.0.2.32", 15060))
    src.send("BYE")
    line.event(ByeReceived)


def test_the_limit_of_dialogs_is_answered_503_with_retry_after() -> None:
    line = Line(limits=Limits(dialogs=1))
    Src(line, call="1").establish()
    Src(line, call="2").send("INVITE")
    response = line.response()
    assert (response.status, response.retry_after) == (503, 10)
    assert [type(event) for event in line.events()] == [MessageDiscarded]


def test_the_limit_of_transactions_is_answered_503_with_retry_after() -> None:
    line = Line(limits=Limits(server_transactions=1))
    Src(line, call="1").send("OPTIONS")
    line.events()
    Src(line, call="2").send("OPTIONS")
    assert line.response().status == 503
    assert [type(event) for event in line.events()] == [MessageDiscarded]
