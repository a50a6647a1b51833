"""RFC 3311 §5: UPDATE in both directions."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.useragent import (
    AckReceived,
    InviteReceived,
    ReinviteReceived,
    ResponseReceived,
    RetryDue,
    UpdateReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src, octets

METADATA = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'/>"
RS_METADATA = "application/rs-metadata+xml"


def established() -> tuple[Line, Src]:
    line = Line()
    src = Src(line)
    src.establish()
    return line, src


def test_an_update_with_an_offer_is_answered_by_the_transaction_user() -> None:
    """C22, E11."""
    line, src = established()
    src.send("UPDATE", body=OFFER)
    event = line.event(UpdateReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    response = line.response()
    assert (response.status, response.body) == (200, ANSWER)
    assert response.contact is not None


def test_an_update_with_metadata_alone_is_given_on() -> None:
    """S7."""
    line, src = established()
    src.send("UPDATE", body=METADATA, content_type=RS_METADATA)
    event = line.event(UpdateReceived)
    assert event.request.body == octets(METADATA)
    line.agent.respond(event.request_id, 200, now=line.now)
    assert line.response().body == b""


def test_an_update_before_the_previous_one_is_answered_gets_500_with_retry_after() -> None:
    """C22."""
    line, src = established()
    src.send("UPDATE")
    line.event(UpdateReceived)
    src.send("UPDATE")
    response = line.response()
    assert (response.status, response.retry_after) == (500, 5)


def test_an_offer_that_crosses_our_reinvite_gets_491() -> None:
    """C22."""
    line, src = established()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    line.heard()
    src.send("UPDATE", body=OFFER)
    assert line.response().status == 491


def test_an_offer_that_crosses_our_update_gets_491() -> None:
    """C22."""
    line, src = established()
    line.agent.update(src.dialog_id, ANSWER, SDP, line.now)
    line.heard()
    src.send("UPDATE", body=OFFER)
    assert line.response().status == 491


def test_an_offer_while_our_offer_in_a_2xx_waits_for_its_answer_gets_491() -> None:
    """C22, C15."""
    line = Line()
    src = Src(line)
    src.establish(body="", ack=False)
    src.send("UPDATE", body=OFFER)
    assert line.response().status == 491
    src.ack(cseq=1, body=OFFER)
    line.event(AckReceived)
    src.send("UPDATE", body=OFFER)
    line.event(UpdateReceived)


def test_an_offer_before_the_peers_invite_is_answered_gets_500_with_retry_after() -> None:
    """C22."""
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 180, now=line.now)
    src.learn(line.responses()[1])
    src.send("UPDATE", body=OFFER)
    response = line.response()
    assert response.status == 500
    assert response.retry_after is not None


def test_an_update_without_offer_may_go_beside_an_invite() -> None:
    line, src = established()
    src.send("INVITE", body=OFFER)
    line.event(ReinviteReceived)
    src.send("UPDATE")
    line.event(UpdateReceived)


def test_488_leaves_the_session_as_it_was() -> None:
    """C22, O10."""
    line, src = established()
    src.send("UPDATE", body=OFFER, contact="<sip:x@192.0.2.1>")
    line.agent.respond(line.event(UpdateReceived).request_id, 488, now=line.now)
    state = line.agent.state(src.dialog_id)
    assert (state.remote_target, state.local_description) == ("sip:src@192.0.2.30:5060", ANSWER)
    src.send("UPDATE", body=OFFER)
    line.event(UpdateReceived)


def test_an_accepted_update_refreshes_the_target() -> None:
    """C11, §5.1."""
    line, src = established()
    src.send("UPDATE", contact="<sip:moved@192.0.2.99>")
    line.agent.respond(line.event(UpdateReceived).request_id, 200, now=line.now)
    assert line.agent.state(src.dialog_id).remote_target == "sip:moved@192.0.2.99"


def test_an_update_that_nobody_answered_until_the_peer_gave_up_is_forgotten() -> None:
    """RFC 4320 §4.2: no late response."""
    line, src = established()
    src.send("UPDATE")
    event = line.event(UpdateReceived)
    line.advance(4)
    assert line.statuses() == [100]
    line.advance(29)
    src.send("UPDATE")
    line.event(UpdateReceived)
    prepared_too_late = line.agent
    with pytest.raises(Exception, match="gone"):
        prepared_too_late.respond(event.request_id, 200, now=line.now)


def test_our_update_carries_contact_and_body() -> None:
    line, src = established()
    request_id = line.agent.update(src.dialog_id, METADATA.encode(), RS_METADATA, line.now, headers=[("X-A", "b")])
    (sent,) = line.requests()
    assert (sent.method, sent.body) == ("UPDATE", METADATA.encode())
    assert sent.headers.get("Content-Type") == RS_METADATA
    assert sent.headers.get("Contact") == "<sip:srs@192.0.2.40:5060>;+sip.srs"
    line.receive(src.answer(sent, 200))
    assert line.event(ResponseReceived).request_id == request_id


def test_our_update_that_meets_491_is_retried_after_a_random_time() -> None:
    """C14, §5.3."""
    line, src = established()
    request_id = line.agent.update(src.dialog_id, ANSWER, SDP, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 491))
    assert line.event(ResponseReceived).retry_in == 1.0
    line.advance(1)
    assert line.events() == [RetryDue(request_id, src.dialog_id)]


def test_no_second_update_of_ours_while_one_is_in_progress() -> None:
    line, src = established()
    line.agent.update(src.dialog_id, b"", None, line.now)
    with pytest.raises(LocalProtocolError):
        line.agent.update(src.dialog_id, b"", None, line.now)


def test_no_offer_of_ours_while_the_peers_is_open() -> None:
    """§5.1."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    with pytest.raises(LocalProtocolError):
        line.agent.update(src.dialog_id, ANSWER, SDP, line.now)
    line.agent.update(src.dialog_id, b"", None, line.now)
