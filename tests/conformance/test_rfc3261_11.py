"""RFC 3261 §11.2: OPTIONS."""

from __future__ import annotations

from signaling.useragent import OptionsReceived
from tests.unit.signaling.useragent.peer import Line, Src


def asked(line: Line, src: Src) -> OptionsReceived:
    src.send("OPTIONS")
    return line.event(OptionsReceived)


def test_a_200_says_what_we_can_do() -> None:
    """C18: "Allow, Accept, Accept-Encoding, Accept-Language, and Supported header fields SHOULD be present"."""
    line = Line()
    event = asked(line, Src(line))
    assert event.dialog_id is None
    line.agent.respond(event.request_id, 200, now=line.now)
    response = line.response()
    for name in ("Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported"):
        assert response.headers.get(name)
    assert "siprec" in response.supported
    assert response.to.tag is not None


def test_the_answer_is_that_of_an_invite_and_the_transaction_user_chooses_it() -> None:
    """C18: "The response code chosen MUST be the same that would have been chosen had the request been an INVITE"."""
    line = Line()
    event = asked(line, Src(line))
    line.agent.respond(event.request_id, 503, headers=[("Retry-After", "30")], now=line.now)
    response = line.response()
    assert (response.status, response.retry_after) == (503, 30)


def test_inside_a_dialog_the_answer_is_the_same_and_the_dialog_is_not_touched() -> None:
    """C18; src-profiles §3: in-dialog OPTIONS of an Oracle SBC."""
    line = Line()
    src = Src(line)
    dialog_id = src.establish()
    before = line.agent.state(dialog_id)
    event = asked(line, src)
    assert event.dialog_id == dialog_id
    line.agent.respond(event.request_id, 200, now=line.now)
    assert line.response().headers.get("Accept")
    after = line.agent.state(dialog_id)
    assert (after.remote_target, after.session, after.answers) == (before.remote_target, before.session, before.answers)


def test_options_in_an_unknown_dialog_gets_481() -> None:
    """C12, pitfall 18: this is how a peer finds out that a dialog is gone."""
    line = Line()
    Src(line).send("OPTIONS", to="<sip:srs@192.0.2.40>;tag=a.6~gone")
    assert line.response().status == 481


def test_a_to_without_angle_brackets_is_returned_with_a_tag() -> None:
    """E13: the Resource Manager's health check."""
    line = Line()
    src = Src(line)
    src.send("OPTIONS", to="sip:192.0.2.40:5060")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    assert (line.response().headers.get("To") or "").startswith("sip:192.0.2.40:5060;tag=")


def test_large_cseq_numbers_are_fine() -> None:
    line = Line()
    src = Src(line)
    src.cseq = 2**31 + 7
    asked(line, src)
