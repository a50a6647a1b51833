"""Connections to the catalog: servers that are not there, hang, are slow, or became standbys; who gives way to whom."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.connection import BACKGROUND_NICE
from storage.errors import CatalogUnreachable, SchemaMismatch, StorageMisused
from tests.integration.storage_samples import rows

pytestmark = pytest.mark.integration


def autogroup(process: int | str) -> Path:
    """Return the file of the priority of a process's session, where the kernel has one."""
    return Path(f"/proc/{process}/autogroup")


async def test_a_database_without_schema_is_explained(empty_dsn: str) -> None:
    with pytest.raises(SchemaMismatch, match="recorder run"):
        await Catalog.connect(empty_dsn)


async def lease_at_last(catalog: Catalog) -> int:
    """Take the lease of a server that answers again, however slowly."""
    async with asyncio.timeout(60):
        while True:
            with suppress(CatalogUnreachable):
                return await catalog.acquire_lease()


async def test_a_dsn_that_is_none_is_explained() -> None:
    with pytest.raises(StorageMisused, match="DSN"):
        await Catalog.connect("postgresql://[broken")


async def test_no_server_is_unreachable() -> None:
    with pytest.raises(CatalogUnreachable):
        await Catalog.connect("postgresql://tandem@/tandem?host=/nonexistent")


@pytest.mark.parametrize("wrong", [("/test_", "/absent_"), ("://tandem@", "://nobody@")])
async def test_a_server_that_does_not_let_us_in_is_unreachable(empty_dsn: str, wrong: tuple[str, str]) -> None:
    """A database that is being restored, or a password that was changed: calls are recorded meanwhile."""
    with pytest.raises(CatalogUnreachable, match="does not exist"):
        await Catalog.connect(empty_dsn.replace(*wrong))


async def test_a_statement_that_hangs_is_unreachable_in_time(catalog_dsn: str) -> None:
    async with await Catalog.connect(catalog_dsn, timeout_s=1.0) as catalog:
        blocker = await asyncpg.connect(catalog_dsn)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE leases")
                with pytest.raises(CatalogUnreachable):
                    await catalog.acquire_lease()
        finally:
            await blocker.close()
        assert await lease_at_last(catalog)


async def test_a_statement_is_waited_for_while_the_server_answers_others(catalog_dsn: str) -> None:
    """A slow server is not an absent one: what is given up and made again makes it slower."""
    silence_s = 0.5
    async with await Catalog.expect(catalog_dsn, timeout_s=60, silence_s=silence_s) as catalog:
        blocker = await asyncpg.connect(catalog_dsn)
        try:
            for _ in range(10):
                async with blocker.transaction():
                    await blocker.execute("LOCK TABLE leases")
                    slow = asyncio.ensure_future(catalog.acquire_lease())
                    longest, until = 0.0, time.monotonic() + 3 * silence_s
                    while (began := time.monotonic()) < until:
                        with suppress(CatalogUnreachable):
                            await catalog.list_jobs()
                        await asyncio.sleep(0.01)
                        longest = max(longest, time.monotonic() - began)
                    waited = not slow.done()
                if longest < silence_s / 2:  # else this machine was too busy to tell
                    break
                await asyncio.gather(slow, return_exceptions=True)
            assert waited
            assert await slow >= 1
        finally:
            await blocker.close()


async def test_what_somebody_has_locked_is_not_waited_for_longer_than_is_said(catalog_dsn: str) -> None:
    """Nor does it hold up for longer whoever needs the same connection."""
    async with await Catalog.expect(catalog_dsn, max_size=1, timeout_s=600, lock_s=0.2) as catalog:
        blocker = await asyncpg.connect(catalog_dsn)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE leases")
                asked = [catalog.acquire_lease(), catalog.acquire_lease(), catalog.list_jobs()]
                first, second, jobs = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await blocker.close()
        assert isinstance(first, CatalogUnreachable)
        assert isinstance(second, CatalogUnreachable)
        assert jobs == []
        assert await lease_at_last(catalog)


async def test_a_server_that_answers_nobody_is_given_up_before_the_time_limit(catalog_dsn: str) -> None:
    async with await Catalog.expect(catalog_dsn, timeout_s=600, silence_s=0.3) as catalog:
        blocker = await asyncpg.connect(catalog_dsn)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE leases")
                with pytest.raises(CatalogUnreachable):
                    await catalog.acquire_lease()
        finally:
            await blocker.close()
        assert await lease_at_last(catalog)


async def test_statements_in_the_background_give_way_to_those_that_clients_wait_for(catalog_dsn: str) -> None:
    nice = {}
    for background in (False, True):
        name = f"catalog-{background}"
        async with await Catalog.connect(catalog_dsn, min_size=2, application=name, background=background) as catalog:
            found = await rows(catalog_dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = $1", name)
            nice[background] = [os.getpriority(os.PRIO_PROCESS, row["pid"]) for row in found]
            sessions = [path.read_text().split()[-1] for row in found if (path := autogroup(row["pid"])).exists()]
            assert await catalog.list_jobs() == []
    assert nice[True] == [max(nice[False][0], BACKGROUND_NICE)] * 2
    assert set(sessions) <= {str(BACKGROUND_NICE)}
    assert len(sessions) == 2 or not autogroup("self").exists()


async def test_a_server_that_became_a_standby_is_left(catalog_dsn: str) -> None:
    """Old connections to it would refuse writes for ever; new ones look for the primary."""
    async with await Catalog.connect(catalog_dsn, min_size=4) as catalog:
        await catalog.acquire_lease()
        name = catalog_dsn.partition("/test_")[2].partition("?")[0]
        await rows(catalog_dsn, f"ALTER DATABASE test_{name} SET default_transaction_read_only = on")
        await rows(
            catalog_dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tandem' AND datname = current_database()",
        )
        failures = 0
        for _ in range(8):
            try:
                await catalog.acquire_lease()
            except CatalogUnreachable:
                failures += 1
        assert failures == 8
        connection = await asyncpg.connect(catalog_dsn)
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f"ALTER DATABASE test_{name} RESET default_transaction_read_only")
        await connection.close()
        assert await catalog.acquire_lease() == 2
