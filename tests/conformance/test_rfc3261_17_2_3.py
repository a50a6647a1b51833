"""RFC 3261 §17.2.3, matching requests to server transactions, sentence by sentence (checklist C3, C21)."""

from __future__ import annotations

import pytest

from signaling.sip import Request, parse_message
from signaling.transaction import cancelled_key, merge_key, server_key


def request(
    method: str = "INVITE",
    *,
    via: str = "SIP/2.0/UDP a;branch=z9hG4bK1",
    uri: str = "sip:h",
    from_tag: str = "f",
    call_id: str = "c",
    cseq: int = 1,
    to: str = "<sip:h>",
) -> Request:
    message = parse_message(
        f"{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@h>;tag={from_tag}\r\nTo: {to}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def test_c3_the_branch_the_sent_by_value_and_the_method_make_the_match() -> None:
    again = request(uri="sip:other", from_tag="other", call_id="other", cseq=9)
    assert server_key(again) == server_key(request())


@pytest.mark.parametrize(
    "other",
    [
        request(via="SIP/2.0/UDP a;branch=z9hG4bK2"),
        request(via="SIP/2.0/UDP b;branch=z9hG4bK1"),
        request(via="SIP/2.0/UDP a:5070;branch=z9hG4bK1"),
        request("BYE"),
    ],
)
def test_c3_a_difference_in_any_of_the_three_is_another_transaction(other: Request) -> None:
    assert server_key(other) != server_key(request())


def test_c3_the_method_of_an_ack_matches_the_invite_that_created_the_transaction() -> None:
    assert server_key(request("ACK")) == server_key(request("INVITE"))


OLD = "SIP/2.0/UDP a;branch=1"


@pytest.mark.parametrize("via", ["SIP/2.0/UDP a", OLD, "SIP/2.0/UDP a;branch=z9hG4bK"])
def test_c3_without_the_magic_cookie_all_of_these_must_match(via: str) -> None:
    assert server_key(request(via=via)) == server_key(request(via=via))


@pytest.mark.parametrize(
    "other",
    [
        request(via=OLD, uri="sip:other"),
        request(via=OLD, from_tag="other"),
        request(via=OLD, call_id="other"),
        request(via=OLD, cseq=2),
        request(via="SIP/2.0/UDP a;branch=2"),
        request("OPTIONS", via=OLD),
    ],
)
def test_c3_without_the_magic_cookie_a_difference_in_any_of_these_is_another_transaction(other: Request) -> None:
    assert server_key(other) != server_key(request(via=OLD))


def test_c3_without_the_magic_cookie_an_ack_matches_by_the_cseq_number_not_the_method() -> None:
    ack = request("ACK", via=OLD, to="<sip:h>;tag=ours")
    assert server_key(ack) == server_key(request(via=OLD))


def test_c16_a_cancel_names_the_transaction_of_the_invite_with_its_branch() -> None:
    assert cancelled_key(request("CANCEL")) == server_key(request())
    assert server_key(request("CANCEL")) != server_key(request())


def test_c21_a_merged_request_has_the_same_from_tag_call_id_and_cseq_but_another_transaction() -> None:
    one, other = request(), request(via="SIP/2.0/UDP b;branch=z9hG4bK9")
    assert merge_key(one) == merge_key(other)
    assert server_key(one) != server_key(other)


def test_c21_only_a_request_without_a_to_tag_can_be_merged() -> None:
    assert merge_key(request(to="<sip:h>;tag=1")) is None
