"""Brings a database to this program's schema: numbered migrations, each applied once, proved by checksum.

Migrations only go forward. A database that is newer than the program is accepted when connecting (the other host was
upgraded first) but never migrated.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import asyncpg

from storage.catalog.connection import translated
from storage.catalog.connections import Connection
from storage.errors import SchemaMismatch

_log = logging.getLogger(__name__)

# Any number will do, as long as every version of this program uses the same one.
LOCK: Final = 0x54414E44454D

FORMER: Final = {
    6: "96cc378e4f68964b75818fd35d9244c67b3ed31037202d61f45057432ab0347f",
    10: "6cb542f3741f29abe53907d8b2b1b4b4b9582a6e76d36a44b0b7e8c6428509fe",
    11: "bf98ba7614dc98eae15422ec04419ac3acc4290b865a1ab8d916a925e2fdbeb4",
    19: "6c616288cf35e82fb982889a6d2e7590d413587ee85e51abee5ffc0bc9939792",
}
"""Checksums that migrations had while they needed a superuser; 0031 brings the databases of both texts to the same."""

OLDEST: Final = 150000
"""`server_version_num` of the oldest PostgreSQL that the catalog was tried on."""

TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True, order=True)
class Migration:
    """One file of the `migrations` folder."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations() -> list[Migration]:
    """Return this program's migrations in order; a gap in the numbers is an error."""
    found = sorted(
        Migration(int(entry.name[:4]), entry.name[5:-4], entry.read_text("utf-8"))
        for entry in files("storage.catalog.migrations").iterdir()
        if entry.name.endswith(".sql")
    )
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaMismatch(f"the migration files are not numbered 1 to {len(found)}: the installation is damaged")
    return found


async def migrate(dsn: str, *, timeout_s: float = 30.0) -> int:
    """Apply what is missing, in one transaction; returns how many migrations were applied.

    Several hosts may call it at once: one works, the others wait and find nothing to do.
    """
    migrations = load_migrations()
    with translated():
        connection = await asyncpg.connect(dsn, timeout=timeout_s)
        try:
            if int(await connection.fetchval("SHOW server_version_num")) < OLDEST:
                version = await connection.fetchval("SHOW server_version")
                raise SchemaMismatch(f"PostgreSQL {version} is too old: {OLDEST // 10000} or newer is needed")
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await connection.execute(TABLE)
                pending = await _pending(connection, migrations)
                for migration in pending:
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                        *(migration.version, migration.name, migration.checksum),
                    )
                    _log.debug("migration applied", extra={"version": migration.version, "migration": migration.name})
        finally:
            await connection.close()
    if pending:
        _log.info("catalog migrated", extra={"migrations": len(pending), "version": pending[-1].version})
    return len(pending)


async def check_schema(connection: Connection) -> None:
    """Raise `SchemaMismatch` unless all migrations of this program are applied."""
    if not await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
        raise SchemaMismatch("the catalog database has no schema yet: start `recorder run`, which creates it")
    if pending := await _pending(connection, load_migrations()):
        raise SchemaMismatch(
            f"the catalog database lacks migration {pending[0].version} ({pending[0].name}): "
            "start the new version of `recorder run`, which applies it"
        )


async def _pending(connection: Connection, migrations: list[Migration]) -> list[Migration]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    applied: dict[int, str] = {row["version"]: row["checksum"] for row in rows}
    for migration in migrations:
        known = {migration.checksum, FORMER.get(migration.version)}
        if applied.get(migration.version, migration.checksum) not in known:
            raise SchemaMismatch(
                f"migration {migration.version} ({migration.name}) was applied with another text: "
                "the database belongs to a different build of this program"
            )
    return [migration for migration in migrations if migration.version not in applied]
