"""Dialogs continued by another process: what is repeated, for how long, and where it goes."""

from __future__ import annotations

import msgspec
import pytest

from signaling.dialog.state import PromisedAnswer, decode_snapshot, encode_snapshot
from signaling.errors import LocalProtocolError, LostError
from signaling.useragent import (
    AckReceived,
    AckTimedOut,
    ByeReceived,
    CheckpointAdvised,
    Destination,
    DialogEnded,
    Flow,
    Identity,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    RefreshDue,
    ResponseReceived,
    SessionExpired,
)

from .peer import ANSWER, OFFER, SDP, SRS, TCP, UDP, Line, Src, request

NAT = Flow("udp", SRS, ("198.51.100.9", 31000))


def accepted(
    line: Line, *, ack: bool = False, headers: list[str] | None = None, via: str = "SIP/2.0/UDP 192.0.2.30:5060"
) -> tuple[Src, bytes, bytes, bytes]:
    """Return the peer, its INVITE, the 2xx, and the snapshot that was stored before the 2xx left."""
    src = Src(line, via=via)
    invite = src.send("INVITE", body=OFFER, headers=headers or [])
    event = line.event(InviteReceived)
    prepared = line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
    line.agent.send(prepared, line.now)
    src.learn(line.response())
    src.dialog_id = event.dialog_id
    if ack:
        src.ack()
    assert prepared.snapshot is not None
    return src, invite, prepared.data, prepared.snapshot


def successor(snapshot: bytes, *, age: float = 0.0, now: float = 5000.0, flow: Flow = UDP) -> Line:
    """Another process, whose clock has nothing to do with the first one's."""
    line = Line(identity=Identity("192.0.2.40", stamp="b.8"), now=now, token="other", flow=flow)
    line.agent.restore(snapshot, line.now, age=age)
    return line


def test_the_identifier_is_the_same_in_every_process() -> None:
    src, _, _, snapshot = accepted(Line())
    assert successor(snapshot).agent.dialogs() == [src.dialog_id]


def test_a_repeated_invite_gets_the_promised_bytes_for_64_t1() -> None:
    """Pitfall 9: the process died between commit and 2xx."""
    _, invite, promised, snapshot = accepted(Line())
    line = successor(snapshot)
    line.receive(invite)
    assert [outgoing.data for outgoing in line.heard()] == [promised]
    assert line.events() == []
    line.advance(33)
    line.heard()
    line.events()
    line.receive(invite)
    assert [type(event) for event in line.events()] == [InviteReceived]


def test_a_2xx_without_ack_is_repeated_by_the_successor_until_the_ack_comes() -> None:
    """Pitfall 10."""
    src, _, promised, snapshot = accepted(Line())
    line = successor(snapshot)
    src.line = line
    line.advance(2)
    assert {outgoing.data for outgoing in line.heard()} == {promised}
    src.ack()
    assert line.event(AckReceived) == AckReceived(src.dialog_id, line.told[0].request, "")  # type: ignore[union-attr]
    line.advance(60)
    assert line.heard() == []


def test_the_first_repetition_is_spread_over_t1() -> None:
    """A takeover of many dialogs must not answer all of them in one moment."""
    _, _, _, snapshot = accepted(Line())
    line = Line(uniform=0.8)
    line.agent.restore(snapshot, line.now)
    assert line.agent.deadline == pytest.approx(line.now + 0.4)


def test_without_ack_the_transaction_user_is_told_and_no_bye_is_sent() -> None:
    """ha-and-durability §2."""
    src, _, _, snapshot = accepted(Line())
    line = successor(snapshot, age=12)
    line.advance(19.9)
    assert line.events() == [CheckpointAdvised(src.dialog_id)]
    line.advance(0.2)
    assert line.events() == [AckTimedOut(src.dialog_id, "")]
    assert line.requests() == []
    assert line.agent.dialogs() == [src.dialog_id]


def test_an_ack_that_was_long_due_before_the_takeover_is_told_at_once() -> None:
    """A client that vanished behind its INVITE must not be recorded until its session timer ends."""
    line = Line()
    src, _, _, _ = accepted(line)
    line.advance(19)
    assert line.events() == []
    line.advance(1)
    assert line.events() == [CheckpointAdvised(src.dialog_id)]
    snapshot = line.agent.snapshot(src.dialog_id)
    other = successor(snapshot, age=400)
    other.advance(1)
    assert other.events() == [AckTimedOut(src.dialog_id, "")]
    other.advance(60)
    assert (other.events(), other.heard()) == ([], [])


def test_a_client_that_hangs_up_at_once_is_not_asked_after() -> None:
    line = Line()
    src, _, _, _ = accepted(line)
    line.advance(20)
    src.line = successor(line.agent.snapshot(src.dialog_id), age=400)
    src.send("BYE")
    src.line.agent.respond(src.line.event(ByeReceived).request_id, 200, now=src.line.now)
    src.line.advance(60)
    assert not [event for event in src.line.events() if isinstance(event, AckTimedOut)]


def test_an_ack_that_is_late_and_comes_is_not_missed_afterwards() -> None:
    line = Line()
    src, _, _, _ = accepted(line)
    line.advance(21)
    src.ack()
    other = successor(line.agent.snapshot(src.dialog_id), age=400)
    other.advance(60)
    assert (other.events(), other.heard()) == ([], [])


def test_an_old_answer_is_not_repeated_any_more() -> None:
    src, _, _, snapshot = accepted(Line())
    line = successor(snapshot, age=32.5)
    line.advance(60)
    assert line.heard() == []
    assert line.events() == []
    assert line.agent.state(src.dialog_id).answers == ()


def test_answers_are_forgotten_when_nobody_can_ask_for_them() -> None:
    """The snapshot of a long call is small."""
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    assert len(line.agent.state(src.dialog_id).answers) == 1
    line.advance(33)
    assert line.agent.state(src.dialog_id).answers == ()
    other = successor(line.agent.snapshot(src.dialog_id))
    other.advance(33)
    assert other.heard() == []


def test_a_snapshot_after_the_ack_repeats_nothing_by_itself() -> None:
    line = Line()
    src, invite, _, _ = accepted(line, ack=True)
    other = successor(line.agent.snapshot(src.dialog_id))
    other.advance(3)
    assert other.heard() == []
    other.receive(invite)
    assert other.statuses() == [200]


def test_a_late_ack_of_an_acknowledged_invite_is_harmless() -> None:
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    src.line = other = successor(line.agent.snapshot(src.dialog_id))
    src.ack()
    assert other.events() == []


def test_repetitions_go_where_the_completed_via_leads() -> None:
    """C7 after a takeover."""
    _, _, _, snapshot = accepted(Line(flow=NAT), via="SIP/2.0/UDP 10.1.1.1:5060;rport")
    line = successor(snapshot)
    line.advance(0.6)
    assert {outgoing.flow for outgoing in line.heard()} == {NAT}


def test_over_tcp_repetitions_open_a_connection_to_the_peer() -> None:
    """C8: the connection died with the process."""
    _, _, _, snapshot = accepted(Line(flow=TCP), via="SIP/2.0/TCP 192.0.2.30:5070")
    line = successor(snapshot)
    line.advance(0.6)
    assert {outgoing.flow for outgoing in line.heard()} == {Destination("tcp", "192.0.2.30", 5070, SRS)}


def test_a_merged_invite_does_not_open_a_second_session() -> None:
    """C21 after a takeover."""
    src, _, _, snapshot = accepted(Line())
    src.line = line = successor(snapshot)
    src.send("INVITE", cseq=1, to="<sip:srs@192.0.2.40>", body=OFFER)
    assert line.response().status == 482


def test_a_cancel_of_an_answered_invite_has_no_effect() -> None:
    """C16 after a takeover."""
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER, branch="z9hG4bKx")
    prepared = line.agent.prepare(line.event(InviteReceived).request_id, 200, body=ANSWER, content_type=SDP)
    assert prepared.snapshot is not None
    src.line = other = successor(prepared.snapshot)
    src.send("CANCEL", cseq=1, branch="z9hG4bKx")
    assert other.response().status == 200
    assert other.events() == []
    assert len(other.agent.dialogs()) == 1


def test_a_dialog_of_the_dead_process_takes_all_requests() -> None:
    """src-profiles §3: after a takeover the standby answers as if nothing had happened."""
    src, _, _, snapshot = accepted(Line())
    src.line = line = successor(snapshot)
    src.send("OPTIONS")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    line.heard()
    src.send("BYE")
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    assert line.response().status == 200
    assert line.events() == [DialogEnded(src.dialog_id, "bye-received")]


def test_a_repeated_bye_gets_the_promised_200_though_the_dialog_is_over() -> None:
    """Pitfall 11."""
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    bye = src.send("BYE")
    prepared = line.agent.prepare(line.event(ByeReceived).request_id, 200)
    assert prepared.snapshot is not None
    other = successor(prepared.snapshot)
    assert other.agent.dialogs() == []
    other.receive(bye)
    assert [outgoing.data for outgoing in other.heard()] == [prepared.data]
    assert other.events() == []
    other.advance(33)
    other.receive(bye)
    assert other.response().status == 481


def test_our_numbers_continue_above_those_reserved() -> None:
    """Pitfall 6, C11."""
    line = Line()
    src, _, _, snapshot = accepted(line, ack=True)
    for _ in range(3):
        line.agent.options(src.dialog_id, line.now)
    used = [message.cseq.number for message in line.requests()]
    other = successor(snapshot, age=40)
    other.agent.options(src.dialog_id, other.now)
    (sent,) = other.requests()
    assert sent.cseq.number > max(used)
    assert other.events() == [CheckpointAdvised(src.dialog_id)]


def test_a_request_does_not_wait_for_an_ack_that_may_have_come_to_the_dead_process() -> None:
    src, _, _, snapshot = accepted(Line())
    line = successor(snapshot)
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    line.agent.bye(src.dialog_id, line.now)
    assert [message.method for message in line.requests()] == ["INVITE", "BYE"]


@pytest.mark.parametrize("status", [200, 488])
def test_the_answer_to_a_reinvite_of_the_dead_process_is_acknowledged(status: int) -> None:
    """Pitfall 12."""
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    prepared = line.agent.prepare_request(src.dialog_id, "INVITE", body=ANSWER, content_type=SDP)
    line.agent.send(prepared, line.now)
    (sent,) = [message for message in line.requests() if message.method == "INVITE"]
    other = successor(prepared.snapshot)
    answer = src.answer(sent, status, body=OFFER if status == 200 else "")
    other.receive(answer)
    (ack,) = [message for message in other.requests() if message.method == "ACK"]
    assert ack.cseq.number == sent.cseq.number
    assert (ack.via.branch == sent.via.branch) is (status != 200)
    event = other.event(ResponseReceived)
    assert (event.request_id, event.response.status) == (prepared.request_id, status)
    other.receive(answer)
    assert [message.method for message in other.requests()] == ["ACK"]
    assert other.events() == []
    other.advance(33)
    other.receive(answer)
    assert [type(told) for told in other.events() if not isinstance(told, AckTimedOut)] == [MessageDiscarded]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"CSeq: 1 INVITE", b"CSeq: 2 INVITE"), "another number"),
        ((b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), "another method"),
        ((b";tag=src-1", b";tag=src-2"), "another peer"),
        ((b"Call-ID: call-1", b"Call-ID: call-9"), "another call"),
        ((b"SIP/2.0 200", b"SIP/2.0 180"), "not final"),
    ],
)
def test_a_response_that_fits_no_reinvite_of_the_dead_process_is_discarded(
    change: tuple[bytes, bytes], reason: str
) -> None:
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    prepared = line.agent.prepare_request(src.dialog_id, "INVITE", body=ANSWER, content_type=SDP)
    line.agent.send(prepared, line.now)
    (sent,) = [message for message in line.requests() if message.method == "INVITE"]
    other = successor(prepared.snapshot)
    other.receive(src.answer(sent, 200, body=OFFER).replace(*change))
    assert [type(told) for told in other.events()] == [MessageDiscarded], reason


def test_a_reinvite_of_the_dead_process_is_forgotten_after_64_t1() -> None:
    line = Line()
    src, _, _, _ = accepted(line, ack=True)
    prepared = line.agent.prepare_request(src.dialog_id, "INVITE", body=ANSWER, content_type=SDP)
    other = successor(prepared.snapshot)
    assert other.agent.state(src.dialog_id).own_invite is not None
    other.advance(32.1)
    assert other.agent.state(src.dialog_id).own_invite is None


@pytest.mark.parametrize(("age", "expires_after"), [(0.0, 1768.0), (800.0, 968.0), (1790.0, 96.0), (9999.0, 96.0)])
def test_a_session_deadline_that_passed_during_the_outage_proves_nothing(age: float, expires_after: float) -> None:
    """Pitfall 17: the peer gets time to repeat its refresh."""
    src, _, _, snapshot = accepted(Line(), headers=["Session-Expires: 1800"])
    line = successor(snapshot, age=max(age, 33.0) if age else 0.0)
    line.advance(expires_after - 1)
    assert [event for event in line.events() if isinstance(event, SessionExpired)] == []
    line.advance(2)
    assert line.event(SessionExpired) == SessionExpired(src.dialog_id)


def test_our_own_refresh_comes_soon_after_a_takeover_and_is_spread() -> None:
    """Pitfall 20."""
    src, _, _, snapshot = accepted(Line(), headers=["Session-Expires: 1800;refresher=uas"])
    line = successor(snapshot, age=40)
    line.advance(14.9)
    assert line.events() == []
    line.advance(0.2)
    assert line.events() == [RefreshDue(src.dialog_id)]


def test_restoring_twice_replaces() -> None:
    src, _, _, snapshot = accepted(Line(), headers=["Session-Expires: 1800"])
    line = successor(snapshot)
    line.agent.restore(snapshot, line.now)
    assert line.agent.dialogs() == [src.dialog_id]
    start = line.now
    line.advance(0.3)
    assert [at - start for at, _ in line.sent] == [0.25]
    line.advance(40)
    assert line.agent.dialogs() == [src.dialog_id]


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        Line().agent.restore(b"nonsense", 0.0)


@pytest.mark.parametrize("data", [b"", b"rubbish", request("OPTIONS", branch="z9hG4bK1", cseq="1 OPTIONS")])
def test_a_damaged_answer_does_not_keep_the_dialog_from_being_restored(data: bytes) -> None:
    src, _, _, snapshot = accepted(Line())
    state = msgspec.structs.replace(decode_snapshot(snapshot), answers=(PromisedAnswer(data),))
    line = successor(encode_snapshot(state))
    assert line.agent.dialogs() == [src.dialog_id]
    line.advance(40)
    assert line.heard() == []


def test_the_answer_to_an_old_style_request_is_repeated_by_timer_only() -> None:
    """RFC 2543 peers have no branch to match by."""
    line = Line()
    src = Src(line)
    invite = src.send("INVITE", body=OFFER, branch="1")
    prepared = line.agent.prepare(line.event(InviteReceived).request_id, 200, body=ANSWER, content_type=SDP)
    assert prepared.snapshot is not None
    other = successor(prepared.snapshot)
    other.advance(0.6)
    assert [outgoing.data for outgoing in other.heard()] == [prepared.data]
    other.receive(invite)
    assert len(other.agent.dialogs()) == 1


def test_an_unknown_dialog_has_no_snapshot() -> None:
    with pytest.raises(LostError):
        Line().agent.snapshot("none")
