"""RFC 7866 §6: what makes the recorder an SRS in the eyes of its peers; dialogs and Contact only."""

from __future__ import annotations

import pytest

from signaling.useragent import Identity, InviteReceived, OptionsReceived, ReinviteReceived, UpdateReceived
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src

FEATURE = "<sip:srs@192.0.2.40:5060>;+sip.srs"
PLAIN = "<sip:srs@192.0.2.40:5060>"


def siprec() -> tuple[Line, Src]:
    line = Line()
    return line, Src(line, contact="<sip:src@192.0.2.30>;+sip.src")


def test_sip_srs_stands_in_every_dialog_creating_and_modifying_response() -> None:
    """S3."""
    line, src = siprec()
    src.send("INVITE", body=OFFER, headers=["Require: siprec"])
    line.agent.respond(line.event(InviteReceived).request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    response = line.response()
    assert response.headers.get("Contact") == FEATURE
    src.learn(response)
    src.ack()
    line.events()
    src.send("INVITE", body=OFFER)
    line.agent.respond(line.event(ReinviteReceived).request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert line.response().headers.get("Contact") == FEATURE
    src.ack()
    line.events()
    src.send("UPDATE")
    line.agent.respond(line.event(UpdateReceived).request_id, 200, now=line.now)
    assert line.response().headers.get("Contact") == FEATURE


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_sip_srs_stands_in_every_modifying_request(method: str) -> None:
    """S3."""
    line, src = siprec()
    src.establish()
    line.agent.send(line.agent.prepare_request(src.dialog_id, method, body=ANSWER, content_type=SDP), line.now)
    (sent,) = line.requests()
    assert sent.headers.get("Contact") == FEATURE


def test_sip_srs_stands_in_the_answer_to_options() -> None:
    line, src = siprec()
    src.send("OPTIONS")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    response = line.response()
    assert response.headers.get("Contact") == FEATURE
    assert "siprec" in response.supported


def test_a_session_that_is_not_siprec_can_do_without_for_its_whole_life() -> None:
    """genesys-msr §5: the effect of `+sip.srs` on a Media Server is unknown."""
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP, recording=False)
    line.agent.send(prepared, line.now)
    response = line.response()
    assert response.headers.get("Contact") == PLAIN
    src.learn(response)
    src.ack()
    line.agent.reinvite(event.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    assert sent.headers.get("Contact") == PLAIN


def test_an_identity_can_leave_it_out_altogether() -> None:
    line = Line(identity=Identity("192.0.2.40", recording=False))
    Src(line).establish()
    assert b"+sip.srs" not in line.sent[-1][1].data


def test_siprec_is_announced_and_understood() -> None:
    """S2."""
    line, src = siprec()
    src.establish(headers=["Require: siprec"])
    accepted = line.sent[-1][1].data
    assert b"Supported: timer, siprec, 100rel\r\n" in accepted
