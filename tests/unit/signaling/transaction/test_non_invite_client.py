"""Non-INVITE client transaction: every entry of its table, its timers, and chaos."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.sip import Response
from signaling.transaction.machine import Responded, TimedOut, TransportFailed
from signaling.transaction.non_invite_client import TRANSITIONS, Input, NonInviteClientTransaction, State
from signaling.transaction.timers import Timers

from .messages import request, response

BYE = request("BYE")
TRYING, OK = response(100, BYE), response(200, BYE)


def fresh(*, reliable: bool = False) -> NonInviteClientTransaction:
    return NonInviteClientTransaction(BYE, reliable=reliable, timers=Timers(), now=0.0)


def drained(*, reliable: bool = False) -> NonInviteClientTransaction:
    tx = fresh(reliable=reliable)
    tx.outgoing()
    return tx


def sent_until_the_end(tx: NonInviteClientTransaction) -> list[float]:
    sent_at = []
    while tx.deadline is not None:
        now = tx.deadline
        tx.handle_timer(now)
        sent_at += [now] * len(tx.outgoing())
    return sent_at


def test_the_request_is_sent_at_once() -> None:
    assert fresh().outgoing() == [BYE.encode()]


def test_the_request_is_repeated_at_doubling_intervals_capped_at_t2() -> None:
    tx = drained()
    assert sent_until_the_end(tx) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert (tx.events(), tx.state) == ([TimedOut()], State.TERMINATED)


def test_a_provisional_response_slows_the_repetitions_down_to_t2() -> None:
    tx = drained()
    tx.receive(TRYING, 0.1)
    assert sent_until_the_end(tx) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert tx.events() == [Responded(TRYING), TimedOut()]


def test_over_a_reliable_transport_nothing_is_repeated() -> None:
    tx = drained(reliable=True)
    assert sent_until_the_end(tx) == []
    assert tx.events() == [TimedOut()]


@pytest.mark.parametrize("ringing", [True, False])
def test_the_final_response_is_told_once(ringing: bool) -> None:
    tx = drained()
    if ringing:
        tx.receive(TRYING, 0.1)
        tx.events()
    tx.receive(OK, 1.0)
    tx.receive(OK, 2.0)
    assert (tx.events(), tx.state, tx.deadline) == ([Responded(OK)], State.COMPLETED, 6.0)


def test_timer_k_ends_it() -> None:
    tx = drained()
    tx.receive(OK, 1.0)
    tx.events()
    tx.handle_timer(5.9)
    assert tx.state is State.COMPLETED
    tx.handle_timer(6.0)
    assert (tx.state, tx.events(), tx.outgoing()) == (State.TERMINATED, [], [])


def test_timer_k_is_zero_over_a_reliable_transport() -> None:
    tx = drained(reliable=True)
    tx.receive(OK, 1.0)
    tx.handle_timer(1.0)
    assert tx.state is State.TERMINATED


@pytest.mark.parametrize("ringing", [True, False])
def test_a_transport_failure_ends_it(ringing: bool) -> None:
    tx = drained()
    if ringing:
        tx.receive(TRYING, 0.1)
        tx.events()
    tx.transport_failed()
    assert (tx.state, tx.events(), tx.deadline) == (State.TERMINATED, [TransportFailed()], None)


def test_a_transport_failure_after_the_answer_is_absorbed() -> None:
    tx = drained()
    tx.receive(OK, 1.0)
    tx.events()
    tx.transport_failed()
    assert (tx.state, tx.events()) == (State.COMPLETED, [])


def test_terminated_absorbs_late_responses() -> None:
    tx = drained()
    tx.handle_timer(32.0)
    tx.events()
    tx.receive(OK, 33.0)
    assert (tx.events(), tx.state) == ([], State.TERMINATED)


def test_every_input_moves_something() -> None:
    assert {given for _, given in TRANSITIONS} == set(Input)


class Chaos(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tx = drained()
        self.outcomes = 0

    @rule(step=st.floats(0, 40))
    def time_passes(self, step: float) -> None:
        self.now += step
        self.tx.handle_timer(self.now)
        self.look()

    @rule(received=st.sampled_from([TRYING, OK]))
    def receive(self, received: Response) -> None:
        self.tx.receive(received, self.now)
        self.look()

    @rule()
    def broken(self) -> None:
        self.tx.transport_failed()
        self.look()

    def look(self) -> None:
        self.outcomes += sum(
            not isinstance(event, Responded) or not event.response.is_provisional for event in self.tx.events()
        )

    @invariant()
    def there_is_one_outcome_once_it_is_answered(self) -> None:
        assert self.outcomes == (self.tx.state in (State.COMPLETED, State.TERMINATED))

    @invariant()
    def a_timer_runs_until_the_end(self) -> None:
        assert (self.tx.deadline is None) == (self.tx.state is State.TERMINATED)


TestChaos = Chaos.TestCase
