"""RFC 3261 §17.2.2, the non-INVITE server transaction, sentence by sentence (C6's 100 is test_rfc4320.py)."""

from __future__ import annotations

import pytest

from signaling.transaction import NonInviteServerTransaction, Timers
from signaling.transaction.non_invite_server import State


def trying(*, reliable: bool = False) -> NonInviteServerTransaction:
    return NonInviteServerTransaction(reliable=reliable, timers=Timers(), trying=b"100", now=100.0)


def answered(*, reliable: bool = False) -> NonInviteServerTransaction:
    tx = trying(reliable=reliable)
    tx.send(b"200", status=200, now=100.0)
    return tx


def test_a_request_retransmitted_in_trying_is_discarded() -> None:
    tx = trying()
    tx.receive_retransmission()
    assert tx.outgoing() == []


def test_in_proceeding_the_most_recent_provisional_response_is_retransmitted() -> None:
    tx = trying()
    tx.handle_timer(103.5)
    tx.receive_retransmission()
    assert tx.outgoing() == [b"100", b"100"]


@pytest.mark.parametrize("status", [200, 302, 481, 503, 603])
def test_a_final_response_enters_completed_and_is_passed_to_the_transport_layer(status: int) -> None:
    tx = trying()
    tx.send(b"final", status=status, now=100.0)
    assert (tx.outgoing(), tx.state) == ([b"final"], State.COMPLETED)


def test_completed_answers_a_retransmission_with_the_final_response() -> None:
    tx = answered()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"200", b"200"]


def test_any_other_final_responses_passed_by_the_tu_must_be_discarded() -> None:
    tx = answered()
    tx.send(b"500", status=500, now=101.0)
    assert tx.outgoing() == [b"200"]


def test_completed_lasts_until_just_before_timer_j() -> None:
    tx = answered()
    tx.handle_timer(131.9)
    assert (tx.state, tx.deadline) == (State.COMPLETED, 132.0)


def test_timer_j_terminates() -> None:
    tx = answered()
    tx.handle_timer(132.0)
    assert tx.state is State.TERMINATED


def test_timer_j_is_zero_seconds_for_reliable_transports() -> None:
    tx = answered(reliable=True)
    assert tx.deadline == 100.0
