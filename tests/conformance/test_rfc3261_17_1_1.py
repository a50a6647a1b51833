"""RFC 3261 §17.1.1, the INVITE client transaction, sentence by sentence."""

from __future__ import annotations

import pytest

from signaling.sip import NameAddr, Request, Response, Uri, Via, build_request, build_response, parse_message
from signaling.transaction import InviteClientTransaction, Responded, TimedOut, Timers, TransportFailed
from signaling.transaction.invite_client import State

INVITE = build_request(
    "INVITE",
    Uri.parse("sip:bob@biloxi.com"),
    via=Via.parse("SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff"),
    from_=NameAddr.parse("Alice <sip:alice@atlanta.com>;tag=88sja8x", "From"),
    to=NameAddr.parse("Bob <sip:bob@biloxi.com>", "To"),
    call_id="987asjd97y7atg",
    cseq=986759,
    routes=["<sip:proxy.example;lr>"],
)


def response(status: int) -> Response:
    return build_response(INVITE, status, to_tag="99sa0xk")


def calling(*, reliable: bool = False) -> InviteClientTransaction:
    tx = InviteClientTransaction(INVITE, reliable=reliable, timers=Timers(), now=0.0)
    assert tx.outgoing() == [INVITE.encode()]
    return tx


def received(status: int, *, now: float = 1.0, reliable: bool = False) -> InviteClientTransaction:
    tx = calling(reliable=reliable)
    tx.receive(response(status), now)
    return tx


def acknowledgement(tx: InviteClientTransaction) -> Request:
    (octets,) = tx.outgoing()
    message = parse_message(octets)
    assert isinstance(message, Request)
    return message


def test_the_client_transaction_must_start_timer_a_with_a_value_of_t1() -> None:
    assert calling().deadline == 0.5


def test_over_a_reliable_transport_timer_a_should_not_be_started() -> None:
    assert calling(reliable=True).deadline == 32.0


def test_the_request_is_retransmitted_with_intervals_that_double_after_each_transmission() -> None:
    tx = calling()
    for moment, following in [(0.5, 1.5), (1.5, 3.5), (3.5, 7.5), (7.5, 15.5), (15.5, 31.5)]:
        tx.handle_timer(moment)
        assert (tx.outgoing(), tx.deadline) == ([INVITE.encode()], following)


def test_these_retransmissions_should_only_be_done_while_in_the_calling_state() -> None:
    tx = received(100)
    tx.handle_timer(1000.0)
    assert tx.outgoing() == []


def test_if_timer_b_fires_in_calling_the_tu_is_informed_and_no_ack_is_generated() -> None:
    tx = calling(reliable=True)
    tx.handle_timer(32.0)
    assert (tx.events(), tx.outgoing(), tx.state) == ([TimedOut()], [], State.TERMINATED)


def test_provisional_responses_must_be_passed_to_the_tu() -> None:
    tx = received(180)
    tx.receive(response(183), 2.0)
    assert tx.events() == [Responded(response(180)), Responded(response(183))]


@pytest.mark.parametrize("status", [300, 404, 500, 699])
@pytest.mark.parametrize("reliable", [True, False])
def test_a_300_to_699_must_be_passed_up_and_acknowledged_even_if_the_transport_is_reliable(
    status: int, reliable: bool
) -> None:
    tx = received(status, reliable=reliable)
    assert tx.events() == [Responded(response(status))]
    assert acknowledgement(tx).method == "ACK"
    assert tx.state is State.COMPLETED


def test_timer_d_is_at_least_32_seconds_for_unreliable_and_zero_for_reliable_transports() -> None:
    assert received(486, now=1.0).deadline == 33.0
    assert received(486, now=1.0, reliable=True).deadline == 1.0


def test_retransmissions_of_the_final_response_repeat_the_ack_and_must_not_be_passed_up() -> None:
    tx = received(486)
    first = tx.outgoing()
    tx.events()
    tx.receive(response(486), 2.0)
    assert (tx.outgoing(), tx.events()) == (first, [])


def test_17_1_1_3_the_ack_must_equal_the_original_request_in_call_id_from_and_request_uri() -> None:
    ack = acknowledgement(received(486))
    assert (ack.call_id, ack.from_, ack.uri) == (INVITE.call_id, INVITE.from_, INVITE.uri)


def test_17_1_1_3_the_to_in_the_ack_must_equal_the_to_in_the_response() -> None:
    assert acknowledgement(received(486)).to == response(486).to


def test_17_1_1_3_the_ack_must_contain_a_single_via_equal_to_the_top_via_of_the_original_request() -> None:
    assert acknowledgement(received(486)).vias == (INVITE.via,)


def test_17_1_1_3_the_cseq_has_the_same_number_and_the_method_ack() -> None:
    assert str(acknowledgement(received(486)).cseq) == "986759 ACK"


def test_17_1_1_3_route_header_fields_must_appear_in_the_ack() -> None:
    assert acknowledgement(received(486)).routes == INVITE.routes


def test_17_1_4_on_a_transport_failure_the_tu_is_informed_and_the_transaction_ends() -> None:
    tx = calling()
    tx.transport_failed()
    assert (tx.events(), tx.state) == ([TransportFailed()], State.TERMINATED)
