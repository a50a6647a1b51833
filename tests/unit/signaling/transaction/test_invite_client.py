"""INVITE client transaction: every entry of its table, its timers, the ACK it makes, and chaos."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.transaction.invite_client import TRANSITIONS, Input, InviteClientTransaction, State
from signaling.transaction.machine import Responded, TimedOut, TransportFailed
from signaling.transaction.timers import Timers

from .messages import parsed, request, response

INVITE = request("INVITE")
TRYING, OK, BUSY = response(100), response(200), response(486)


def fresh(*, reliable: bool = False, now: float = 0.0) -> InviteClientTransaction:
    return InviteClientTransaction(INVITE, reliable=reliable, timers=Timers(), now=now)


def drained(*, reliable: bool = False, now: float = 0.0) -> InviteClientTransaction:
    tx = fresh(reliable=reliable, now=now)
    tx.outgoing()
    return tx


def test_the_request_is_sent_at_once() -> None:
    assert fresh().outgoing() == [INVITE.encode()]


def test_the_request_is_repeated_at_doubling_intervals_until_timer_b() -> None:
    tx = drained()
    sent_at = []
    while tx.state is State.CALLING:
        assert tx.deadline is not None
        now = tx.deadline
        tx.handle_timer(now)
        sent_at += [now] * len(tx.outgoing())
    assert sent_at == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert tx.events() == [TimedOut()]


def test_over_a_reliable_transport_only_timer_b_runs() -> None:
    tx = drained(reliable=True)
    assert tx.deadline == 32.0
    tx.handle_timer(32.0)
    assert (tx.outgoing(), tx.events(), tx.state) == ([], [TimedOut()], State.TERMINATED)


def test_a_provisional_response_stops_every_timer_and_is_told() -> None:
    tx = drained()
    tx.receive(TRYING, 0.1)
    assert (tx.state, tx.deadline, tx.events()) == (State.PROCEEDING, None, [Responded(TRYING)])


def test_more_provisional_responses_are_told() -> None:
    tx = drained()
    tx.receive(TRYING, 0.1)
    tx.receive(TRYING, 0.2)
    assert tx.events() == [Responded(TRYING)] * 2


@pytest.mark.parametrize("ringing", [True, False])
def test_a_2xx_is_told_each_time_it_comes_and_never_acknowledged_here(ringing: bool) -> None:
    tx = drained()
    if ringing:
        tx.receive(TRYING, 0.1)
        tx.events()
    tx.receive(OK, 1.0)
    tx.receive(OK, 2.0)
    assert (tx.events(), tx.outgoing()) == ([Responded(OK)] * 2, [])
    assert (tx.state, tx.deadline) == (State.ACCEPTED, 33.0)


def test_timer_m_ends_accepted_in_silence() -> None:
    tx = drained()
    tx.receive(OK, 1.0)
    tx.events()
    tx.handle_timer(32.9)
    assert tx.state is State.ACCEPTED
    tx.handle_timer(33.0)
    assert (tx.state, tx.events(), tx.deadline) == (State.TERMINATED, [], None)


def test_accepted_ignores_failures() -> None:
    tx = drained()
    tx.receive(OK, 1.0)
    tx.events()
    tx.receive(BUSY, 2.0)
    assert (tx.events(), tx.outgoing(), tx.state) == ([], [], State.ACCEPTED)


@pytest.mark.parametrize("ringing", [True, False])
def test_a_failure_is_told_once_and_acknowledged_each_time(ringing: bool) -> None:
    tx = drained()
    if ringing:
        tx.receive(TRYING, 0.1)
        tx.events()
    tx.receive(BUSY, 1.0)
    tx.receive(BUSY, 2.0)
    first, second = tx.outgoing()
    assert tx.events() == [Responded(BUSY)]
    assert first == second
    assert parsed(first).method == "ACK"
    assert (tx.state, tx.deadline) == (State.COMPLETED, 33.0)


def test_completed_ignores_provisional_and_successful_responses() -> None:
    tx = drained()
    tx.receive(BUSY, 1.0)
    tx.events()
    tx.outgoing()
    tx.receive(TRYING, 2.0)
    tx.receive(OK, 2.0)
    assert (tx.events(), tx.outgoing(), tx.state) == ([], [], State.COMPLETED)


def test_timer_d_ends_completed() -> None:
    tx = drained()
    tx.receive(BUSY, 1.0)
    tx.handle_timer(33.0)
    reliable = drained(reliable=True)
    reliable.receive(BUSY, 1.0)
    reliable.handle_timer(1.0)
    assert (tx.state, reliable.state) == (State.TERMINATED, State.TERMINATED)


@pytest.mark.parametrize("status", [None, 486])
def test_a_transport_failure_ends_it_while_it_has_to_send(status: int | None) -> None:
    tx = drained()
    if status:
        tx.receive(response(status), 1.0)
        tx.events()
    tx.transport_failed()
    assert (tx.state, tx.events(), tx.deadline) == (State.TERMINATED, [TransportFailed()], None)


@pytest.mark.parametrize("status", [100, 200])
def test_a_transport_failure_elsewhere_is_absorbed(status: int) -> None:
    tx = drained()
    tx.receive(response(status), 1.0)
    tx.events()
    deadline = tx.deadline
    tx.transport_failed()
    assert (tx.events(), tx.deadline) == ([], deadline)


def test_a_late_timer_repeats_once_not_in_a_burst() -> None:
    tx = drained()
    tx.handle_timer(20.0)
    assert (tx.outgoing(), tx.deadline) == ([INVITE.encode()], 21.0)


def test_every_input_moves_something() -> None:
    assert {given for _, given in TRANSITIONS} == set(Input)


def test_every_state_but_the_last_can_be_left() -> None:
    left = {state for (state, _), following in TRANSITIONS.items() if following is not state}
    assert left == set(State) - {State.TERMINATED}


class Chaos(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tx = drained()
        self.outcomes: list[str] = []

    @rule(step=st.floats(0, 40))
    def time_passes(self, step: float) -> None:
        self.now += step
        self.tx.handle_timer(self.now)
        self.look()

    @rule(given_response=st.sampled_from([TRYING, OK, BUSY]))
    def receive(self, given_response: object) -> None:
        assert given_response in (TRYING, OK, BUSY)
        self.tx.receive(TRYING if given_response is TRYING else OK if given_response is OK else BUSY, self.now)
        self.look()

    @rule()
    def broken(self) -> None:
        self.tx.transport_failed()
        self.look()

    def look(self) -> None:
        for event in self.tx.events():
            if isinstance(event, Responded):
                if event.response.status >= 200:
                    self.outcomes.append(str(event.response.status))
            else:
                self.outcomes.append(type(event).__name__)

    @invariant()
    def there_is_one_outcome(self) -> None:
        """A failure may be followed by the failure to acknowledge it; a 2xx may come again."""
        assert len(set(self.outcomes)) <= 1 or self.outcomes == ["486", "TransportFailed"]

    @invariant()
    def a_timer_runs_except_in_proceeding(self) -> None:
        assert (self.tx.deadline is None) == (self.tx.state in (State.PROCEEDING, State.TERMINATED))


TestChaos = Chaos.TestCase
