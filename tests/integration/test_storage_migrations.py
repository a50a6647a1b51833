"""Migrations on a real PostgreSQL: applied once, by one host, and their sum is the documented schema."""

from __future__ import annotations

import asyncio
import re
import sys
from importlib.resources import files

import asyncpg
import pytest

from storage.catalog import Catalog, migrate
from storage.catalog.migrate import FORMER, load_migrations
from storage.errors import CatalogUnreachable, SchemaMismatch
from storage.postgres.server import find_binaries

pytestmark = pytest.mark.integration


async def dump(dsn: str) -> list[str]:
    """The schema as pg_dump writes it, without the table of migrations, comments and names of NOT NULL constraints.

    PostgreSQL 18 has such names; a table that took the place of another one has a number in them.
    """
    process = await asyncio.create_subprocess_exec(
        *(find_binaries() / "pg_dump", "--schema-only", "--no-owner", "--exclude-table=schema_migrations", dsn),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    text = re.sub(r" CONSTRAINT \w+_not_null\d* NOT NULL", " NOT NULL", output.decode())
    # \restrict carries a random key.
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_schema_is_the_sum_of_the_migrations(empty_dsn: str, catalog_dsn: str) -> None:
    await execute(empty_dsn, files("storage.catalog").joinpath("schema.sql").read_text("utf-8"))
    migrated = await dump(catalog_dsn)
    assert len(migrated) > 300
    assert await dump(empty_dsn) == migrated


async def test_a_migrated_database_needs_nothing_more(empty_dsn: str) -> None:
    assert await migrate(empty_dsn) == len(load_migrations())
    assert await migrate(empty_dsn) == 0


async def test_hosts_that_start_together_migrate_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_dsn) for _ in range(5)))
    assert sorted(applied) == [0, 0, 0, 0, len(load_migrations())]


async def test_a_migration_that_fails_leaves_nothing(empty_dsn: str) -> None:
    await execute(empty_dsn, "CREATE TABLE segments ()")
    with pytest.raises(Exception, match="already exists"):
        await migrate(empty_dsn)
    connection = await asyncpg.connect(empty_dsn)
    try:
        assert await connection.fetchval("SELECT to_regclass('leases')") is None
        assert await connection.fetchval("SELECT to_regclass('schema_migrations')") is None
    finally:
        await connection.close()


async def test_an_edited_migration_is_refused(catalog_dsn: str) -> None:
    await execute(catalog_dsn, "UPDATE schema_migrations SET checksum = 'other' WHERE version = 2")
    with pytest.raises(SchemaMismatch, match="migration 2"):
        await migrate(catalog_dsn)
    with pytest.raises(SchemaMismatch, match="migration 2"):
        await Catalog.connect(catalog_dsn)


async def test_an_ordinary_role_that_owns_the_database_suffices(empty_dsn: str) -> None:
    """As administrators of a site give it: no superuser, nothing granted by hand."""
    database = empty_dsn.rpartition("/")[2].partition("?")[0]
    await execute(empty_dsn, f"CREATE ROLE ordinary LOGIN; ALTER DATABASE {database} OWNER TO ordinary")
    try:
        own = empty_dsn.replace("://tandem@", "://ordinary@")
        assert await migrate(own) == len(load_migrations())
        async with await Catalog.connect(own) as catalog:
            assert await catalog.acquire_lease() == 1
    finally:
        await execute(empty_dsn, "REASSIGN OWNED BY ordinary TO tandem; DROP OWNED BY ordinary; DROP ROLE ordinary")


async def test_a_database_of_the_texts_that_needed_a_superuser_goes_on(catalog_dsn: str) -> None:
    for version, checksum in FORMER.items():
        await execute(catalog_dsn, f"UPDATE schema_migrations SET checksum = '{checksum}' WHERE version = {version}")
    assert await migrate(catalog_dsn) == 0


async def test_a_postgresql_that_is_too_old_is_told(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["storage.catalog.migrate"], "OLDEST", 990000)
    with pytest.raises(SchemaMismatch, match=r"PostgreSQL 1\d\.\d+.* is too old: 99 or newer"):
        await migrate(empty_dsn)


async def test_a_missing_migration_is_named(catalog_dsn: str) -> None:
    last = load_migrations()[-1]
    await execute(catalog_dsn, f"DELETE FROM schema_migrations WHERE version = {last.version}")
    with pytest.raises(SchemaMismatch, match=f"lacks migration {last.version} .{last.name}."):
        await Catalog.connect(catalog_dsn)


async def test_a_newer_database_is_accepted(catalog_dsn: str) -> None:
    """The other host was upgraded first; its migrations keep the functions that we call."""
    await execute(catalog_dsn, "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'future', 'x')")
    assert await migrate(catalog_dsn) == 0
    async with await Catalog.connect(catalog_dsn) as catalog:
        assert await catalog.acquire_lease() == 1


async def test_no_server_is_unreachable() -> None:
    with pytest.raises(CatalogUnreachable):
        await migrate("postgresql://tandem@/tandem?host=/nonexistent")
