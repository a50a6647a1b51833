"""RFC 3261 §9.2: CANCEL at the UAS, in every state of the INVITE."""

from __future__ import annotations

import pytest

from signaling.errors import LostError
from signaling.useragent import CancelReceived, InfoReceived, InviteReceived, ReinviteReceived
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src

BRANCH = "z9hG4bKthe-invite"


def invited(line: Line) -> tuple[Src, InviteReceived]:
    src = Src(line)
    src.send("INVITE", branch=BRANCH, body=OFFER)
    line.heard()
    return src, line.event(InviteReceived)


def test_a_cancel_without_a_matching_transaction_gets_481() -> None:
    """C16."""
    line = Line()
    Src(line).send("CANCEL")
    assert line.response().status == 481


def test_a_pending_invite_gets_487_and_the_cancel_200() -> None:
    """C16; 200 to CANCEL first."""
    line = Line()
    src, event = invited(line)
    src.send("CANCEL", cseq=1, branch=BRANCH)
    assert [(response.status, response.cseq.method) for response in line.responses()] == [
        (200, "CANCEL"),
        (487, "INVITE"),
    ]
    assert line.event(CancelReceived) == CancelReceived(event.request_id, event.dialog_id, "cancel")
    assert line.agent.dialogs() == []


def test_the_to_tags_of_both_responses_are_the_same() -> None:
    line = Line()
    src, _ = invited(line)
    src.send("CANCEL", cseq=1, branch=BRANCH)
    cancelled, terminated = line.responses()
    assert cancelled.to.tag == terminated.to.tag


def test_an_answer_prepared_before_the_cancel_is_not_sent_after_it() -> None:
    """The checkpoint takes time; a CANCEL may win."""
    line = Line()
    src, event = invited(line)
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    src.send("CANCEL", cseq=1, branch=BRANCH)
    line.heard()
    assert line.agent.send(prepared, line.now) is False
    assert line.heard() == []
    with pytest.raises(LostError):
        line.agent.prepare(event.request_id, 200)


def test_after_a_final_response_a_cancel_has_no_effect() -> None:
    """C16: "no effect on the processing of the original request, no effect on any session state"."""
    line = Line()
    src, event = invited(line)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.learn(line.response())
    src.send("CANCEL", cseq=1, branch=BRANCH, to="<sip:srs@192.0.2.40>")
    assert line.response().status == 200
    assert line.events() == []
    assert line.agent.dialogs() == [event.dialog_id]


def test_after_a_refusal_a_cancel_has_no_effect() -> None:
    line = Line()
    src, event = invited(line)
    line.agent.respond(event.request_id, 503, now=line.now)
    line.heard()
    src.send("CANCEL", cseq=1, branch=BRANCH)
    assert line.statuses() == [200]
    assert line.events() == []


def test_a_cancel_has_no_impact_on_requests_of_other_methods() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INFO", branch=BRANCH)
    event = line.event(InfoReceived)
    src.send("CANCEL", cseq=src.cseq, branch=BRANCH)
    assert line.response().status == 481
    assert line.agent.respond(event.request_id, 200, now=line.now)


def test_a_repeated_cancel_gets_the_same_answer() -> None:
    line = Line()
    src, _ = invited(line)
    again = src.send("CANCEL", cseq=1, branch=BRANCH)
    first = line.heard()[0].data
    line.receive(again)
    assert [outgoing.data for outgoing in line.heard()] == [first]


def test_a_cancelled_reinvite_leaves_the_session_as_it_was() -> None:
    """C16, O10."""
    line = Line()
    src = Src(line)
    dialog_id = src.establish()
    before = line.agent.state(dialog_id)
    src.send("INVITE", branch=BRANCH, body=OFFER, contact="<sip:moved@192.0.2.99>")
    event = line.event(ReinviteReceived)
    src.send("CANCEL", cseq=src.cseq, branch=BRANCH)
    assert line.statuses() == [100, 200, 487]
    assert line.event(CancelReceived).request_id == event.request_id
    after = line.agent.state(dialog_id)
    assert (after.remote_target, after.local_description) == (before.remote_target, before.local_description)
    src.send("INVITE", body=OFFER)
    line.event(ReinviteReceived)


def test_the_ack_of_a_487_ends_its_repetitions() -> None:
    line = Line()
    src, _ = invited(line)
    src.send("CANCEL", cseq=1, branch=BRANCH)
    terminated = line.responses()[1]
    line.event(CancelReceived)
    line.advance(1.6)
    assert line.statuses() == [487, 487]
    src.learn(terminated)
    src.ack(cseq=1, branch=BRANCH)
    line.advance(40)
    assert line.heard() == []
    assert line.events() == []
