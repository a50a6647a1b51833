"""A real PostgreSQL for the whole session, a fresh migrated database for each test that asks; senders of RTP."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from storage.catalog import Catalog, migrate
from storage.cli.context import CliContext
from storage.postgres import EmbeddedPostgres
from tests.integration.media_writer_kit import Sender
from tests.integration.storage_desk import Desk

_numbers = itertools.count(1)

TEMPLATE = "migrated_template"


def dsn_of(server: EmbeddedPostgres, database: str) -> str:
    """The server's DSN, pointing at another database."""
    return server.dsn.replace("/tandem?", f"/{database}?")


async def _start(server: EmbeddedPostgres) -> None:
    await server.start()
    connection = await asyncpg.connect(dsn_of(server, "postgres"))
    try:
        # The tests kill processes, not machines; dropping a database would otherwise wait for the disk each time.
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    finally:
        await connection.close()
    await migrate(dsn_of(server, TEMPLATE))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for the session. Its event loop outlives the tests', because the server is a child of that loop."""
    root: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(root / "data")
    with asyncio.Runner() as runner:
        runner.run(_start(server))
        try:
            yield server
        finally:
            runner.run(server.stop())
            shutil.rmtree(root)


async def _database(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(dsn_of(server, "postgres"))
    try:
        # FILE_COPY makes a checkpoint each time; WAL_LOG is the faster one for small templates.
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        yield dsn_of(server, name)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        with suppress(asyncpg.InterfaceError, OSError):
            await connection.close()


@pytest.fixture
async def empty_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database without any table."""
    async for dsn in _database(postgres_server, "template0"):
        yield dsn


@pytest.fixture
async def catalog_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh database with the catalog's schema."""
    async for dsn in _database(postgres_server, TEMPLATE):
        yield dsn


@pytest.fixture
async def catalog(catalog_dsn: str) -> AsyncIterator[Catalog]:
    """A catalog in a fresh database."""
    async with await Catalog.connect(catalog_dsn) as connected:
        yield connected


@pytest.fixture
async def epoch(catalog: Catalog) -> int:
    """The epoch of a frontend that has just taken the lease of the catalog."""
    return await catalog.acquire_lease(holder="frontend-a")


@pytest.fixture
def desk(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> Desk:
    """A storage administrator's desk over a fresh catalog."""
    return Desk(catalog, CliContext(dsn=catalog_dsn, files_root=tmp_path / "recordings", state_dir=tmp_path))


@pytest.fixture
def senders() -> Iterator[Callable[..., Sender]]:
    made: list[Sender] = []

    def make(**changes: object) -> Sender:
        made.append(Sender(**changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sender in made:
        sender.close()
