"""RFC 4028 §7, §9 and §10: the session timer in live dialogs."""

from __future__ import annotations

import pytest

from signaling.useragent import (
    DialogDoubted,
    Identity,
    InviteReceived,
    RefreshDue,
    ReinviteReceived,
    ResponseReceived,
    SessionExpired,
    SessionRefreshed,
    SessionTimerPolicy,
    UpdateReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src

UPDATES = "Allow: INVITE, ACK, BYE, UPDATE"


def accepted(headers: list[str], *, supported: str | None = "timer", line: Line | None = None) -> tuple[Line, Src]:
    line = line or Line()
    src = Src(line, supported=supported)
    src.establish(headers=headers)
    return line, src


def answer_of(line: Line) -> list[bytes]:
    data = next(outgoing.data for _, outgoing in line.sent if outgoing.data.startswith(b"SIP/2.0 200"))
    return [value for value in data.split(b"\r\n") if value.startswith((b"Session-Expires", b"Require"))]


def test_the_interval_is_copied_and_the_peer_keeps_the_refresher_role() -> None:
    """C23; the default of Genesys and OpenSIPS."""
    line, _ = accepted(["Session-Expires: 1800"])
    assert answer_of(line) == [b"Require: timer", b"Session-Expires: 1800;refresher=uac"]


def test_a_longer_interval_than_we_want_is_lowered() -> None:
    """C23."""
    identity = Identity("192.0.2.40", session_timer=SessionTimerPolicy(maximum=600))
    line, _ = accepted(["Session-Expires: 1800"], line=Line(identity=identity))
    assert answer_of(line)[1] == b"Session-Expires: 600;refresher=uac"


def test_but_not_below_min_se() -> None:
    """C23, §9."""
    identity = Identity("192.0.2.40", session_timer=SessionTimerPolicy(maximum=600))
    line, _ = accepted(["Session-Expires: 1800", "Min-SE: 900"], line=Line(identity=identity))
    assert answer_of(line)[1] == b"Session-Expires: 900;refresher=uac"


def test_refresher_uas_is_accepted_as_the_peer_wants_it() -> None:
    """C23, table 2."""
    line, _ = accepted(["Session-Expires: 1800;refresher=uas"])
    assert answer_of(line) == [b"Require: timer", b"Session-Expires: 1800;refresher=uas"]


def test_a_uac_without_support_makes_us_the_refresher_and_gets_no_require() -> None:
    """C23, table 2."""
    line, _ = accepted(["Session-Expires: 1800"], supported=None)
    assert answer_of(line) == [b"Session-Expires: 1800;refresher=uas"]


def test_without_session_expires_no_timer_runs() -> None:
    line, _ = accepted([])
    assert answer_of(line) == []
    line.advance(100_000)
    assert line.events() == []


@pytest.mark.parametrize("method", ["INVITE", "re-INVITE", "UPDATE"])
def test_a_request_that_would_make_us_refresh_all_the_time_gets_422(method: str) -> None:
    """§9: "the UAS MUST include a Min-SE header field with the value of its minimum interval"."""
    line = Line()
    src = Src(line)
    if method != "INVITE":
        src.establish()
    src.send(method.removeprefix("re-"), headers=["Session-Expires: 30;refresher=uas"])
    response = line.response()
    assert (response.status, response.min_se) == (422, 90)
    assert line.events() == []


def test_a_session_that_the_peer_refreshes_goes_on() -> None:
    """C23."""
    line, src = accepted(["Session-Expires: 600"])
    for _ in range(3):
        line.advance(300)
        src.send("UPDATE", headers=["Session-Expires: 600;refresher=uac"])
        line.agent.respond(line.event(UpdateReceived).request_id, 200, now=line.now)
        assert line.events() == [SessionRefreshed(src.dialog_id, 600, refreshed_by_us=False)]
    line.advance(567.9)
    assert line.events() == []


def test_a_reinvite_refreshes_too() -> None:
    line, src = accepted(["Session-Expires: 600"])
    line.advance(500)
    src.send("INVITE", body=OFFER, headers=["Session-Expires: 600"])
    line.agent.respond(line.event(ReinviteReceived).request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.ack()
    line.events()
    line.advance(567.9)
    assert line.events() == []


@pytest.mark.parametrize(("interval", "told_after"), [(1800, 1768), (90, 60)])
def test_a_session_that_nobody_refreshes_expires_slightly_before_the_end(interval: int, told_after: float) -> None:
    """C23, §10: "The minimum of 32 seconds and one third of the session interval"; the transaction user decides."""
    line, src = accepted([f"Session-Expires: {interval}"])
    line.advance(told_after - 0.1)
    assert line.events() == []
    line.advance(0.2)
    assert line.events() == [SessionExpired(src.dialog_id)]
    assert line.agent.dialogs() == [src.dialog_id]


def test_a_refused_refresh_does_not_extend_the_session() -> None:
    """§10: "only a 2xx response to a session refresh request extends the session expiration"."""
    line, src = accepted(["Session-Expires: 90"])
    line.advance(50)
    src.send("UPDATE", body=OFFER, headers=["Session-Expires: 90"])
    line.agent.respond(line.event(UpdateReceived).request_id, 488, now=line.now)
    line.advance(11)
    assert line.events() == [SessionExpired(src.dialog_id)]


def test_a_refresh_that_forgets_the_header_keeps_the_timer() -> None:
    line, src = accepted(["Session-Expires: 600"])
    src.send("UPDATE")
    line.agent.respond(line.event(UpdateReceived).request_id, 200, now=line.now)
    assert str(line.response().session_expires) == "600;refresher=uac"


def test_as_refresher_we_send_an_update_without_offer_at_half_the_interval() -> None:
    """§7.2, §7.4."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(299.9)
    assert line.requests() == []
    line.advance(0.2)
    (sent,) = line.requests()
    assert (sent.method, sent.body) == ("UPDATE", b"")
    assert str(sent.session_expires) == "600;refresher=uac"
    line.receive(src.answer(sent, 200, headers=["Require: timer", "Session-Expires: 600;refresher=uac"]))
    assert line.events() == [SessionRefreshed(src.dialog_id, 600, refreshed_by_us=True)]
    line.advance(300)
    assert [message.method for message in line.requests()] == ["UPDATE"]


def test_a_peer_that_takes_no_update_gets_a_reinvite_of_the_transaction_user() -> None:
    """§7.4: "a re-INVITE SHOULD contain [an offer], even if the details of the session have not changed"."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", "Allow: INVITE, ACK, BYE"])
    line.advance(300)
    assert line.requests() == []
    assert line.events() == [RefreshDue(src.dialog_id)]
    line.agent.reinvite(src.dialog_id, line.agent.state(src.dialog_id).local_description, line.now)
    (sent,) = line.requests()
    assert sent.body == ANSWER
    line.receive(src.answer(sent, 200, body=OFFER, headers=["Session-Expires: 600;refresher=uac"]))
    assert line.event(SessionRefreshed).interval == 600


@pytest.mark.parametrize("status", [405, 501])
def test_a_peer_that_refuses_update_is_not_asked_again(status: int) -> None:
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(300)
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    assert line.events() == [RefreshDue(src.dialog_id)]
    assert "UPDATE" not in line.agent.state(src.dialog_id).peer_methods


def test_422_is_answered_by_a_refresh_with_the_larger_min_se_once() -> None:
    """§7.3, §7.4."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(300)
    (first,) = line.requests()
    line.receive(src.answer(first, 422, headers=["Min-SE: 900"]))
    (second,) = line.requests()
    assert (second.min_se, str(second.session_expires)) == (900, "900;refresher=uac")
    line.receive(src.answer(second, 422, headers=["Min-SE: 900"]))
    assert line.requests() == []
    assert line.events() == []


def test_a_refresh_that_meets_glare_is_repeated_after_the_back_off() -> None:
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(300)
    (first,) = line.requests()
    line.receive(src.answer(first, 491))
    assert line.events() == []
    line.advance(1.01)
    (second,) = line.requests()
    assert second.cseq.number == 2


def test_a_refresh_waits_for_an_update_of_ours_that_is_under_way() -> None:
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(299)
    line.agent.update(src.dialog_id, b"", None, line.now)
    (ours,) = line.requests()
    line.advance(1.2)
    line.heard()
    line.receive(src.answer(ours, 403))
    line.event(ResponseReceived)
    line.advance(4)
    (refresh,) = line.requests()
    assert refresh.method == "UPDATE"


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_ends_with_408_or_481_puts_the_dialog_in_doubt(status: int) -> None:
    """§10: "then the UAC sends a BYE request"; the transaction user does."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(300)
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    (doubted,) = line.events()
    assert isinstance(doubted, DialogDoubted)
    assert doubted.cause == str(status)


def test_a_refresh_that_nobody_answers_ends_in_doubt_and_then_in_expiry() -> None:
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(333)
    (doubted,) = line.events()
    assert isinstance(doubted, DialogDoubted)
    line.advance(600 - 32 - 333 + 0.1)
    assert line.events() == [SessionExpired(src.dialog_id)]


def test_our_reinvite_leaves_the_peer_as_refresher() -> None:
    """§7.4; genesys-msr §13: `refresher=uas` in our re-INVITE."""
    line, src = accepted(["Session-Expires: 1800"])
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    assert str(sent.session_expires) == "1800;refresher=uas"
    assert "timer" in sent.supported
    line.receive(src.answer(sent, 200, body=OFFER, headers=["Session-Expires: 1800;refresher=uas"]))
    assert line.event(SessionRefreshed).refreshed_by_us is False


def test_min_se_of_the_peer_is_repeated_in_our_refreshes() -> None:
    """§7.4: "or if it has received a session refresh request on that dialog that contained a Min-SE header field"."""
    line, src = accepted(["Session-Expires: 1800", "Min-SE: 120"])
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    assert sent.min_se == 120


def test_422_to_a_reinvite_of_the_transaction_user_is_remembered() -> None:
    line, src = accepted(["Session-Expires: 600"])
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 422, headers=["Min-SE: 1000"]))
    assert line.event(ResponseReceived).response.status == 422
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (again,) = [message for message in line.requests() if message.method == "INVITE"]
    assert (again.min_se, str(again.session_expires)) == (1000, "1000;refresher=uas")


def test_a_2xx_to_our_request_without_session_expires_turns_the_timer_off() -> None:
    """§7.2: "the session timer can be 'turned-off' in mid dialog"."""
    line, src = accepted(["Session-Expires: 600"])
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200, body=OFFER))
    line.event(ResponseReceived)
    line.advance(10_000)
    assert line.events() == []


@pytest.mark.parametrize("status", [403, 488, 503])
def test_a_refresh_that_fails_otherwise_is_handed_to_the_transaction_user(status: int) -> None:
    """§10: "SHOULD follow the rules specific to that response code and retry if possible"."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(300)
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    assert line.events() == [RefreshDue(src.dialog_id)]
    assert "UPDATE" in line.agent.state(src.dialog_id).peer_methods


def test_an_update_of_ours_that_succeeds_is_the_refresh() -> None:
    """§7.2: one sent for other purposes "will also have the effect of refreshing the session"."""
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.advance(299)
    line.agent.update(src.dialog_id, b"", None, line.now)
    (ours,) = line.requests()
    line.advance(1.2)
    line.heard()
    line.receive(src.answer(ours, 200, headers=["Session-Expires: 600;refresher=uac"]))
    line.event(SessionRefreshed)
    line.advance(100)
    assert line.heard() == []


def test_a_session_that_is_being_ended_is_not_refreshed() -> None:
    line = Line()
    src = Src(line)
    src.establish(headers=["Session-Expires: 90;refresher=uas", UPDATES], ack=False)
    line.agent.bye(src.dialog_id, line.now)
    line.advance(46)
    assert {message.method for message in line.requests()} == {"BYE"}


def test_after_the_end_nothing_is_refreshed_and_nothing_expires() -> None:
    line, src = accepted(["Session-Expires: 600;refresher=uas", UPDATES])
    line.agent.bye(src.dialog_id, line.now)
    (bye,) = line.requests()
    line.receive(src.answer(bye, 200))
    line.events()
    line.advance(10_000)
    assert line.heard() == []
    assert line.events() == []


def test_policy_can_ask_for_a_timer() -> None:
    identity = Identity("192.0.2.40", session_timer=SessionTimerPolicy(requested=1800))
    line = Line(identity=identity)
    src = Src(line)
    src.send("INVITE", body=OFFER)
    line.agent.respond(line.event(InviteReceived).request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    response = line.response()
    assert (str(response.session_expires), response.require) == ("1800;refresher=uac", ("timer",))
