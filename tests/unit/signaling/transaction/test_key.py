"""Transaction keys: what must be equal, and what must differ."""

from __future__ import annotations

import pytest

from signaling.sip import Headers, Request
from signaling.transaction.key import cancelled_key, client_key, merge_key, server_key

from .messages import request, response


def with_via(message: Request, via: str) -> Request:
    return Request(message.method, message.uri, message.headers.replacing("Via", via), message.body)


def test_a_retransmission_has_the_same_key() -> None:
    assert server_key(request()) == server_key(request())


def test_an_ack_has_the_key_of_its_invite() -> None:
    assert server_key(request("ACK")) == server_key(request("INVITE"))


@pytest.mark.parametrize("method", ["BYE", "CANCEL"])
def test_another_method_is_another_transaction(method: str) -> None:
    assert server_key(request(method)) != server_key(request("INVITE"))


def test_a_cancel_knows_the_key_of_its_invite() -> None:
    assert cancelled_key(request("CANCEL")) == server_key(request("INVITE"))


def test_another_branch_is_another_transaction() -> None:
    assert server_key(request(branch="z9hG4bK-two")) != server_key(request())


@pytest.mark.parametrize("sent_by", ["192.0.2.31:5060", "192.0.2.30:5062"])
def test_another_sent_by_is_another_transaction(sent_by: str) -> None:
    other = with_via(request(), f"SIP/2.0/UDP {sent_by};branch=z9hG4bK-one")
    assert server_key(other) != server_key(request())


def test_the_default_port_and_the_case_of_the_host_make_no_difference() -> None:
    one = with_via(request(), "SIP/2.0/UDP rm.example.com;branch=z9hG4bK-one")
    two = with_via(request(), "SIP/2.0/UDP RM.example.com:5060;branch=z9hG4bK-one")
    assert server_key(one) == server_key(two)


@pytest.mark.parametrize("branch", ["old-style", "z9hG4bK-one"])
def test_completing_the_via_changes_no_key(branch: str) -> None:
    asked = with_via(request(), f"SIP/2.0/UDP 192.0.2.30:5060;branch={branch};rport")
    assert server_key(asked.seen_from("198.51.100.7", 40000)) == server_key(asked)


def test_without_the_cookie_a_retransmission_is_found_by_everything_else() -> None:
    assert server_key(request(branch="1")) == server_key(request(branch="1"))


def test_without_the_cookie_the_ack_is_found_though_its_to_tag_is_new() -> None:
    ack = request("ACK", branch="1", to="<sip:srs@192.0.2.40>;tag=to-tag")
    assert server_key(ack) == server_key(request(branch="1"))


def test_without_the_cookie_the_same_branch_alone_is_not_enough() -> None:
    assert server_key(request(branch="1", cseq=2)) != server_key(request(branch="1", cseq=1))


def test_without_any_branch_there_is_a_key() -> None:
    bare = with_via(request(), "SIP/2.0/UDP 192.0.2.30")
    other = Request(bare.method, bare.uri, bare.headers.replacing("Call-ID", "two@192.0.2.30"))
    assert server_key(bare) != server_key(other)


def test_a_response_finds_its_request_by_branch_and_cseq_method() -> None:
    assert client_key(response(200)) == client_key(request())
    assert client_key(request("CANCEL")) != client_key(request())


def test_merged_requests_have_one_merge_key_and_different_transactions() -> None:
    one, two = request(), request(branch="z9hG4bK-two")
    assert merge_key(one) == merge_key(two)
    assert server_key(one) != server_key(two)


def test_inside_a_dialog_nothing_is_merged() -> None:
    assert merge_key(request(to="<sip:srs@192.0.2.40>;tag=to-tag")) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("CSeq", "2 INVITE"), ("Call-ID", "two@192.0.2.30"), ("From", "<sip:src@192.0.2.30>;tag=other")],
)
def test_requests_that_differ_in_one_field_are_not_merged(field: str, value: str) -> None:
    one = request()
    two = Request(one.method, one.uri, Headers(one.headers).replacing(field, value))
    assert merge_key(one) != merge_key(two)
