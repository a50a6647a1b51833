"""RFC 3261 §15: BYE in both directions."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError, LostError
from signaling.useragent import (
    AckReceived,
    ByeReceived,
    CancelReceived,
    DialogEnded,
    InviteReceived,
    MessageDiscarded,
    RequestTimedOut,
    ResponseReceived,
    UpdateReceived,
)
from tests.unit.signaling.useragent.peer import OFFER, Line, Src


def established(*, ack: bool = True) -> tuple[Line, Src]:
    line = Line()
    src = Src(line)
    src.establish(ack=ack)
    return line, src


def test_a_bye_is_given_to_the_transaction_user_and_its_200_ends_the_dialog() -> None:
    """C17: the answer waits for the checkpoint."""
    line, src = established()
    src.send("BYE")
    event = line.event(ByeReceived)
    assert line.heard() == []
    assert line.agent.dialogs() == [src.dialog_id]
    prepared = line.agent.prepare(event.request_id, 200)
    assert line.agent.dialogs() == [src.dialog_id]
    assert line.agent.send(prepared, line.now)
    assert line.response().status == 200
    assert line.events() == [DialogEnded(src.dialog_id, "bye-received")]
    assert line.agent.dialogs() == []


def test_a_bye_that_matches_no_dialog_gets_481() -> None:
    """C17."""
    line = Line()
    Src(line).send("BYE")
    assert line.response().status == 481


def test_a_repeated_bye_gets_the_same_200_after_the_dialog_is_gone() -> None:
    """C17; a lost 200."""
    line, src = established()
    again = src.send("BYE")
    line.receive(again)
    assert line.heard() == []
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    first = line.heard()[0].data
    for _ in range(2):
        line.advance(4)
        line.receive(again)
    assert [outgoing.data for outgoing in line.heard()] == [first, first]


def test_after_the_end_other_requests_get_481() -> None:
    line, src = established()
    src.send("BYE")
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    line.events()
    line.heard()
    src.send("OPTIONS")
    assert line.response().status == 481


def test_while_the_bye_waits_for_its_answer_other_requests_get_481() -> None:
    line, src = established()
    src.send("BYE")
    line.event(ByeReceived)
    src.send("INVITE", body=OFFER)
    assert line.response().status == 481


def test_a_second_bye_is_answered_together_with_the_first() -> None:
    line, src = established()
    src.send("BYE")
    event = line.event(ByeReceived)
    src.send("BYE")
    assert line.events() == []
    line.agent.respond(event.request_id, 200, now=line.now)
    assert line.statuses() == [200, 200]
    assert line.agent.dialogs() == []


def test_a_bye_that_cannot_be_made_durable_can_be_refused_and_the_dialog_goes_on() -> None:
    line, src = established()
    src.send("BYE")
    line.agent.respond(line.event(ByeReceived).request_id, 500, now=line.now)
    assert line.response().status == 500
    src.send("OPTIONS")
    assert line.statuses() == []
    src.send("BYE")
    line.event(ByeReceived)


def test_a_bye_on_an_early_dialog_ends_the_invite() -> None:
    """§15: "The caller's UA MAY send a BYE for either confirmed or early dialogs"."""
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 180, now=line.now)
    src.learn(line.responses()[1])
    src.send("BYE")
    assert [(response.status, response.cseq.method) for response in line.responses()] == [(200, "BYE"), (487, "INVITE")]
    assert line.events() == [CancelReceived(event.request_id, event.dialog_id, "bye")]


def test_pending_requests_of_the_dialog_are_still_answered() -> None:
    """§15.1.2: "The UAS MUST still respond to any pending requests received for that dialog"."""
    line, src = established()
    src.send("UPDATE")
    update = line.event(UpdateReceived)
    src.send("BYE")
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    assert line.agent.respond(update.request_id, 487, now=line.now)
    assert line.statuses() == [200, 487]


def test_a_bye_before_the_ack_stops_the_repetitions_of_the_2xx() -> None:
    line, src = established(ack=False)
    src.send("BYE")
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    line.heard()
    line.events()
    line.advance(60)
    assert line.heard() == []
    assert line.events() == []


# E15: BYEs of vendor scripts.


def test_a_bye_without_to_tag_is_matched_if_only_one_call_fits() -> None:
    """E15."""
    line, src = established()
    src.send("BYE", to="<sip:srs@192.0.2.40>")
    event = line.event(ByeReceived)
    line.agent.respond(event.request_id, 200, now=line.now)
    response = line.response()
    assert response.status == 200
    assert f"<sip:srs@192.0.2.40>;tag={response.to.tag}" == src.to


def test_a_bye_without_to_tag_and_with_another_from_tag_gets_481() -> None:
    """E15: only what can be matched safely."""
    line, src = established()
    src.send("BYE", to="<sip:srs@192.0.2.40>", from_="<sip:src@192.0.2.30>;tag=other")
    assert line.response().status == 481


def test_a_bye_without_to_tag_that_fits_two_calls_gets_481() -> None:
    """E15: only what can be matched safely."""
    line, src = established()
    src.to = "<sip:srs@192.0.2.40>"
    src.establish()
    src.send("BYE", to="<sip:srs@192.0.2.40>")
    assert line.response().status == 481


def test_a_bye_whose_cseq_names_invite_is_accepted() -> None:
    """E15."""
    line, src = established()
    line.receive(src.build("BYE").replace(b" BYE\r\nContact", b" INVITE\r\nContact"))
    event = line.event(ByeReceived)
    line.agent.respond(event.request_id, 200, now=line.now)
    assert str(line.response().cseq) == "2 INVITE"


# §15.1.1: our own BYE.


@pytest.mark.parametrize("status", [200, 405, 408, 481, 500, 603])
def test_any_final_answer_to_our_bye_ends_the_dialog(status: int) -> None:
    """E4: OpenSIPS answers 405 and never sends a BYE of its own."""
    line, src = established()
    request_id = line.agent.bye(src.dialog_id, line.now, headers=[("Reason", 'SIP;cause=503;text="gone"')])
    (sent,) = line.requests()
    assert sent.method == "BYE"
    assert sent.headers.get("Reason") == 'SIP;cause=503;text="gone"'
    line.receive(src.answer(sent, status))
    received, ended = line.events()
    assert isinstance(received, ResponseReceived)
    assert received.request_id == request_id
    assert ended == DialogEnded(src.dialog_id, "bye-sent")
    assert line.agent.dialogs() == []


def test_our_bye_that_nobody_answers_ends_the_dialog_too() -> None:
    """§15.1.1."""
    line, src = established()
    request_id = line.agent.bye(src.dialog_id, line.now)
    line.advance(33)
    assert line.events() == [RequestTimedOut(request_id, src.dialog_id), DialogEnded(src.dialog_id, "bye-sent")]


def test_our_bye_waits_for_the_ack_of_our_2xx() -> None:
    """§15: "MUST NOT send a BYE on a confirmed dialog until it has received an ACK for its 2xx response"."""
    line, src = established(ack=False)
    line.agent.bye(src.dialog_id, line.now)
    assert line.heard() == []
    src.ack()
    assert [message.method for message in line.requests()] == ["BYE"]
    line.event(AckReceived)


def test_our_bye_goes_out_when_the_ack_does_not_come() -> None:
    """§15: "or until the server transaction times out"."""
    line, src = established(ack=False)
    line.agent.bye(src.dialog_id, line.now)
    line.advance(31.9)
    assert line.requests() == []
    line.advance(0.2)
    assert [message.method for message in line.requests()] == ["BYE"]


def test_a_bye_that_crosses_ours_is_answered_at_once() -> None:
    line, src = established()
    line.agent.bye(src.dialog_id, line.now)
    (sent,) = line.requests()
    src.send("BYE")
    assert line.response().status == 200
    assert line.events() == [DialogEnded(src.dialog_id, "bye-received")]
    line.receive(src.answer(sent, 200))
    assert [type(event) for event in line.events()] == [ResponseReceived]


def test_nothing_follows_our_bye() -> None:
    line, src = established()
    line.agent.bye(src.dialog_id, line.now)
    with pytest.raises(LocalProtocolError):
        line.agent.options(src.dialog_id, line.now)
    with pytest.raises(LocalProtocolError):
        line.agent.bye(src.dialog_id, line.now)
    src.send("INFO")
    assert line.response().status == 481


def test_our_bye_ends_a_pending_reinvite_of_the_peer_first() -> None:
    line, src = established()
    src.send("INVITE", body=OFFER)
    line.events()
    line.heard()
    line.agent.bye(src.dialog_id, line.now)
    data = [outgoing.data for outgoing in line.heard()]
    assert [octets[:15] for octets in data] == [b"SIP/2.0 487 Req", b"BYE sip:src@192"]
    assert line.event(CancelReceived).cause == "bye"


def test_a_forgotten_dialog_is_unknown_at_once() -> None:
    line, src = established(ack=False)
    line.agent.forget(src.dialog_id)
    line.agent.forget(src.dialog_id)
    line.advance(60)
    assert line.heard() == []
    assert line.events() == []
    with pytest.raises(LostError):
        line.agent.snapshot(src.dialog_id)
    src.send("OPTIONS")
    assert line.response().status == 481
    assert [type(event) for event in line.events()] == [MessageDiscarded]
