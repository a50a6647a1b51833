"""RFC 3262 §3: reliable provisional responses, when the INVITE requires them."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip import Response
from signaling.useragent import CancelReceived, InviteReceived, PrackReceived
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src

REQUIRED = ["Require: 100rel"]


def rung(line: Line, *, body: bytes = b"", status: int = 180) -> tuple[Src, InviteReceived, Response]:
    src = Src(line)
    src.send("INVITE", body=OFFER, headers=REQUIRED)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, status, body=body, content_type=SDP if body else None, now=line.now)
    response = line.responses()[-1]
    src.learn(response)
    return src, event, response


def prack(src: Src, response: Response, **parts: object) -> None:
    src.send("PRACK", headers=[f"RAck: {response.rseq} 1 INVITE"], **parts)


def test_a_required_provisional_response_is_reliable() -> None:
    """C28: "it MUST contain a Require header field containing the option tag 100rel, and MUST include an RSeq"."""
    _, _, response = rung(Line())
    assert response.require == ("100rel",)
    assert response.rseq is not None
    assert 1 <= response.rseq < 2**31


@pytest.mark.parametrize("uniform", [0.0, 0.9999999])
def test_the_first_rseq_is_between_1_and_two_to_the_31_minus_1(uniform: float) -> None:
    _, _, response = rung(Line(uniform=uniform))
    assert response.rseq is not None
    assert 1 <= response.rseq <= 2**31 - 1


def test_without_require_a_provisional_response_is_not_reliable() -> None:
    line = Line()
    src = Src(line, supported="100rel")
    src.send("INVITE", body=OFFER)
    line.agent.respond(line.event(InviteReceived).request_id, 180, now=line.now)
    response = line.responses()[-1]
    assert (response.rseq, response.require) == (None, ())
    line.advance(10)
    assert line.heard() == []


def test_100_is_never_reliable() -> None:
    line = Line()
    Src(line).send("INVITE", headers=REQUIRED)
    assert "RSeq" not in line.responses()[0].headers


def test_it_is_repeated_from_t1_doubling_without_a_cap() -> None:
    line = Line()
    start = line.now
    rung(line)
    del line.sent[:]
    line.advance(31.9)
    assert [at - start for at, _ in line.sent] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_repetitions_cease_when_the_prack_comes_and_it_gets_200() -> None:
    line = Line()
    src, event, response = rung(line)
    prack(src, response)
    assert line.response().status == 200
    told = line.event(PrackReceived)
    assert (told.request_id, told.dialog_id) == (event.request_id, event.dialog_id)
    line.advance(20)
    assert line.heard() == []


@pytest.mark.parametrize(
    "rack", ["RAck: 7 1 INVITE", "RAck: nonsense", "Subject: no RAck", "RAck: {} 2 INVITE", "RAck: {} 1 BYE"]
)
def test_a_prack_that_matches_nothing_gets_481(rack: str) -> None:
    line = Line()
    src, _, response = rung(line)
    src.send("PRACK", headers=[rack.format(response.rseq)])
    assert line.response().status == 481
    assert line.events() == []


def test_a_second_prack_gets_481() -> None:
    line = Line()
    src, _, response = rung(line)
    prack(src, response)
    line.heard()
    prack(src, response)
    assert line.response().status == 481


def test_a_prack_without_any_provisional_response_gets_481() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    src.send("PRACK", headers=["RAck: 1 1 INVITE"])
    assert line.response().status == 481


def test_without_prack_for_64_t1_the_invite_is_refused() -> None:
    """ "the UAS SHOULD reject the original request with a 5xx response"."""
    line = Line()
    _, event, _ = rung(line)
    line.heard()
    line.advance(32.1)
    assert line.statuses()[-1] == 504
    assert line.event(CancelReceived) == CancelReceived(event.request_id, event.dialog_id, "unacknowledged")


def test_no_second_reliable_response_before_the_first_is_acknowledged() -> None:
    line = Line()
    src, event, response = rung(line)
    with pytest.raises(LocalProtocolError):
        line.agent.respond(event.request_id, 183, now=line.now)
    prack(src, response)
    line.heard()
    line.agent.respond(event.request_id, 183, now=line.now)
    second = line.responses()[-1]
    assert response.rseq is not None
    assert second.rseq == response.rseq + 1


def test_no_2xx_while_a_description_is_unacknowledged() -> None:
    line = Line()
    src, event, response = rung(line, body=ANSWER, status=183)
    with pytest.raises(LocalProtocolError):
        line.agent.respond(event.request_id, 200, now=line.now)
    prack(src, response)
    line.heard()
    assert line.agent.respond(event.request_id, 200, now=line.now)


def test_a_2xx_may_overtake_a_provisional_response_without_description() -> None:
    line = Line()
    src, event, response = rung(line)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert line.response().status == 200
    prack(src, response)
    assert line.response().status == 200
    src.ack(cseq=1)
    line.advance(40)
    assert line.heard() == []


def test_a_recorder_that_answers_at_once_needs_no_provisional_response() -> None:
    line = Line()
    Src(line).establish(headers=REQUIRED)
    assert all(b"RSeq" not in outgoing.data for _, outgoing in line.sent)


def test_a_cancel_stops_the_repetitions() -> None:
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER, headers=REQUIRED, branch="z9hG4bKx")
    line.agent.respond(line.event(InviteReceived).request_id, 180, now=line.now)
    src.send("CANCEL", cseq=1, branch="z9hG4bKx")
    src.learn(line.responses()[-1])
    src.ack(cseq=1, branch="z9hG4bKx")
    line.advance(40)
    assert line.heard() == []
