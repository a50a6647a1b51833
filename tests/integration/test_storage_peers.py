"""What was learnt of clients, on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recorder.ha.writes import decode_write, encode_write
from storage.catalog import Catalog
from storage.catalog.records import PeerCapability
from storage.errors import StaleEpoch

pytestmark = pytest.mark.integration

NOON = datetime(2030, 1, 15, 12, tzinfo=UTC)


def learnt(epoch: int, outcome: str, *, at: datetime = NOON, product: str = "SBC/1") -> PeerCapability:
    return PeerCapability(
        epoch=epoch, peer="192.0.2.1", product=product, method="INVITE", outcome=outcome, status=488, learnt_at=at
    )


async def known(catalog: Catalog) -> dict[str, str]:
    return {one.product: one.outcome for one in await catalog.capabilities(since=NOON - timedelta(days=1))}


async def test_the_latest_of_a_client_counts(catalog: Catalog) -> None:
    epoch = await catalog.acquire_lease()
    await catalog.learn_capability(learnt(epoch, "refused"))
    await catalog.learn_capability(learnt(epoch, "answered", at=NOON + timedelta(seconds=1)))
    # A journaled write that comes late.
    await catalog.learn_capability(learnt(epoch, "ignored"))
    await catalog.learn_capability(learnt(epoch, "ignored", product="SBC/2"))
    assert await known(catalog) == {"SBC/1": "answered", "SBC/2": "ignored"}
    assert await catalog.capabilities(since=NOON + timedelta(days=1)) == []


async def test_a_replaced_frontend_teaches_nothing(catalog: Catalog) -> None:
    before = await catalog.acquire_lease()
    await catalog.acquire_lease()
    with pytest.raises(StaleEpoch):
        await catalog.learn_capability(learnt(before, "refused"))
    assert await known(catalog) == {}


def test_it_goes_through_the_journal() -> None:
    written = learnt(1, "refused")
    assert decode_write(encode_write(written)) == written
