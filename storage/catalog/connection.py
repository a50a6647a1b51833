"""Connections to PostgreSQL: how they are set up, and how the driver's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from storage.catalog.text import storable_json
from storage.errors import CatalogUnreachable, StorageError, StorageMisused

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    type_of_row = asyncpg.Record
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = Any
    Pool = Any

STALE_EPOCH: Final = "TD001"
PATH_TAKEN: Final = "TD002"
"""SQLSTATEs that our own functions raise."""

# Classes and codes that mean "not now": connection, operator intervention, resources, and a server that has become
# read-only because another one was promoted.
_AWAY_CLASSES: Final = ("08", "53", "57", "58")
_READ_ONLY: Final = "25006"

# What the constraints mean, in the words of the person who calls.
_CONSTRAINTS: Final = {
    "segments_pkey": "the segment id is already used by another recording",
    "metadata_revisions_segment_fkey": "the segment does not exist",
    "sip_messages_segment_fkey": "the segment does not exist",
    "gaps_segment_fkey": "a gap names a segment that does not exist",
    "gaps_duration_positive": "a gap has no duration",
    "gaps_start_not_negative": "a gap begins before the recording",
    "recordings_duration_not_negative": "the duration is negative",
}


async def set_up(connection: Connection) -> None:
    """Prepare a new connection: jsonb travels as Python values."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="text", encoder=encode_json, decoder=msgspec.json.decode
    )


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
        if code.startswith(_AWAY_CLASSES) or code == _READ_ONLY:
            raise CatalogUnreachable(f"PostgreSQL cannot serve now ({code}): {error}") from error
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
