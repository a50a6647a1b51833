"""Fills an empty, migrated catalog with recordings as a large site has them, as fast as PostgreSQL takes them.

Rows come in chunks by several connections; indexes, keys and foreign keys are taken off before and made anew from the
catalog's own definitions after, so that what is measured afterwards is what a migration makes.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

TABLES: Final = ("recordings", "segments", "recording_search", "gaps")
_CHUNK: Final = 50_000
_SETTINGS: Final = (
    "synchronous_commit = off",
    "session_replication_role = replica",
    "work_mem = '128MB'",
    "maintenance_work_mem = '512MB'",
)
_INDEXES: Final = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid
WHERE t.relname = ANY ($1) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
ORDER BY c.relname
"""
_CONSTRAINTS: Final = """
SELECT c.conname AS name, c.conrelid::regclass::text AS on_table, pg_get_constraintdef(c.oid) AS definition
FROM pg_constraint c
WHERE (c.contype IN ('p', 'u') AND c.conrelid = ANY ($1::text[]::regclass[]))
    OR (c.contype = 'f' AND (c.conrelid = ANY ($1::text[]::regclass[]) OR c.confrelid = ANY ($1::text[]::regclass[])))
ORDER BY c.contype IN ('p', 'u'), c.conname
"""
"""Foreign keys first: as they have to be taken off."""


class _Step(NamedTuple):
    name: str
    drop: str
    make: str


async def fill(dsn: str, rows: int) -> None:
    """Fill the catalog, and say what is done."""
    connection = await _connect(dsn)
    try:
        steps = await _steps(connection)
        for step in steps:
            await connection.execute(step.drop)
        await connection.execute(
            "SELECT ensure_search_month_v1(m) FROM"
            " generate_series(timestamptz '2024-12-01 00:00+00', '2026-12-01 00:00+00', '1 month') AS m"
        )
        await _insert(dsn, rows)
        for number, step in enumerate(reversed(steps), 1):
            await _timed(f"index or key {number} of {len(steps)}, {step.name}", connection, step.make)
        await _timed("totals", connection, _script("totals", ROWS=rows))
        await _timed("vacuum analyze", connection, "VACUUM ANALYZE")
    finally:
        await connection.close()


async def _insert(dsn: str, rows: int) -> None:
    """Insert all chunks, a connection for each processor."""
    chunks = iter(range(1, rows + 1, _CHUNK))
    began, done = time.monotonic(), 0

    async def work() -> None:
        nonlocal done
        connection = await _connect(dsn)
        try:
            for first in chunks:
                last = min(first + _CHUNK - 1, rows)
                await connection.execute("SELECT setseed($1)", first % 9973 / 9973)
                await connection.execute(_script("chunk", ROWS=rows, FIRST=first, LAST=last), timeout=3600)
                done += last - first + 1
                if done * 20 // rows > (done - _CHUNK) * 20 // rows:
                    print(f"  {done:,} of {rows:,} recordings, {time.monotonic() - began:.0f} s", flush=True)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(os.cpu_count() or 1, 4)):
            group.create_task(work())


async def _steps(connection: asyncpg.Connection[asyncpg.Record]) -> list[_Step]:
    """Return how indexes and keys are taken off, in this order, and how each is made again, in the other one."""
    return [
        *(
            _Step(row["name"], f"DROP INDEX {row['name']}", row["definition"].replace(" ON ONLY ", " ON "))
            for row in await connection.fetch(_INDEXES, list(TABLES))
        ),
        *(
            _Step(
                row["name"],
                f"ALTER TABLE {row['on_table']} DROP CONSTRAINT {row['name']}",
                f"ALTER TABLE {row['on_table']} ADD CONSTRAINT {row['name']} {row['definition']}",
            )
            for row in await connection.fetch(_CONSTRAINTS, list(TABLES))
        ),
    ]


def _script(name: str, **values: int) -> str:
    text = Path(__file__).with_name(f"{name}.sql").read_text("utf-8")
    for key, value in values.items():
        text = text.replace(f"${key}", str(value))
    return text


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(dsn)
    for setting in _SETTINGS:
        await connection.execute(f"SET {setting}")
    return connection


async def _timed(what: str, connection: asyncpg.Connection[asyncpg.Record], statements: str) -> None:
    before = time.monotonic()
    await connection.execute(statements, timeout=3600)
    if (taken := time.monotonic() - before) > 1:
        print(f"  {what}: {taken:.0f} s", flush=True)
