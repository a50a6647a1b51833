"""RFC 3261 §17.1.2 and §17.1.3, the non-INVITE client transaction and the matching of responses."""

from __future__ import annotations

from signaling.sip import NameAddr, Response, Uri, Via, build_cancel, build_request, build_response
from signaling.transaction import (
    NonInviteClientTransaction,
    Responded,
    TimedOut,
    Timers,
    TransportFailed,
    client_key,
)
from signaling.transaction.non_invite_client import State

BYE = build_request(
    "BYE",
    Uri.parse("sip:bob@biloxi.com"),
    via=Via.parse("SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff"),
    from_=NameAddr.parse("<sip:alice@atlanta.com>;tag=88sja8x", "From"),
    to=NameAddr.parse("<sip:bob@biloxi.com>;tag=1", "To"),
    call_id="987asjd97y7atg",
    cseq=2,
)


def response(status: int) -> Response:
    return build_response(BYE, status)


def trying(*, reliable: bool = False) -> NonInviteClientTransaction:
    tx = NonInviteClientTransaction(BYE, reliable=reliable, timers=Timers(), now=0.0)
    assert tx.outgoing() == [BYE.encode()]
    return tx


def test_timer_e_intervals_are_500_ms_1_s_2_s_4_s_4_s() -> None:
    tx = trying()
    for moment, following in [(0.5, 1.5), (1.5, 3.5), (3.5, 7.5), (7.5, 11.5), (11.5, 15.5)]:
        tx.handle_timer(moment)
        assert (tx.outgoing(), tx.deadline) == ([BYE.encode()], following)


def test_timer_f_informs_the_tu_and_ends_the_transaction() -> None:
    tx = trying(reliable=True)
    tx.handle_timer(32.0)
    assert (tx.events(), tx.state) == ([TimedOut()], State.TERMINATED)


def test_a_provisional_response_must_be_passed_to_the_tu() -> None:
    tx = trying()
    tx.receive(response(100), 0.1)
    assert (tx.events(), tx.state) == ([Responded(response(100))], State.PROCEEDING)


def test_in_proceeding_timer_e_is_reset_with_a_value_of_t2() -> None:
    tx = trying()
    tx.receive(response(100), 0.1)
    tx.handle_timer(0.5)
    assert (tx.outgoing(), tx.deadline) == ([BYE.encode()], 4.5)


def test_in_proceeding_timer_f_ends_the_transaction_as_well() -> None:
    tx = trying()
    tx.receive(response(100), 0.1)
    tx.handle_timer(32.0)
    assert tx.events()[-1] == TimedOut()


def test_a_final_response_must_be_passed_to_the_tu_from_either_state() -> None:
    direct, slow = trying(), trying()
    slow.receive(response(100), 0.1)
    for tx in (direct, slow):
        tx.receive(response(200), 1.0)
        assert (tx.events()[-1], tx.state) == (Responded(response(200)), State.COMPLETED)


def test_timer_k_is_t4_for_unreliable_and_zero_for_reliable_transports() -> None:
    slow, quick = trying(), trying(reliable=True)
    for tx in (slow, quick):
        tx.receive(response(200), 1.0)
    assert (slow.deadline, quick.deadline) == (6.0, 1.0)


def test_completed_buffers_additional_response_retransmissions() -> None:
    tx = trying()
    tx.receive(response(200), 1.0)
    tx.events()
    tx.receive(response(200), 2.0)
    assert (tx.events(), tx.outgoing()) == ([], [])


def test_17_1_4_a_transport_failure_is_told_and_ends_the_transaction() -> None:
    tx = trying()
    tx.transport_failed()
    assert (tx.events(), tx.state) == ([TransportFailed()], State.TERMINATED)


def test_17_1_3_a_response_matches_by_the_branch_of_the_top_via_and_the_method_in_cseq() -> None:
    assert client_key(response(200)) == client_key(BYE)


def test_17_1_3_a_cancel_shares_the_branch_but_is_a_different_transaction() -> None:
    cancel = build_cancel(BYE)
    assert cancel.via.branch == BYE.via.branch
    assert client_key(cancel) != client_key(BYE)
