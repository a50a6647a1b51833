"""RFC 3261 §14 and RFC 6141: re-INVITE in both directions, and glare."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError, LostError
from signaling.useragent import (
    AckReceived,
    ByeReceived,
    CancelReceived,
    Destination,
    DialogDoubted,
    InviteReceived,
    MessageDiscarded,
    ReinviteReceived,
    RequestTimedOut,
    ResponseReceived,
    RetryDue,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, SRS, Line, Src, octets

NEW_OFFER = ANSWER.replace(b"o=srs 7 1", b"o=srs 7 2")


def established() -> tuple[Line, Src]:
    line = Line()
    src = Src(line)
    src.establish()
    return line, src


def reinvited() -> tuple[Line, Src, str]:
    """The recorder has sent a re-INVITE."""
    line, src = established()
    request_id = line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)
    return line, src, request_id


def test_a_second_invite_before_the_first_is_answered_gets_500_with_retry_after() -> None:
    """C13, §14.2: "a randomly chosen value of between 0 and 10 seconds"."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    line.event(ReinviteReceived)
    line.heard()
    src.send("INVITE", body=OFFER)
    response = line.response()
    assert (response.status, response.retry_after) == (500, 5)
    assert line.events() == []


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, 0), (0.999999, 10)])
def test_retry_after_covers_0_to_10(uniform: float, expected: int) -> None:
    line, src = established()
    line.uniform = uniform
    src.send("INVITE", body=OFFER)
    line.heard()
    src.send("INVITE", body=OFFER)
    assert line.response().retry_after == expected


def test_an_invite_while_ours_is_in_progress_gets_491() -> None:
    """C13, §14.2."""
    line, src, _ = reinvited()
    line.heard()
    src.send("INVITE", body=OFFER)
    assert line.response().status == 491
    assert line.events() == []


def test_after_our_invite_is_answered_the_peers_is_welcome_again() -> None:
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 488))
    line.events()
    src.send("INVITE", body=OFFER)
    line.event(ReinviteReceived)


def test_a_repeated_invite_that_met_glare_gets_491_again_even_after_ours_ended() -> None:
    """One transaction, one answer."""
    line, src, _ = reinvited()
    (sent,) = line.requests()
    again = src.send("INVITE", body=OFFER)
    refused = line.heard()[0].data
    line.receive(src.answer(sent, 488))
    line.heard()
    line.events()
    line.receive(again)
    assert [outgoing.data for outgoing in line.heard()] == [refused]
    assert line.events() == []


def test_488_leaves_the_session_as_it_was() -> None:
    """C13, O10."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    event = line.event(ReinviteReceived)
    line.agent.respond(event.request_id, 488, headers=[("Warning", '304 srs "no"')], now=line.now)
    assert line.response().headers.get("Warning") == '304 srs "no"'
    assert line.agent.state(src.dialog_id).local_description == ANSWER


def test_a_reinvite_is_answered_and_its_2xx_repeated_until_the_ack() -> None:
    line, src = established()
    src.send("INVITE", body=OFFER)
    event = line.event(ReinviteReceived)
    line.agent.respond(event.request_id, 200, body=NEW_OFFER, content_type=SDP, now=line.now)
    assert line.response().body == NEW_OFFER
    line.advance(1.6)
    assert line.statuses() == [200, 200]
    src.ack()
    assert line.event(AckReceived).request_id == event.request_id
    line.advance(60)
    assert line.heard() == []
    assert line.agent.state(src.dialog_id).local_description == NEW_OFFER


def test_one_ack_for_two_quick_reinvites_is_enough() -> None:
    """E6: two re-INVITEs 12 ms apart; only the second 200 is acknowledged."""
    line, src = established()
    for _ in range(2):
        src.send("INVITE", body=OFFER)
        event = line.event(ReinviteReceived)
        line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
        line.advance(0.012)
    src.ack()
    line.event(AckReceived)
    line.heard()
    line.advance(60)
    assert line.heard() == []
    assert line.events() == []


def test_a_late_ack_of_the_first_invite_does_not_acknowledge_a_reinvite() -> None:
    line, src = established()
    src.send("INVITE", body=OFFER)
    line.agent.respond(line.event(ReinviteReceived).request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    line.heard()
    src.ack(cseq=1)
    assert line.events() == []
    line.advance(0.6)
    assert line.statuses() == [200]


def test_our_reinvite_has_everything_it_needs() -> None:
    line, _, _ = reinvited()
    (sent,) = line.requests()
    assert (sent.method, sent.body, sent.cseq.number) == ("INVITE", NEW_OFFER, 1)
    assert sent.headers.get("Content-Type") == SDP
    assert sent.headers.get("Contact") == "<sip:srs@192.0.2.40:5060>;+sip.srs"
    assert sent.headers.get("Allow")
    assert "timer" in sent.supported
    assert "100rel" not in sent.supported


def test_the_2xx_to_our_reinvite_is_acknowledged_at_once_and_each_time_it_is_repeated() -> None:
    line, src, request_id = reinvited()
    (sent,) = line.requests()
    answer = src.answer(sent, 200, body=OFFER)
    line.receive(answer)
    (first,) = line.heard()
    event = line.event(ResponseReceived)
    assert (event.request_id, event.response.body) == (request_id, octets(OFFER))
    line.advance(1)
    line.receive(answer)
    (second,) = line.heard()
    assert first.data == second.data
    assert first.data.startswith(b"ACK sip:src@192.0.2.30:5060 SIP/2.0\r\n")
    assert b"CSeq: 1 ACK\r\n" in first.data
    assert line.events() == []
    assert line.agent.state(src.dialog_id).local_description == NEW_OFFER


def test_the_ack_follows_the_route_set() -> None:
    """C9."""
    line = Line()
    src = Src(line, record_route="<sip:192.0.2.31:15060;lr>")
    src.establish()
    line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200, body=OFFER))
    (outgoing,) = line.heard()
    assert outgoing.flow == Destination("udp", "192.0.2.31", 15060, SRS)
    assert b"Route: <sip:192.0.2.31:15060;lr>\r\n" in outgoing.data


def test_a_provisional_response_is_no_news() -> None:
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 100))
    line.receive(src.answer(sent, 180))
    assert line.events() == []
    line.advance(3)
    assert line.heard() == []


def test_a_non_2xx_leaves_the_session_unchanged_and_is_acknowledged() -> None:
    """O10, §14.1."""
    line, src, request_id = reinvited()
    before = line.agent.state(src.dialog_id)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 405))
    (ack,) = line.requests()
    assert (ack.method, ack.via.branch) == ("ACK", sent.via.branch)
    assert line.event(ResponseReceived).request_id == request_id
    after = line.agent.state(src.dialog_id)
    assert after.own_invite is None
    assert (after.remote_target, after.local_description) == (before.remote_target, before.local_description)


@pytest.mark.parametrize(("uniform", "seconds"), [(0.0, 0.0), (0.5, 1.0), (0.999999, 2.0)])
def test_after_491_we_wait_between_0_and_2_seconds_in_units_of_10_ms(uniform: float, seconds: float) -> None:
    """C14: the recorder does not own the Call-ID."""
    line, src, request_id = reinvited()
    line.uniform = uniform
    (sent,) = line.requests()
    line.receive(src.answer(sent, 491))
    assert line.event(ResponseReceived).retry_in == seconds
    if seconds:
        line.advance(seconds - 0.005)
        assert line.events() == []
    line.advance(0.01)
    assert line.events() == [RetryDue(request_id, src.dialog_id)]
    line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)
    (again,) = [message for message in line.requests() if message.method == "INVITE"]
    assert again.cseq.number == 2


def test_after_a_500_with_retry_after_we_wait_as_long_as_it_says() -> None:
    """§14.2 seen from the other side."""
    line, src, request_id = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 500, headers=["Retry-After: 3"]))
    assert line.event(ResponseReceived).retry_in == 3.0
    line.advance(3)
    assert line.events() == [RetryDue(request_id, src.dialog_id)]


@pytest.mark.parametrize("header", ["Subject: no", "Retry-After: soon"])
def test_a_500_without_a_usable_retry_after_is_not_retried(header: str) -> None:
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 500, headers=[header]))
    assert line.event(ResponseReceived).retry_in is None


def test_the_retry_does_not_take_place_if_the_call_was_hung_up() -> None:
    """§14.1."""
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 491))
    line.events()
    src.send("BYE")
    line.event(ByeReceived)
    line.advance(5)
    assert line.events() == []


@pytest.mark.parametrize("status", [408, 481])
def test_408_and_481_put_the_dialog_in_doubt(status: int) -> None:
    """C14."""
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, status))
    assert [type(event) for event in line.events()] == [ResponseReceived, DialogDoubted]


def test_silence_puts_the_dialog_in_doubt() -> None:
    """C14; src-profiles §3: older OpenSIPS does not answer at all."""
    line, src, request_id = reinvited()
    line.advance(33)
    assert line.events() == [
        RequestTimedOut(request_id, src.dialog_id),
        DialogDoubted(src.dialog_id, request_id, "timeout"),
    ]
    assert line.agent.state(src.dialog_id).own_invite is None


def test_a_peer_that_only_ever_says_100_is_cancelled_and_then_given_up() -> None:
    """§9.1: Timer B ends with the first provisional response."""
    line, src, request_id = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 100))
    line.advance(32.5)
    cancels = line.requests()
    assert {(message.method, message.via.branch) for message in cancels} == {("CANCEL", sent.via.branch)}
    line.receive(src.answer(cancels[0], 200))
    assert line.events() == []
    line.advance(32)
    assert line.events() == [
        RequestTimedOut(request_id, src.dialog_id),
        DialogDoubted(src.dialog_id, request_id, "timeout"),
    ]


def test_a_cancelled_reinvite_that_ends_with_487_is_a_refusal() -> None:
    line, src, _ = reinvited()
    (sent,) = line.requests()
    line.receive(src.answer(sent, 100))
    line.advance(32.5)
    cancels = line.requests()
    line.receive(src.answer(cancels[0], 200))
    line.receive(src.answer(sent, 487))
    assert line.event(ResponseReceived).response.status == 487
    line.advance(100)
    assert line.events() == []


def test_no_second_invite_of_ours_while_the_first_is_in_progress() -> None:
    """§14.1: "a UAC MUST NOT initiate a new INVITE transaction within a dialog while another [...] is in progress"."""
    line, src, _ = reinvited()
    with pytest.raises(LocalProtocolError):
        line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)


def test_no_invite_of_ours_while_one_of_the_peer_is_in_progress() -> None:
    """§14.1."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    with pytest.raises(LocalProtocolError):
        line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)


def test_no_invite_of_ours_before_the_ack_of_our_2xx() -> None:
    """§14.1: "until the transaction reaches the confirmed or terminated state"."""
    line = Line()
    src = Src(line)
    src.establish(ack=False)
    with pytest.raises(LocalProtocolError):
        line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)
    src.ack()
    line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)


def test_a_regular_request_of_ours_may_go_beside_an_invite() -> None:
    """§14.1."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    line.heard()
    line.agent.options(src.dialog_id, line.now)
    assert [message.method for message in line.requests()] == ["OPTIONS"]


def test_a_prepared_reinvite_that_was_overtaken_by_the_peers_is_not_sent() -> None:
    """Checkpoint before promise: glare while the checkpoint was made."""
    line, src = established()
    prepared = line.agent.prepare_request(src.dialog_id, "INVITE", body=NEW_OFFER, content_type=SDP)
    src.send("INVITE", body=OFFER)
    line.heard()
    assert line.agent.send(prepared, line.now) is False
    assert line.heard() == []


def test_a_prepared_reinvite_takes_its_number_when_it_is_sent() -> None:
    line, src = established()
    prepared = line.agent.prepare_request(src.dialog_id, "INVITE", body=NEW_OFFER, content_type=SDP)
    line.agent.options(src.dialog_id, line.now)
    line.heard()
    assert line.agent.send(prepared, line.now)
    assert [message.cseq.number for message in line.requests()] == [2]


def test_nothing_can_be_sent_in_a_dialog_that_does_not_exist_or_is_early() -> None:
    line = Line()
    with pytest.raises(LostError):
        line.agent.bye("no such dialog", line.now)
    Src(line).send("INVITE", body=OFFER)
    with pytest.raises(LocalProtocolError):
        line.agent.bye(line.event(InviteReceived).dialog_id, line.now)


def test_a_large_reinvite_goes_by_tcp_and_falls_back_to_udp() -> None:
    """C24."""
    line, src = established()
    line.agent.reinvite(src.dialog_id, ANSWER + b"a=x:" + b"y" * 1400 + b"\r\n", line.now)
    (outgoing,) = line.heard()
    assert outgoing.flow == Destination("tcp", "192.0.2.30", 5060, SRS)
    assert b"Via: SIP/2.0/TCP 192.0.2.40:5060;branch=" in outgoing.data
    line.agent.undeliverable(outgoing, line.now)
    (second,) = line.heard()
    assert second.flow == Destination("udp", "192.0.2.30", 5060, SRS)
    assert b"Via: SIP/2.0/UDP 192.0.2.40:5060;rport;branch=" in second.data
    assert b"CSeq: 1 INVITE\r\n" in second.data
    assert line.events() == []


def test_a_bye_during_the_peers_reinvite_ends_both() -> None:
    """§15.1.2: pending requests get 487."""
    line, src = established()
    src.send("INVITE", body=OFFER)
    event = line.event(ReinviteReceived)
    line.heard()
    src.send("BYE")
    assert line.statuses() == [487]
    cancelled, bye = line.events()
    assert cancelled == CancelReceived(event.request_id, src.dialog_id, "bye")
    assert isinstance(bye, ByeReceived)


def test_an_unrelated_final_response_to_an_invite_is_discarded() -> None:
    line, src, _ = reinvited()
    (sent,) = line.requests()
    stray = src.answer(sent, 200, body=OFFER).replace(sent.via.branch.encode(), b"z9hG4bKelse")  # type: ignore[union-attr]
    line.receive(stray)
    assert [type(event) for event in line.events()] == [MessageDiscarded]
    assert line.heard() == []
