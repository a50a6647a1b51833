"""Connections that are kept at hand: shared, bounded, and never used again once something is wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage.catalog.connections import Connections
from tests.integration.storage_samples import rows

pytestmark = pytest.mark.integration

_PID = "SELECT pg_backend_pid()"
_MOST = 3


@pytest.fixture
async def connections(catalog_dsn: str) -> AsyncIterator[Connections]:
    made = Connections(await asyncpg.create_pool(catalog_dsn, min_size=0, max_size=_MOST))
    yield made
    await made.close()


async def pid_of(connections: Connections, statement: str = _PID) -> int:
    async with connections.lent() as connection:
        return int(await connection.fetchval(statement))


async def test_one_after_the_other_uses_the_same_connection(connections: Connections) -> None:
    assert len({await pid_of(connections) for _ in range(5)}) == 1


async def test_more_callers_than_connections_are_all_served(connections: Connections) -> None:
    slowly = "SELECT pg_backend_pid() FROM pg_sleep(0.001)"
    async with asyncio.timeout(60):
        used = await asyncio.gather(*(pid_of(connections, slowly) for _ in range(50)))
    assert len(used) == 50
    assert len(set(used)) <= _MOST


async def test_a_caller_that_waits_gets_the_next_that_is_free(connections: Connections) -> None:
    lent = [await connections.acquire() for _ in range(_MOST)]
    waiting = asyncio.ensure_future(pid_of(connections))
    await asyncio.sleep(0)
    assert not waiting.done()
    for connection in lent:
        await connections.release(connection)
    async with asyncio.timeout(60):
        assert await waiting
        assert await pid_of(connections)


async def test_one_that_is_free_goes_to_whoever_has_waited_longest(connections: Connections) -> None:
    lent = [await connections.acquire() for _ in range(_MOST)]
    waiting = [asyncio.ensure_future(connections.acquire()) for _ in range(_MOST)]
    await asyncio.sleep(0)
    for connection in lent:
        await connections.release(connection)
    async with asyncio.timeout(60):
        handed = await asyncio.gather(*waiting)
    # The very same: the driver's pool would have wrapped them anew.
    assert all(one is other for one, other in zip(handed, lent, strict=True))
    for connection in handed:
        await connections.release(connection)


async def test_a_caller_that_gives_up_in_the_instant_of_its_turn_keeps_no_connection(connections: Connections) -> None:
    lent = [await connections.acquire() for _ in range(_MOST)]
    first, second = (asyncio.ensure_future(connections.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    await connections.release(lent[0])
    first.cancel()
    async with asyncio.timeout(60):
        assert await second is lent[0]
    assert first.cancelled()
    for connection in lent:
        await connections.release(connection)


async def test_a_caller_that_gives_up_earlier_is_passed_over(connections: Connections) -> None:
    lent = [await connections.acquire() for _ in range(_MOST)]
    first, second = (asyncio.ensure_future(connections.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await connections.release(lent[0])
    async with asyncio.timeout(60):
        assert await second is lent[0]
    for connection in lent:
        await connections.release(connection)


async def test_whoever_waits_gets_another_one_when_a_connection_is_lost(
    catalog_dsn: str, connections: Connections
) -> None:
    lent = [await connections.acquire() for _ in range(_MOST)]
    waiting = asyncio.ensure_future(pid_of(connections))
    closed = asyncio.Event()
    lent[0].add_termination_listener(lambda _: closed.set())
    lost = await lent[0].fetchval(_PID)
    await rows(catalog_dsn, "SELECT pg_terminate_backend($1)", lost)
    async with asyncio.timeout(60):
        await closed.wait()
        await connections.release(lent[0])
        assert await waiting != lost
    for connection in lent[1:]:
        await connections.release(connection)


async def test_whoever_waits_is_told_when_all_are_closed(catalog_dsn: str) -> None:
    connections = Connections(await asyncpg.create_pool(catalog_dsn, min_size=0, max_size=_MOST))
    lent = [await connections.acquire() for _ in range(_MOST)]
    waiting = asyncio.ensure_future(connections.acquire())
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(connections.close())
    async with asyncio.timeout(60):
        with pytest.raises(asyncpg.InterfaceError):
            await waiting
        for connection in lent:
            await connections.release(connection)
        await closing


async def test_a_connection_that_the_server_has_closed_is_replaced(catalog_dsn: str, connections: Connections) -> None:
    connection = await connections.acquire()
    before = await connection.fetchval(_PID)
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    await connections.release(connection)
    await rows(catalog_dsn, "SELECT pg_terminate_backend($1)", before)
    async with asyncio.timeout(60):
        await closed.wait()
        assert await pid_of(connections) != before


async def test_one_that_is_lost_in_the_instant_of_its_return_hinders_nobody(connections: Connections) -> None:
    connection = await connections.acquire()
    await connections.release(connection)
    # The driver returns connections in a task of its own; this comes before it, as a server that ends may.
    asyncio.get_running_loop().call_soon(connection.terminate)
    await connections.expire()
    assert await pid_of(connections)


async def test_none_is_used_again_that_was_there_when_they_expired(connections: Connections) -> None:
    idle, lent = await connections.acquire(), await connections.acquire()
    before = {await idle.fetchval(_PID), await lent.fetchval(_PID)}
    await connections.release(idle)
    await connections.expire()
    await connections.release(lent)
    assert not before & set(await asyncio.gather(*(pid_of(connections) for _ in range(_MOST))))


async def test_one_whose_statement_was_cancelled_serves_no_other_before_its_end(connections: Connections) -> None:
    slow = asyncio.ensure_future(pid_of(connections, "SELECT pg_backend_pid() FROM pg_sleep(600)"))
    await asyncio.sleep(0.05)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    async with asyncio.timeout(60):
        assert len(await asyncio.gather(*(pid_of(connections) for _ in range(2 * _MOST)))) == 2 * _MOST


async def test_an_error_of_a_statement_costs_no_connection(connections: Connections) -> None:
    before = await pid_of(connections)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pid_of(connections, "SELECT 1 / 0")
    assert await pid_of(connections) == before


async def test_closing_waits_for_the_statement_under_way(catalog_dsn: str) -> None:
    connections = Connections(await asyncpg.create_pool(catalog_dsn, min_size=0, max_size=_MOST))
    await pid_of(connections)
    lent = await connections.acquire()
    closing = asyncio.ensure_future(connections.close())
    await asyncio.sleep(0)
    assert await lent.fetchval("SELECT 7 FROM pg_sleep(0.05)") == 7
    await connections.release(lent)
    async with asyncio.timeout(60):
        await closing
    with pytest.raises(asyncpg.InterfaceError):
        await connections.acquire()
