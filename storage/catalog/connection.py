"""Connections to PostgreSQL: how they are set up, how statements run, and how the driver's errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from storage.catalog.connections import Connection, Connections, Pooled
from storage.catalog.text import storable_json
from storage.errors import (
    AlreadyPublished,
    CatalogUnreachable,
    RecordingErased,
    StorageError,
    StorageLost,
    StorageMisused,
    UnderLegalHold,
)
from storage.priority import give_way

STALE_EPOCH: Final = "TD001"
PATH_TAKEN: Final = "TD002"
HELD: Final = "TD004"
DELETED: Final = "TD005"
"""SQLSTATEs that our own functions raise."""

# Classes and codes that mean "not now": connection, login refused, no such database (it is being restored), rolled back
# for another transaction, resources, operator intervention, a server that has become read-only because another one was
# promoted, and a lock that somebody holds for too long.
_AWAY_CLASSES: Final = ("08", "28", "3D", "40", "53", "57", "58")
_READ_ONLY: Final = "25006"
_LOCKED: Final = "55P03"
BACKGROUND_NICE: Final = 10
"""Not 19: a backend that holds what others wait for has to come to its end."""
_ASKED_AGAIN: Final = 10
_LATE_S: Final = 0.05
"""A timer that fires so late tells that this process was kept from its work; answers may lie unread meanwhile."""
T = TypeVar("T")


class LeaseLost(StorageLost):
    """The lease named in a statement has a newer holder; the caller knows which lease that was."""


# What the constraints mean, in the words of the person who calls.
_CONSTRAINTS: Final = {
    "segments_pkey": "the segment id is already used by another recording",
    "metadata_revisions_segment_fkey": "the segment does not exist",
    "audit_log_action_is_a_word": "the action is not a word of small letters, digits, dots and dashes",
    "gaps_segment_fkey": "a gap names a segment that does not exist",
    "gaps_duration_positive": "a gap has no duration",
    "gaps_start_not_negative": "a gap begins before the recording",
    "ledger_adds_up": "the ledger does not add up to the timeline",
    "recordings_duration_not_negative": "the duration is negative",
}


async def set_up(connection: Connection) -> None:
    """Prepare a new connection: jsonb travels as Python values."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="text", encoder=encode_json, decoder=msgspec.json.decode
    )


async def set_up_in_background(connection: Connection) -> None:
    """Prepare a new connection whose statements give way to those that clients wait for.

    The backend gets a lower CPU priority where it is a process of this machine; a server elsewhere is left alone.
    """
    await set_up(connection)
    if await connection.fetchval("SELECT inet_server_addr() IS NULL"):  # by Unix socket
        backend = connection.get_server_pid()
        for _ in range(_ASKED_AGAIN):
            if not _is_backend(backend) or give_way(backend, BACKGROUND_NICE):
                return
            await asyncio.sleep(0.1)


def _is_backend(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"postgres:")
    except OSError:
        # Gone already, or of another process namespace.
        return False


def encode_json(value: object) -> str:
    """Write a value of plain types as JSON that jsonb can hold; strange characters are escaped."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = b"\\u0000"
    # Rare, and then worth a second pass: NUL and lone surrogates have no form in jsonb.
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(storable_json(value))
    return encoded.decode()


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver into errors of this package."""
    try:
        yield
    except StorageError:
        raise
    except asyncpg.PostgresError as error:
        code = error.sqlstate or ""
        if code.startswith(_AWAY_CLASSES) or code in {_READ_ONLY, _LOCKED}:
            raise CatalogUnreachable(f"PostgreSQL cannot serve now ({code}): {error}") from error
        if code == STALE_EPOCH:
            raise LeaseLost from error
        if code == PATH_TAKEN:
            raise AlreadyPublished("a file has a path that another recording claims; nothing was published") from error
        if code == HELD:
            raise UnderLegalHold(f"{error}: nothing was removed") from error
        if code == DELETED:
            raise RecordingErased(f"{error}: nothing was changed") from error
        constraint = getattr(error, "constraint_name", None)
        if constraint in _CONSTRAINTS:
            raise StorageMisused(_CONSTRAINTS[constraint]) from error
        raise StorageMisused(f"PostgreSQL refused the statement ({code}): {error}") from error
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):  # the driver could not encode an argument
            raise StorageMisused(str(error)) from error
        raise CatalogUnreachable(f"the connection to PostgreSQL is gone: {error}") from error
    except asyncpg.InternalClientError as error:  # among others: no host of the DSN is the primary now
        raise CatalogUnreachable(f"no PostgreSQL of the DSN can be used: {error}") from error
    except (OSError, TimeoutError) as error:
        raise CatalogUnreachable(f"PostgreSQL cannot be reached: {error or type(error).__name__}") from error


class Database:
    """Connections and the named statements that run on them; every error is ours.

    Args:
        connections: their `command_timeout` bounds every statement.
        statements: by name.
        silence_s: a statement is given up earlier once the server has answered nobody for so long; None: it is not.

    """

    def __init__(self, connections: Connections, statements: dict[str, str], *, silence_s: float | None = None) -> None:
        self.connections = connections
        self.statements = statements
        self._silence_s = silence_s
        self._heard_at = 0.0
        """Loop time of the server's latest answer."""

    async def row(self, name: str, *arguments: Any) -> asyncpg.Record:
        """Run a statement that answers with one row."""
        found = await self.optional_row(name, *arguments)
        if found is None:
            raise CatalogUnreachable(f"PostgreSQL gave no answer to {name}")
        return found

    async def optional_row(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        """Run a statement that answers with one row or none."""
        with translated():
            try:
                return await self._on_a_connection(lambda one: one.fetchrow(self.statements[name], *arguments))
            except asyncpg.ReadOnlySQLTransactionError:
                # Another server has been promoted: connections made from now on look for it.
                await self.connections.expire()
                raise

    async def value(self, name: str, *arguments: Any) -> Any:
        """Run a statement that answers with one value."""
        return (await self.row(name, *arguments))[0]

    async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement that answers with any number of rows."""
        with translated():
            return await self._on_a_connection(lambda one: one.fetch(self.statements[name], *arguments))

    async def _on_a_connection(self, run: Callable[[Pooled], Awaitable[T]]) -> T:
        connection = await self.connections.acquire()
        try:
            result = await self._while_heard(run(connection), self._silence_s)
        except (TimeoutError, asyncio.CancelledError):
            # Whoever asked has waited long enough.
            self.connections.let_go(connection)
            raise
        except BaseException:
            await self.connections.release(connection)
            raise
        await self.connections.release(connection)
        return result

    async def _while_heard(self, statement: Awaitable[T], silence_s: float | None) -> T:
        """Wait for a statement while the server answers others; raises TimeoutError once it is silent for so long.

        A server that is only slow must not count as absent: a statement that is cancelled and made once more costs it
        twice, and its connection may have to be made anew.
        """
        if silence_s is None:
            return await statement
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = began + silence_s
        timer: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal due, timer
            now = loop.time()
            silent_until = max(began, self._heard_at) + silence_s
            if now < silent_until:
                due = silent_until
            elif now - due > _LATE_S:
                due = now + _LATE_S
            else:
                limit.reschedule(now)
                return
            timer = loop.call_at(due, look)

        async with asyncio.timeout(None) as limit:
            timer = loop.call_at(due, look)
            try:
                result = await statement
            finally:
                if timer:
                    timer.cancel()
        self._heard_at = loop.time()
        return result
