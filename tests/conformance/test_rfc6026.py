"""RFC 6026, correct handling of 2xx responses, sentence by sentence (checklist C4)."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip import Headers, NameAddr, Request, Response, Uri, Via, build_request, build_response
from signaling.transaction import (
    Acknowledged,
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteServerTransaction,
    Responded,
    Timers,
    TransportFailed,
)
from signaling.transaction import invite_client as client
from signaling.transaction import invite_server as server

ACK = Request("ACK", Uri.parse("sip:h"), Headers())
INVITE = build_request(
    "INVITE",
    Uri.parse("sip:h"),
    via=Via.parse("SIP/2.0/UDP a;branch=z9hG4bK1"),
    from_=NameAddr.parse("<sip:a@h>;tag=1", "From"),
    to=NameAddr.parse("<sip:h>", "To"),
    call_id="c",
    cseq=1,
)


def accepted_server(*, reliable: bool = False) -> InviteServerTransaction:
    tx = InviteServerTransaction(reliable=reliable, timers=Timers(), trying=None)
    tx.send(b"200", status=200, now=0.0)
    assert tx.outgoing() == [b"200"]
    return tx


def ok(tag: str = "one") -> Response:
    return build_response(INVITE, 200, to_tag=tag)


def accepted_client(*, reliable: bool = False) -> InviteClientTransaction:
    tx = InviteClientTransaction(INVITE, reliable=reliable, timers=Timers(), now=0.0)
    tx.outgoing()
    tx.receive(ok(), 0.0)
    assert tx.events() == [Responded(ok())]
    return tx


@pytest.mark.parametrize("reliable", [True, False])
def test_c4_a_2xx_enters_accepted_and_sets_timer_l_to_64_t1_for_all_transports(reliable: bool) -> None:
    tx = accepted_server(reliable=reliable)
    assert (tx.state, tx.deadline) == (server.State.ACCEPTED, 32.0)


def test_c4_retransmissions_of_the_invite_are_absorbed_and_not_passed_onto_the_tu() -> None:
    tx = accepted_server()
    tx.receive_retransmission()
    assert (tx.outgoing(), tx.events(), tx.state) == ([], [], server.State.ACCEPTED)


def test_c4_the_server_transaction_must_not_generate_2xx_retransmissions_on_its_own() -> None:
    tx = accepted_server()
    for moment in (0.5, 1.5, 3.5, 31.9):
        tx.handle_timer(moment)
    assert tx.outgoing() == []


def test_c4_any_retransmission_of_the_2xx_passed_from_the_tu_must_be_passed_to_the_transport_layer() -> None:
    tx = accepted_server()
    tx.send(b"200", status=200, now=0.5)
    assert tx.outgoing() == [b"200"]


def test_c4_any_acks_received_in_accepted_must_be_passed_directly_to_the_tu() -> None:
    tx = accepted_server()
    tx.receive_ack(ACK, 1.0)
    assert tx.events() == [Acknowledged(ACK)]


def test_c4_no_other_response_can_follow_a_2xx() -> None:
    tx = accepted_server()
    with pytest.raises(LocalProtocolError):
        tx.send(b"500", status=500, now=1.0)


def test_c4_when_timer_l_fires_the_machine_must_transition_to_terminated() -> None:
    tx = accepted_server()
    tx.handle_timer(32.0)
    assert (tx.state, tx.events()) == (server.State.TERMINATED, [])


@pytest.mark.parametrize("status", [180, 200, 486])
def test_8_8_on_a_transport_error_the_tu_is_informed_and_the_transaction_must_remain_in_its_state(status: int) -> None:
    tx = InviteServerTransaction(reliable=True, timers=Timers(), trying=None)
    tx.send(b"x", status=status, now=0.0)
    before = tx.state
    tx.transport_failed()
    assert (tx.events(), tx.state) == ([TransportFailed()], before)


def test_8_8_the_same_holds_for_other_server_transactions() -> None:
    tx = NonInviteServerTransaction(reliable=False, timers=Timers(), trying=b"100", now=0.0)
    tx.send(b"200", status=200, now=0.0)
    tx.transport_failed()
    tx.outgoing()
    tx.receive_retransmission()
    assert (tx.events(), tx.outgoing()) == ([TransportFailed()], [b"200"])


@pytest.mark.parametrize("reliable", [True, False])
def test_7_2_a_2xx_moves_the_client_to_accepted_and_sets_timer_m_to_64_t1(reliable: bool) -> None:
    tx = accepted_client(reliable=reliable)
    assert (tx.state, tx.deadline) == (client.State.ACCEPTED, 32.0)


def test_7_2_a_2xx_received_in_accepted_must_be_passed_to_the_tu() -> None:
    tx = accepted_client()
    tx.receive(ok(), 1.0)
    tx.receive(ok("another branch of a fork"), 2.0)
    assert tx.events() == [Responded(ok()), Responded(ok("another branch of a fork"))]


def test_7_2_the_client_transaction_must_not_generate_an_ack_to_any_2xx() -> None:
    tx = accepted_client()
    tx.receive(ok(), 1.0)
    assert tx.outgoing() == []


def test_7_2_when_timer_m_fires_the_machine_must_transition_to_terminated() -> None:
    tx = accepted_client()
    tx.handle_timer(32.0)
    assert (tx.state, tx.events()) == (client.State.TERMINATED, [])
