"""The lease between hosts and their register, on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from storage.catalog import Catalog
from storage.errors import StaleEpoch
from tests.integration.storage_samples import opening

pytestmark = pytest.mark.integration

LEASE = "frontend"


async def take(catalog: Catalog, node: str) -> int | None:
    seen = await catalog.sites.see(LEASE)
    return await catalog.sites.contend(LEASE, node=node, holder=f"{node}/frontend-a", seen=seen, within_s=5)


async def test_before_the_first_acquisition_there_is_no_lease(catalog: Catalog) -> None:
    assert await catalog.sites.see(LEASE) is None


async def test_each_acquisition_raises_the_epoch_to_the_next_multiple_of_1024(catalog: Catalog) -> None:
    assert await take(catalog, "a") == 1024
    assert await catalog.sites.renew(LEASE, node="a", holder="a/frontend-b", epoch=1026)
    assert await take(catalog, "b") == 2048


async def test_of_two_that_saw_the_same_one_is_faster(catalog: Catalog) -> None:
    await take(catalog, "a")
    seen = await catalog.sites.see(LEASE)
    asked = [catalog.sites.contend(LEASE, node=node, holder=node, seen=seen, within_s=5) for node in ("b", "c")]
    assert sorted(await asyncio.gather(*asked), key=str) == [2048, None]


async def test_a_renewal_in_between_refuses_who_saw_the_lease_before(catalog: Catalog) -> None:
    await take(catalog, "a")
    seen = await catalog.sites.see(LEASE)
    assert await catalog.sites.renew(LEASE, node="a", holder="a", epoch=1024)
    assert await catalog.sites.contend(LEASE, node="b", holder="b", seen=seen, within_s=5) is None


async def test_the_own_host_takes_it_again_whatever_it_saw(catalog: Catalog) -> None:
    await take(catalog, "a")
    assert await catalog.sites.contend(LEASE, node="a", holder="a/frontend-b", seen=None, within_s=5) == 2048


async def test_what_is_carried_out_too_late_takes_nothing(catalog: Catalog) -> None:
    await take(catalog, "a")
    seen = await catalog.sites.see(LEASE)
    assert await catalog.sites.contend(LEASE, node="b", holder="b", seen=seen, within_s=-1) is None


async def test_a_holder_that_was_replaced_can_neither_renew_nor_release_nor_write(catalog: Catalog) -> None:
    await take(catalog, "a")
    await take(catalog, "b")
    assert not await catalog.sites.renew(LEASE, node="a", holder="a", epoch=1024)
    assert not await catalog.sites.renew(LEASE, node="a", holder="a", epoch=3072)
    assert not await catalog.sites.release(LEASE, node="a", epoch=1024)
    with pytest.raises(StaleEpoch):
        await catalog.open_segment(opening(epoch=1024))


async def test_a_lease_given_back_has_no_host(catalog: Catalog) -> None:
    await take(catalog, "a")
    assert await catalog.sites.release(LEASE, node="a", epoch=1024)
    seen = await catalog.sites.see(LEASE)
    assert seen is not None
    assert (seen.node, seen.epoch) == ("", 1024)


async def test_hosts_describe_themselves(catalog: Catalog) -> None:
    for instance in ("one", "two"):
        await catalog.sites.beat(
            "default", node="a", instance=instance, endpoint="10.0.0.1:5070", writers=["writer-1", "writer-2"]
        )
    await catalog.sites.beat("other", node="x", instance="x", endpoint="10.0.0.9:1", writers=[])
    (row,) = await catalog.sites.nodes("default")
    assert (row.node, row.instance, row.endpoint, row.state) == ("a", "two", "10.0.0.1:5070", "running")
    assert row.writers == ("writer-1", "writer-2")
    assert 0 <= row.silent_s < 5
