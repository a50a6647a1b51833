"""Which offers of ours a client is sent, by its profile, its Allow, and what it did before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from recorder.edge.profile import PeerProfile, ProfileTable
from recorder.frontend.capabilities import BELIEVED, Capabilities, Outcome

BOTH = ("INVITE", "UPDATE")


class Site:
    """As much of a frontend as the ladder asks for."""

    def __init__(self, own_offers: Literal["reinvite", "update", "none", "unknown"] = "unknown") -> None:
        self.now = datetime(2030, 1, 15, tzinfo=UTC)
        self.written: list[Any] = []

        async def write(record: Any) -> None:
            self.written.append(record)

        frontend: Any = SimpleNamespace(
            edge=SimpleNamespace(profiles=ProfileTable([PeerProfile(name="default", own_offers=own_offers)])),
            catalog=SimpleNamespace(epoch=1, write=write),
            wall_clock=lambda: self.now,
        )
        self.capabilities = Capabilities(frontend)


def session(peer: str = "192.0.2.1", product: str = "SBC") -> Any:
    return SimpleNamespace(peer=peer, product=product, profile="default")


@pytest.mark.parametrize(
    ("own_offers", "allowed", "expected"),
    [
        ("unknown", BOTH, ("INVITE", "UPDATE")),
        ("unknown", ("INVITE",), ("INVITE",)),
        ("unknown", (), ("INVITE",)),
        ("reinvite", BOTH, ("INVITE", "UPDATE")),
        ("update", (), ("UPDATE", "INVITE")),
        ("none", BOTH, ()),
    ],
)
def test_the_profile_chooses_the_order_and_allow_permits_update(
    own_offers: Any, allowed: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert Site(own_offers).capabilities.ladder(session(), allowed) == expected


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.IGNORED])
async def test_what_a_client_declined_is_not_tried_again_for_a_day(outcome: Outcome) -> None:
    site = Site()
    await site.capabilities.learn(session(), "INVITE", outcome, 488)
    assert site.capabilities.ladder(session(), BOTH) == ("UPDATE",)
    assert site.capabilities.ladder(session(product="other"), BOTH) == BOTH
    assert site.capabilities.ladder(session(peer="192.0.2.2"), BOTH) == BOTH
    site.now += BELIEVED
    assert site.capabilities.ladder(session(), BOTH) == BOTH


async def test_a_success_ends_a_refusal_and_the_same_news_is_stored_once() -> None:
    site = Site()
    await site.capabilities.learn(session(), "INVITE", Outcome.REFUSED, 405)
    for _ in range(1000):
        await site.capabilities.learn(session(), "INVITE", Outcome.ANSWERED, 200)
    assert site.capabilities.ladder(session(), BOTH) == BOTH
    assert [one.outcome for one in site.written] == ["refused", "answered"]
    site.now += timedelta(hours=2)
    await site.capabilities.learn(session(), "INVITE", Outcome.ANSWERED, 200)
    assert len(site.written) == 3
