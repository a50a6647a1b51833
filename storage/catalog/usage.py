"""How much is stored: files by store, kind and day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from storage.catalog.connection import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBytes:
    """Files of one kind in one store."""

    store: str
    kind: str
    files: int
    size_bytes: int
    day: date | None = None
    """UTC day of publication; None for all days together."""


class Usage:
    """Usage of one catalog's stores; use it as `Catalog.usage`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def total(self) -> list[StoredBytes]:
        """Return all files by store and kind."""
        return [StoredBytes(**dict(row)) for row in await self._database.rows("usage_total")]

    async def by_day(self, since: datetime) -> list[StoredBytes]:
        """Return what was published since a time, by day, store and kind."""
        return [StoredBytes(**dict(row)) for row in await self._database.rows("usage_by_day", since)]
