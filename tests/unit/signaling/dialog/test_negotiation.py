"""Glare: which INVITE and UPDATE may start beside which others."""

from __future__ import annotations

import pytest

from signaling.dialog.negotiation import Negotiation, Verdict

PROCEED, PENDING, LATER = Verdict.PROCEED, Verdict.REQUEST_PENDING, Verdict.RETRY_LATER


def while_(**under_way: str | bool) -> Negotiation:
    negotiation = Negotiation()
    for name, value in under_way.items():
        setattr(negotiation, name, value)
    return negotiation


@pytest.mark.parametrize(
    ("negotiation", "invite_with_offer", "invite_without", "update_with_offer", "update_without"),
    [
        (while_(), PROCEED, PROCEED, PROCEED, PROCEED),
        (while_(our_invite="c1"), PENDING, PENDING, PENDING, PROCEED),
        (while_(our_update="c1", our_update_offers=True), PENDING, PROCEED, PENDING, PROCEED),
        (while_(our_update="c1"), PROCEED, PROCEED, PROCEED, PROCEED),
        (while_(our_offer_in_answer=True), PENDING, PROCEED, PENDING, PROCEED),
        (while_(their_invite="s1", their_invite_offers=True), LATER, LATER, LATER, PROCEED),
        (while_(their_invite="s1"), LATER, LATER, PROCEED, PROCEED),
        (while_(their_update="s1", their_update_offers=True), LATER, PROCEED, LATER, LATER),
        (while_(their_update="s1"), PROCEED, PROCEED, LATER, LATER),
        (while_(awaiting_ack=True), PROCEED, PROCEED, PROCEED, PROCEED),
    ],
)
def test_requests_of_the_peer(
    negotiation: Negotiation,
    invite_with_offer: Verdict,
    invite_without: Verdict,
    update_with_offer: Verdict,
    update_without: Verdict,
) -> None:
    assert negotiation.judge_invite(offers=True) is invite_with_offer
    assert negotiation.judge_invite(offers=False) is invite_without
    assert negotiation.judge_update(offers=True) is update_with_offer
    assert negotiation.judge_update(offers=False) is update_without


@pytest.mark.parametrize(
    ("negotiation", "invite", "update_with_offer", "update_without"),
    [
        (while_(), True, True, True),
        (while_(our_invite="c1"), False, False, True),
        (while_(their_invite="s1", their_invite_offers=True), False, False, True),
        (while_(their_invite="s1"), False, True, True),
        (while_(awaiting_ack=True), False, True, True),
        (while_(our_update="c1"), True, False, False),
        (while_(our_update="c1", our_update_offers=True), False, False, False),
        (while_(their_update="s1", their_update_offers=True), False, False, True),
        (while_(our_offer_in_answer=True), False, False, True),
    ],
)
def test_requests_of_ours(
    negotiation: Negotiation, invite: bool, update_with_offer: bool, update_without: bool
) -> None:
    assert negotiation.may_send_invite() is invite
    assert negotiation.may_send_update(offers=True) is update_with_offer
    assert negotiation.may_send_update(offers=False) is update_without
