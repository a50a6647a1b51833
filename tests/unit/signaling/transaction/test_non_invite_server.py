"""Non-INVITE server transaction: every entry of its table, its timers, its snapshot, and chaos."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.errors import LocalProtocolError
from signaling.transaction.machine import TransportFailed
from signaling.transaction.non_invite_server import (
    TRANSITIONS,
    Input,
    NonInviteServerSnapshot,
    NonInviteServerTransaction,
    State,
)
from signaling.transaction.timers import Timers


def fresh(*, reliable: bool = False, now: float = 100.0) -> NonInviteServerTransaction:
    return NonInviteServerTransaction(reliable=reliable, timers=Timers(), trying=b"100", now=now)


def answered(*, reliable: bool = False, now: float = 100.0) -> NonInviteServerTransaction:
    """Answered and drained."""
    tx = fresh(reliable=reliable, now=now)
    tx.send(b"200", status=200, now=now)
    tx.outgoing()
    return tx


def test_a_new_transaction_says_nothing() -> None:
    tx = fresh()
    tx.receive_retransmission()
    assert (tx.outgoing(), tx.state) == ([], State.TRYING)


def test_the_final_response_is_sent() -> None:
    tx = fresh()
    tx.send(b"200", status=200, now=100.0)
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"200"], State.COMPLETED, 132.0)


def test_a_hundred_goes_out_only_when_timer_e_has_reached_t2() -> None:
    tx = fresh(now=100.0)
    tx.handle_timer(103.4)
    assert (tx.outgoing(), tx.deadline) == ([], 103.5)
    tx.handle_timer(103.5)
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"100"], State.PROCEEDING, None)


def test_proceeding_repeats_the_hundred() -> None:
    tx = fresh()
    tx.handle_timer(103.5)
    tx.outgoing()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"100"]


def test_proceeding_ends_with_the_final_response() -> None:
    tx = fresh()
    tx.handle_timer(103.5)
    tx.outgoing()
    tx.send(b"200", status=200, now=110.0)
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"200"], State.COMPLETED, 142.0)


def test_completed_repeats_the_final_response() -> None:
    tx = answered()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"200"]


def test_a_second_final_response_is_discarded() -> None:
    tx = answered(now=100.0)
    tx.send(b"500", status=500, now=110.0)
    assert (tx.outgoing(), tx.last_response, tx.deadline) == ([], b"200", 132.0)


@pytest.mark.parametrize("status", [100, 180, 408])
def test_what_rfc_4320_forbids_is_an_error_of_ours(status: int) -> None:
    tx = fresh()
    with pytest.raises(LocalProtocolError):
        tx.send(b"wrong", status=status, now=100.0)
    assert (tx.outgoing(), tx.state) == ([], State.TRYING)


def test_timer_j_ends_it() -> None:
    tx = answered(now=100.0)
    tx.handle_timer(131.9)
    assert tx.state is State.COMPLETED
    tx.handle_timer(132.0)
    assert (tx.state, tx.deadline) == (State.TERMINATED, None)


def test_timer_j_is_zero_over_a_reliable_transport() -> None:
    tx = answered(reliable=True, now=100.0)
    tx.handle_timer(100.0)
    assert tx.state is State.TERMINATED


def test_terminated_says_nothing_more() -> None:
    tx = answered(now=100.0)
    tx.handle_timer(132.0)
    tx.receive_retransmission()
    tx.transport_failed()
    tx.handle_timer(1e9)
    assert (tx.outgoing(), tx.events()) == ([], [])


def test_a_transport_failure_is_told_and_changes_nothing() -> None:
    tx = answered(now=100.0)
    tx.transport_failed()
    assert (tx.events(), tx.state, tx.deadline) == ([TransportFailed()], State.COMPLETED, 132.0)


def test_an_open_transaction_has_no_snapshot() -> None:
    with pytest.raises(LocalProtocolError):
        fresh().snapshot(100.0)


def test_a_restored_transaction_repeats_the_same_response_until_the_same_end() -> None:
    octets = msgspec.msgpack.encode(answered(now=100.0).snapshot(110.0))
    snapshot = msgspec.msgpack.decode(octets, type=NonInviteServerSnapshot)
    tx = NonInviteServerTransaction.restore(snapshot, timers=Timers(), now=500.0)
    tx.receive_retransmission()
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"200"], State.COMPLETED, 522.0)


def test_every_input_moves_something() -> None:
    assert {given for _, given in TRANSITIONS} == set(Input)


class Chaos(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tx = fresh(now=0.0)

    @rule(step=st.floats(0, 40))
    def time_passes(self, step: float) -> None:
        self.now += step
        self.tx.handle_timer(self.now)

    @rule()
    def retransmission(self) -> None:
        self.tx.outgoing()
        self.tx.receive_retransmission()
        answers = self.tx.state in (State.PROCEEDING, State.COMPLETED)
        assert self.tx.outgoing() == ([self.tx.last_response] if answers else [])

    @rule(status=st.sampled_from([200, 481, 500]))
    def respond(self, status: int) -> None:
        before = self.tx.state
        self.tx.outgoing()
        self.tx.send(b"%d" % status, status=status, now=self.now)
        open_before = before in (State.TRYING, State.PROCEEDING)
        assert self.tx.outgoing() == ([b"%d" % status] if open_before else [])

    @rule()
    def broken(self) -> None:
        before = self.tx.state
        self.tx.transport_failed()
        assert self.tx.state is before

    @rule()
    def taken_over(self) -> None:
        if self.tx.state is State.COMPLETED:
            last = self.tx.last_response
            self.tx = NonInviteServerTransaction.restore(self.tx.snapshot(self.now), timers=Timers(), now=self.now)
            assert self.tx.last_response == last

    @invariant()
    def a_timer_runs_exactly_while_it_can_fire(self) -> None:
        assert (self.tx.deadline is not None) == (self.tx.state in (State.TRYING, State.COMPLETED))


TestChaos = Chaos.TestCase
