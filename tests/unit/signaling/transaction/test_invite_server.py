"""INVITE server transaction: every entry of its table, its timers, its snapshots, and chaos."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.errors import LocalProtocolError
from signaling.transaction.invite_server import (
    TRANSITIONS,
    Input,
    InviteServerSnapshot,
    InviteServerTransaction,
    State,
)
from signaling.transaction.machine import Acknowledged, TimedOut, TransportFailed
from signaling.transaction.timers import Timers

from .messages import request

ACK = request("ACK")


def fresh(*, reliable: bool = False, trying: bytes | None = b"100") -> InviteServerTransaction:
    return InviteServerTransaction(reliable=reliable, timers=Timers(), trying=trying)


def answered(status: int, *, now: float = 100.0, reliable: bool = False) -> InviteServerTransaction:
    """Answered and drained."""
    tx = fresh(reliable=reliable)
    tx.send(b"final", status=status, now=now)
    tx.outgoing()
    return tx


def confirmed(*, now: float = 100.0, reliable: bool = False) -> InviteServerTransaction:
    tx = answered(486, now=now, reliable=reliable)
    tx.receive_ack(ACK, now)
    return tx


def test_trying_is_sent_at_once() -> None:
    assert fresh().outgoing() == [b"100"]


def test_without_trying_nothing_is_sent_and_nothing_repeated() -> None:
    tx = fresh(trying=None)
    tx.receive_retransmission()
    assert tx.outgoing() == []


def test_draining_forgets() -> None:
    tx = fresh()
    tx.outgoing()
    assert tx.outgoing() == []


def test_proceeding_runs_no_timer() -> None:
    tx = fresh()
    tx.outgoing()
    tx.handle_timer(1e9)
    assert (tx.deadline, tx.state, tx.outgoing()) == (None, State.PROCEEDING, [])


def test_proceeding_repeats_the_latest_provisional_response() -> None:
    tx = fresh()
    tx.send(b"180", status=180, now=0.0)
    tx.outgoing()
    tx.receive_retransmission()
    assert tx.outgoing() == [b"180"]


def test_a_2xx_is_sent_once_and_accepted() -> None:
    tx = fresh(trying=None)
    tx.send(b"200", status=200, now=100.0)
    assert (tx.outgoing(), tx.state, tx.deadline) == ([b"200"], State.ACCEPTED, 132.0)


def test_accepted_absorbs_the_invite() -> None:
    tx = answered(200)
    tx.receive_retransmission()
    assert (tx.outgoing(), tx.events(), tx.state) == ([], [], State.ACCEPTED)


def test_accepted_passes_on_what_the_user_repeats_without_moving_timer_l() -> None:
    tx = answered(200, now=100.0)
    tx.send(b"final", status=200, now=110.0)
    assert (tx.outgoing(), tx.deadline) == ([b"final"], 132.0)


def test_accepted_gives_every_ack_to_the_user() -> None:
    tx = answered(200)
    tx.receive_ack(ACK, 101.0)
    tx.receive_ack(ACK, 102.0)
    assert (tx.events(), tx.state) == ([Acknowledged(ACK)] * 2, State.ACCEPTED)


def test_timer_l_ends_accepted_in_silence() -> None:
    tx = answered(200)
    tx.handle_timer(131.99)
    assert tx.state is State.ACCEPTED
    tx.handle_timer(132.0)
    assert (tx.state, tx.events(), tx.deadline) == (State.TERMINATED, [], None)


def test_a_failure_is_repeated_at_doubling_intervals_up_to_t2() -> None:
    tx = answered(486, now=0.0)
    sent_at = []
    while tx.state is State.COMPLETED:
        assert tx.deadline is not None
        now = tx.deadline
        tx.handle_timer(now)
        sent_at += [now] * len(tx.outgoing())
    assert sent_at == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_a_failure_is_not_repeated_over_a_reliable_transport() -> None:
    tx = answered(486, now=0.0, reliable=True)
    assert tx.deadline == 32.0


def test_a_late_timer_repeats_once_not_in_a_burst() -> None:
    tx = answered(486, now=0.0)
    tx.handle_timer(20.0)
    assert (tx.outgoing(), tx.deadline) == ([b"final"], 21.0)


def test_completed_answers_the_repeated_invite() -> None:
    tx = answered(486)
    tx.receive_retransmission()
    assert tx.outgoing() == [b"final"]


def test_the_ack_of_a_failure_stops_the_repetitions_and_stays_here() -> None:
    tx = confirmed(now=100.0)
    assert (tx.state, tx.deadline, tx.events()) == (State.CONFIRMED, 105.0, [])


def test_confirmed_absorbs_more_acks_and_invites() -> None:
    tx = confirmed(now=100.0)
    tx.receive_ack(ACK, 101.0)
    tx.receive_retransmission()
    assert (tx.state, tx.deadline, tx.events(), tx.outgoing()) == (State.CONFIRMED, 105.0, [], [])


def test_timer_i_is_t4_or_zero() -> None:
    tx = confirmed(now=100.0)
    tx.handle_timer(105.0)
    reliable = confirmed(now=100.0, reliable=True)
    reliable.handle_timer(100.0)
    assert (tx.state, reliable.state) == (State.TERMINATED, State.TERMINATED)


def test_timer_h_tells_that_no_ack_came() -> None:
    tx = answered(486, now=0.0)
    tx.handle_timer(32.0)
    assert (tx.state, tx.events(), tx.deadline) == (State.TERMINATED, [TimedOut()], None)


@pytest.mark.parametrize("status", [100, 180, 486])
def test_after_a_2xx_nothing_else_can_be_said(status: int) -> None:
    tx = answered(200)
    with pytest.raises(LocalProtocolError):
        tx.send(b"other", status=status, now=101.0)
    assert (tx.outgoing(), tx.last_response) == ([], b"final")


def test_after_a_failure_nothing_else_can_be_said() -> None:
    tx = answered(486)
    with pytest.raises(LocalProtocolError):
        tx.send(b"200", status=200, now=101.0)
    assert tx.outgoing() == []


@pytest.mark.parametrize("status", [180, 200, 486])
def test_a_transport_failure_is_told_and_changes_nothing(status: int) -> None:
    tx = fresh()
    tx.send(b"response", status=status, now=0.0)
    before = (tx.state, tx.deadline)
    tx.transport_failed()
    assert (tx.events(), (tx.state, tx.deadline)) == ([TransportFailed()], before)


def test_a_transport_failure_in_confirmed_is_nobodys_business() -> None:
    tx = confirmed()
    tx.transport_failed()
    assert tx.events() == []


def test_an_ack_before_the_answer_is_absorbed() -> None:
    tx = fresh()
    tx.receive_ack(ACK, 0.0)
    assert (tx.state, tx.events()) == (State.PROCEEDING, [])


def test_an_open_transaction_has_no_snapshot() -> None:
    with pytest.raises(LocalProtocolError):
        fresh().snapshot(0.0)


def test_a_finished_transaction_has_no_snapshot() -> None:
    tx = answered(200, now=0.0)
    tx.handle_timer(32.0)
    with pytest.raises(LocalProtocolError):
        tx.snapshot(32.0)


@pytest.mark.parametrize("reliable", [True, False])
@pytest.mark.parametrize("status", [200, 486])
def test_a_restored_transaction_goes_on_where_the_old_one_was(status: int, reliable: bool) -> None:
    old = answered(status, now=0.0, reliable=reliable)
    old.handle_timer(0.75)
    old.outgoing()
    octets = msgspec.msgpack.encode(old.snapshot(1.0))
    snapshot = msgspec.msgpack.decode(octets, type=InviteServerSnapshot)
    new = InviteServerTransaction.restore(snapshot, timers=Timers(), now=1.0)
    assert (new.state, new.deadline, new.last_response) == (old.state, old.deadline, b"final")
    trace = []
    for tx in (old, new):
        seen: list[object] = []
        while tx.deadline is not None:
            now = tx.deadline
            tx.handle_timer(now)
            seen += [(now, tx.outgoing(), tx.events(), tx.state)]
        trace.append(seen)
    assert trace[0] == trace[1]


def test_a_confirmed_transaction_is_restored() -> None:
    snapshot = confirmed(now=0.0).snapshot(2.0)
    new = InviteServerTransaction.restore(snapshot, timers=Timers(), now=50.0)
    assert (new.state, new.deadline) == (State.CONFIRMED, 53.0)


def test_every_state_but_the_last_can_be_left() -> None:
    left = {state for (state, _), following in TRANSITIONS.items() if following is not state}
    assert left == set(State) - {State.TERMINATED}


def test_every_input_moves_something() -> None:
    assert {given for _, given in TRANSITIONS} == set(Input)


class Chaos(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tx = fresh()
        self.final: bytes | None = None
        self.acknowledged = False

    @rule(step=st.floats(0, 40))
    def time_passes(self, step: float) -> None:
        self.now += step
        self.tx.handle_timer(self.now)

    @rule()
    def retransmission(self) -> None:
        self.tx.outgoing()
        self.tx.receive_retransmission()
        expected = self.tx.last_response
        answers = self.tx.state in (State.PROCEEDING, State.COMPLETED)
        assert self.tx.outgoing() == ([expected] if answers else [])

    @rule(status=st.sampled_from([180, 200, 486]))
    def respond(self, status: int) -> None:
        octets = b"%d" % status
        self.tx.outgoing()
        try:
            self.tx.send(octets, status=status, now=self.now)
        except LocalProtocolError:
            assert self.tx.outgoing() == []
            return
        assert self.tx.outgoing() == [octets]
        if status >= 200:
            assert self.final in (None, octets)
            self.final = octets

    @rule()
    def ack(self) -> None:
        self.tx.receive_ack(ACK, self.now)
        self.acknowledged = True

    @rule()
    def broken(self) -> None:
        before = self.tx.state
        self.tx.transport_failed()
        assert self.tx.state is before

    @rule()
    def taken_over(self) -> None:
        if self.tx.state in (State.PROCEEDING, State.TERMINATED):
            return
        deadline = self.tx.deadline
        self.tx = InviteServerTransaction.restore(self.tx.snapshot(self.now), timers=Timers(), now=self.now)
        assert deadline is not None
        assert self.tx.deadline == pytest.approx(max(deadline, self.now))

    @invariant()
    def a_timer_runs_exactly_while_something_is_owed(self) -> None:
        assert (self.tx.deadline is not None) == (self.tx.state not in (State.PROCEEDING, State.TERMINATED))

    @invariant()
    def a_time_out_means_that_nobody_acknowledged_a_failure(self) -> None:
        if TimedOut() in self.tx.events():
            assert self.final == b"486"


TestChaos = Chaos.TestCase
