"""RFC 4320 §4, actions for non-INVITE transactions, sentence by sentence (checklist C6)."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.transaction import NonInviteServerTransaction, Timers
from signaling.transaction.non_invite_server import State


def trying(*, reliable: bool = False) -> NonInviteServerTransaction:
    return NonInviteServerTransaction(reliable=reliable, timers=Timers(), trying=b"100", now=0.0)


@pytest.mark.parametrize("status", [101, 180, 183, 199])
def test_c6_an_element_must_not_send_any_provisional_response_other_than_100(status: int) -> None:
    tx = trying()
    with pytest.raises(LocalProtocolError):
        tx.send(b"1xx", status=status, now=0.0)
    assert tx.outgoing() == []


def test_c6_no_100_over_an_unreliable_transport_before_timer_e_is_reset_to_t2() -> None:
    tx = trying()
    tx.handle_timer(3.49)
    assert tx.outgoing() == []


@pytest.mark.parametrize("reliable", [True, False])
def test_c6_a_100_must_be_sent_after_that_time_without_regard_to_transport(reliable: bool) -> None:
    tx = trying(reliable=reliable)
    tx.handle_timer(3.5)
    assert (tx.outgoing(), tx.state) == ([b"100"], State.PROCEEDING)


def test_c6_no_100_if_the_element_has_otherwise_responded() -> None:
    tx = trying()
    tx.send(b"200", status=200, now=1.0)
    tx.handle_timer(3.5)
    assert tx.outgoing() == [b"200"]


def test_c6_an_element_must_not_send_a_response_with_status_code_408() -> None:
    tx = trying()
    with pytest.raises(LocalProtocolError):
        tx.send(b"408", status=408, now=0.0)
    assert (tx.outgoing(), tx.state) == ([], State.TRYING)
