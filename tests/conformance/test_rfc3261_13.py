"""RFC 3261 §13.3: the INVITE accepted, refused, expired; its 2xx until the ACK."""

from __future__ import annotations

import pytest

from signaling.errors import LostError
from signaling.useragent import AckReceived, AckTimedOut, CancelReceived, CheckpointAdvised, InviteReceived, Limits
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, TCP, Line, Src, octets


def invited(line: Line, src: Src, *, body: str = OFFER, headers: list[str] | None = None) -> InviteReceived:
    src.send("INVITE", body=body, headers=headers or [])
    return line.event(InviteReceived)


def accepted(line: Line, *, body: bytes = ANSWER, offer: str = OFFER) -> Src:
    src = Src(line, via="SIP/2.0/TCP 192.0.2.30:5060" if line.flow == TCP else "SIP/2.0/UDP 192.0.2.30:5060")
    event = invited(line, src, body=offer)
    line.agent.respond(event.request_id, 200, body=body, content_type=SDP, now=line.now)
    src.learn(line.response())
    src.dialog_id = event.dialog_id
    return src


def sent_at(line: Line, start: float) -> list[float]:
    return [round(at - start, 6) for at, _ in line.sent]


def test_100_goes_out_at_once() -> None:
    """C6."""
    line = Line()
    invited(line, Src(line))
    assert line.statuses() == [100]


def test_a_repeated_invite_gets_the_100_again_and_the_transaction_user_hears_nothing() -> None:
    """A retransmitted INVITE opens nothing."""
    line = Line()
    src = Src(line)
    again = src.send("INVITE", body=OFFER)
    line.events()
    line.receive(again)
    assert line.statuses() == [100, 100]
    assert line.events() == []


def test_the_2xx_says_what_we_support_and_carries_the_body_as_given() -> None:
    line = Line()
    event = invited(line, Src(line))
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    response = line.response()
    assert response.headers.get("Allow")
    assert response.headers.get("Supported")
    assert response.headers.get("Content-Type") == "application/sdp"
    assert response.body == ANSWER


def test_the_2xx_is_repeated_from_t1_doubling_to_t2_until_64_t1() -> None:
    """C5."""
    line = Line()
    start = line.now
    accepted(line)
    del line.sent[:]
    line.advance(31.9)
    assert sent_at(line, start) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len({outgoing.data for _, outgoing in line.sent}) == 1


def test_the_2xx_is_repeated_over_tcp_too() -> None:
    """C5: "independent of whatever transport protocols are used to send the response"."""
    line = Line(flow=TCP)
    start = line.now
    accepted(line)
    del line.sent[:]
    line.advance(4)
    assert sent_at(line, start) == [0.5, 1.5, 3.5]
    assert {outgoing.flow for _, outgoing in line.sent} == {TCP}


def test_repetitions_cease_when_the_ack_comes() -> None:
    """C5, C15."""
    line = Line()
    src = accepted(line)
    line.advance(2)
    line.heard()
    src.ack()
    line.advance(60)
    assert line.heard() == []
    assert line.event(AckReceived).dialog_id == src.dialog_id


def test_an_ack_on_the_branch_of_the_invite_is_accepted_too() -> None:
    line = Line()
    src = Src(line)
    src.send("INVITE", branch="z9hG4bKsame", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.learn(line.response())
    src.ack(branch="z9hG4bKsame")
    assert line.event(AckReceived).request_id == event.request_id


def test_a_late_or_repeated_ack_is_harmless() -> None:
    """C15."""
    line = Line()
    src = accepted(line)
    src.ack()
    line.event(AckReceived)
    for _ in range(3):
        src.ack()
    line.advance(100)
    src.ack()
    assert line.events() == []
    assert line.statuses() == []


def test_the_answer_to_our_offer_is_in_the_ack() -> None:
    """C15: an INVITE without SDP, the offer in the 2xx, the answer in the ACK."""
    line = Line()
    src = accepted(line, offer="")
    src.ack(body=OFFER)
    assert line.event(AckReceived).request.body == octets(OFFER)


def test_without_an_ack_the_transaction_user_is_told_after_64_t1_and_decides() -> None:
    """C5: RFC says BYE; ha-and-durability §2 says not while media flows."""
    line = Line()
    src = accepted(line)
    line.heard()
    line.advance(31.99)
    assert line.events() == [CheckpointAdvised(src.dialog_id)]
    line.advance(0.02)
    assert line.event(AckTimedOut).dialog_id == src.dialog_id
    assert line.agent.dialogs() == [src.dialog_id]
    line.heard()
    line.advance(60)
    assert line.heard() == []


def test_after_the_ack_timed_out_the_session_can_be_ended_by_bye() -> None:
    """§13.3.1.4: "the session SHOULD be terminated. This is accomplished with a BYE"."""
    line = Line()
    src = accepted(line)
    line.advance(33)
    line.heard()
    line.agent.bye(src.dialog_id, line.now)
    assert [sent.method for sent in line.requests()] == ["BYE"]


def test_retransmissions_of_an_accepted_invite_are_absorbed() -> None:
    """C4, RFC 6026."""
    line = Line()
    src = Src(line)
    again = src.send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.learn(line.response())
    src.ack(cseq=1)
    line.events()
    line.heard()
    for _ in range(3):
        line.advance(5)
        line.receive(again)
    assert line.heard() == []
    assert line.events() == []


def test_a_refusal_is_repeated_until_its_ack() -> None:
    """§13.3.1.3."""
    line = Line()
    event = invited(line, Src(line))
    line.agent.respond(event.request_id, 488, headers=[("Warning", '304 srs "no audio"')], now=line.now)
    response = line.response()
    assert response.headers.get("Warning") == '304 srs "no audio"'
    line.advance(1.6)
    assert line.statuses() == [488, 488]
    assert line.agent.dialogs() == []


def test_after_a_refusal_the_dialog_is_gone() -> None:
    """§12.3."""
    line = Line()
    event = invited(line, Src(line))
    line.agent.respond(event.request_id, 603, now=line.now)
    with pytest.raises(LostError):
        line.agent.state(event.dialog_id)


def test_a_redirection_carries_the_contact_that_is_given() -> None:
    """§13.3.1.2."""
    line = Line()
    event = invited(line, Src(line))
    line.agent.respond(event.request_id, 302, headers=[("Contact", "<sip:srs@192.0.2.41>")], now=line.now)
    assert line.response().headers.get_all("Contact") == ("<sip:srs@192.0.2.41>",)


def test_an_invite_that_expires_unanswered_gets_487() -> None:
    """§13.3.1 step 1."""
    line = Line()
    event = invited(line, Src(line), headers=["Expires: 5"])
    line.heard()
    line.advance(4.9)
    assert line.heard() == []
    line.advance(0.2)
    assert line.response().status == 487
    assert line.event(CancelReceived) == CancelReceived(event.request_id, event.dialog_id, "expired")


def test_an_invite_that_was_answered_does_not_expire() -> None:
    line = Line()
    src = Src(line)
    src.establish(headers=["Expires: 5"])
    line.advance(10)
    assert line.events() == []


def test_an_invite_that_nobody_answers_is_ended_in_the_end() -> None:
    line = Line(limits=Limits(unanswered_invite=60))
    event = invited(line, Src(line))
    line.advance(60)
    assert line.response().status == 500
    assert line.event(CancelReceived) == CancelReceived(event.request_id, event.dialog_id, "unanswered")


def test_preparing_an_answer_changes_nothing() -> None:
    """Checkpoint before promise."""
    line = Line()
    event = invited(line, Src(line))
    line.heard()
    before = line.agent.state(event.dialog_id)
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    assert line.heard() == []
    assert line.agent.state(event.dialog_id) == before
    assert line.agent.dialogs() == []
    assert prepared.snapshot is not None


def test_what_was_prepared_is_sent_byte_for_byte() -> None:
    """Checkpoint before promise."""
    line = Line()
    event = invited(line, Src(line))
    line.heard()
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    line.advance(2)
    assert line.agent.send(prepared, line.now)
    assert [outgoing.data for outgoing in line.heard()] == [prepared.data]
    assert line.agent.send(prepared, line.now) is False


def test_a_prepared_answer_may_be_dropped_for_another() -> None:
    line = Line()
    event = invited(line, Src(line))
    line.heard()
    line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    line.agent.respond(event.request_id, 503, now=line.now)
    assert line.response().status == 503


def test_snapshot_and_bytes_of_a_prepared_answer_agree() -> None:
    """The bytes that a takeover would repeat are those that were sent."""
    line = Line()
    src = Src(line)
    again = src.send("INVITE", body=OFFER)
    event = line.event(InviteReceived)
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    successor = Line(now=5.0)
    assert prepared.snapshot is not None
    assert successor.agent.restore(prepared.snapshot, successor.now) == event.dialog_id
    successor.receive(again)
    assert [outgoing.data for outgoing in successor.heard()] == [prepared.data]


# E15: what vendor test scripts do.


@pytest.mark.parametrize("cseq", [1, 3, 99])
def test_the_first_ack_may_carry_another_cseq(cseq: int) -> None:
    """E15."""
    line = Line()
    src = Src(line)
    src.cseq = 1
    src.establish(ack=False)
    src.ack(cseq=cseq)
    line.event(AckReceived)
    line.advance(40)
    assert line.heard() == []


def test_the_ack_may_carry_another_from_text() -> None:
    """E15."""
    line = Line()
    src = accepted(line)
    src.ack(from_='"Somebody Else" <sip:other@example.com>;tag=src-1')
    line.event(AckReceived)


def test_an_ack_without_to_tag_is_matched_if_only_one_call_fits() -> None:
    """E15."""
    line = Line()
    src = accepted(line)
    src.ack(to="<sip:srs@192.0.2.40>")
    assert line.event(AckReceived).dialog_id == src.dialog_id
