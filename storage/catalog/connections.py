"""Connections at hand: taken out of the driver's pool once, and kept for the next statement unless something is wrong.

The driver's pool makes connections, bounds their number and closes them. To give one back to it costs a task, a shield
and a time limit for each statement; to put it here costs nothing. No SQL here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pooled = PoolConnectionProxy[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | Pooled
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pooled = Any
    Connection = Any
    Pool = Any

_LET_GO_S: Final = 1.0
"""How long a statement that nobody waits for any more may take to be cancelled; then its connection is closed."""


class Connections:
    """Lends the connections of a pool. Nobody else may take any out of it.

    Args:
        pool: of the driver.

    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._idle: list[Pooled] = []
        """The one used last is the next to be used."""
        self._lent: dict[Pooled, int] = {}
        """With the generation that each is of."""
        self._generation = 0
        """Rises when all that there are must not be used again."""
        self._waiting = 0
        """Callers that the pool has to serve."""
        self._closing = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def acquire(self) -> Pooled:
        """Lend a connection; errors of the driver. Obligation: `release`, or `let_go`."""
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection):
                self._lent[connection] = self._generation
                return connection
            await self._pool.release(connection)
        generation = self._generation
        self._waiting += 1
        try:
            connection = await self._pool.acquire()
        finally:
            self._waiting -= 1
        self._lent[connection] = generation
        return connection

    async def release(self, connection: Pooled) -> None:
        """Take a connection back whose statement has come to its end."""
        current = self._lent.pop(connection) == self._generation
        if current and not self._waiting and not self._closing:
            self._idle.append(connection)
        else:
            await self._pool.release(connection)

    def let_go(self, connection: Pooled) -> None:
        """Take a connection back whose statement is under way, and that nobody waits for any more.

        The driver cancels the statement by a connection of its own, to a server that may be slow or not there: when
        that takes too long, it closes the connection.
        """
        del self._lent[connection]
        task = asyncio.ensure_future(self._cancel(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _cancel(self, connection: Pooled) -> None:
        with suppress(Exception):
            await self._pool.release(connection, timeout=_LET_GO_S)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Pooled]:
        """Lend a connection for several statements, or one that is no named one; errors of the driver."""
        connection = await self.acquire()
        try:
            yield connection
        except (TimeoutError, asyncio.CancelledError):
            self.let_go(connection)
            raise
        except BaseException:
            await self.release(connection)
            raise
        await self.release(connection)

    async def expire(self) -> None:
        """Have every connection made anew before it is used again."""
        self._generation += 1
        await self._pool.expire_connections()
        await self._empty()

    async def close(self) -> None:
        """Close all connections once their statements have ended; errors of the driver."""
        self._closing = True
        await self._empty()
        await self._pool.close()

    def terminate(self) -> None:
        """Close all connections now."""
        self._closing = True
        self._pool.terminate()

    async def _empty(self) -> None:
        while self._idle:
            await self._pool.release(self._idle.pop())


def _is_open(connection: Pooled) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was closed from the other side, and the pool has taken it back by itself
