"""RFC 3261 §17.2.1, the INVITE server transaction, sentence by sentence (checklist C6; C4 is test_rfc6026.py)."""

from __future__ import annotations

import pytest

from signaling.sip import Headers, Request, Uri
from signaling.transaction import InviteServerTransaction, TimedOut, Timers
from signaling.transaction.invite_server import State

ACK = Request("ACK", Uri.parse("sip:h"), Headers())


def proceeding(*, reliable: bool = False) -> InviteServerTransaction:
    tx = InviteServerTransaction(reliable=reliable, timers=Timers(), trying=b"100")
    assert tx.outgoing() == [b"100"]
    return tx


def completed(*, reliable: bool = False) -> InviteServerTransaction:
    tx = proceeding(reliable=reliable)
    tx.send(b"486", status=486, now=0.0)
    assert tx.outgoing() == [b"486"]
    return tx


def test_c6_the_server_transaction_must_generate_a_100() -> None:
    assert proceeding().state is State.PROCEEDING


@pytest.mark.parametrize("status", [180, 183])
def test_each_provisional_response_must_be_passed_to_the_transport_layer(status: int) -> None:
    tx = proceeding()
    tx.send(b"1xx", status=status, now=0.0)
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"1xx"], State.PROCEEDING, None)


def test_the_most_recent_provisional_response_must_be_passed_on_for_a_retransmission() -> None:
    tx = proceeding()
    tx.send(b"180", status=180, now=0.0)
    tx.outgoing()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"180"]


def test_a_failure_enters_completed_and_sets_timer_g_to_t1_for_unreliable_transports() -> None:
    assert (completed().state, completed().deadline) == (State.COMPLETED, 0.5)


def test_timer_g_is_not_set_for_reliable_transports() -> None:
    assert completed(reliable=True).deadline == 32.0


def test_timer_g_doubles_up_to_t2() -> None:
    tx = completed()
    for moment, following in [(0.5, 1.5), (1.5, 3.5), (3.5, 7.5), (7.5, 11.5)]:
        tx.handle_timer(moment)
        assert (tx.outgoing(), tx.deadline) == ([b"486"], following)


def test_in_completed_a_retransmission_of_the_request_gets_the_response() -> None:
    tx = completed()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"486"]


def test_an_ack_in_completed_confirms_and_the_retransmissions_cease() -> None:
    tx = completed()
    tx.receive_ack(ACK, 0.2)
    tx.handle_timer(0.6)
    assert (tx.state, tx.outgoing()) == (State.CONFIRMED, [])


def test_timer_h_implies_that_the_ack_was_never_received_and_the_tu_is_told() -> None:
    tx = completed(reliable=True)
    tx.handle_timer(32.0)
    assert (tx.state, tx.events()) == (State.TERMINATED, [TimedOut()])


def test_confirmed_absorbs_additional_acks() -> None:
    tx = completed()
    tx.receive_ack(ACK, 0.2)
    tx.receive_ack(ACK, 0.3)
    assert (tx.events(), tx.state) == ([], State.CONFIRMED)


@pytest.mark.parametrize(("reliable", "until"), [(False, 5.2), (True, 0.2)])
def test_timer_i_is_t4_for_unreliable_and_zero_for_reliable_transports(reliable: bool, until: float) -> None:
    tx = completed(reliable=reliable)
    tx.receive_ack(ACK, 0.2)
    assert tx.deadline == until
    tx.handle_timer(until)
    assert tx.state is State.TERMINATED
