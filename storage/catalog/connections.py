"""Connections at hand: taken out of the driver's pool once, and kept for the next statement unless something is wrong.

The driver's pool makes connections, bounds their number and closes them. To give one back to it costs a task, a shield
and a time limit for each statement; to put it here, or to hand it to whoever waits, costs nothing. No SQL here.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._taken = 0
        """Connections that the pool has given us, is about to give, or has not got back yet."""
        self._waiting: deque[asyncio.Future[Pooled | None]] = deque()
        """Callers for whom the pool has none; they get one that is free, or None to look again."""
        self._closing = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def acquire(self) -> Pooled:
        """Lend a connection; errors of the driver. Obligation: `release`, or `let_go`."""
        while True:
            while self._idle:
                connection = self._idle.pop()
                if _is_open(connection):
                    self._lent[connection] = self._generation
                    return connection
                await self._give_back(connection)
            if self._closing or self._taken < self._pool.get_max_size():
                return await self._take()
            handed = await self._next_free()
            if handed is not None:
                return handed

    async def release(self, connection: Pooled) -> None:
        """Take a connection back whose statement has come to its end."""
        current = self._lent.pop(connection) == self._generation
        if current and not self._closing and _is_open(connection):
            self._put(connection)
        else:
            await self._give_back(connection)

    def _put(self, connection: Pooled) -> None:
        """Hand a connection that is as good as new to the one who has waited longest, or keep it at hand."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._lent[connection] = self._generation
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    async def _take(self) -> Pooled:
        """Get a connection from the pool, which has one, or room for one."""
        generation = self._generation
        self._taken += 1
        try:
            connection = await self._pool.acquire()
        except BaseException:
            self._one_less()
            raise
        self._lent[connection] = generation
        return connection

    async def _give_back(self, connection: Pooled, *, limit_s: float | None = None) -> None:
        """Return a connection to the pool, which closes it or lends it again."""
        try:
            await self._pool.release(connection, timeout=limit_s)
        except asyncpg.InternalClientError:
            # The server closed it in the same instant: the pool took it back by itself before it came to our call.
            if _is_open(connection):
                raise
        finally:
            self._one_less()

    def _one_less(self) -> None:
        self._taken -= 1
        self._let_look()

    def _let_look(self, *, everybody: bool = False) -> None:
        """Let whoever has waited longest look again, or everybody."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not everybody:
                    return

    async def _next_free(self) -> Pooled | None:
        """Wait for a connection that another caller releases; None: there may be room in the pool."""
        waiter: asyncio.Future[Pooled | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # It came in the same instant: the next one gets it.
                connection = waiter.result()
                if connection is None:
                    self._let_look()
                else:
                    del self._lent[connection]
                    self._put(connection)
            raise

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
            await self._give_back(connection, limit_s=_LET_GO_S)

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
        self._let_look(everybody=True)
        await self._empty()
        await self._pool.close()

    def terminate(self) -> None:
        """Close all connections now."""
        self._closing = True
        self._let_look(everybody=True)
        self._pool.terminate()

    async def _empty(self) -> None:
        while self._idle:
            await self._give_back(self._idle.pop())


def _is_open(connection: Pooled) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was closed from the other side, and the pool has taken it back by itself
