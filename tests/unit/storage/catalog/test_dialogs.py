"""Snapshots of dialogs that wait for each other's statement."""

from __future__ import annotations

import asyncio
from typing import cast
from uuid import UUID

import pytest

from storage.catalog.connection import Database
from storage.catalog.dialogs import DialogWrites
from storage.catalog.records import DialogCheckpoint
from storage.errors import CatalogUnreachable


class Silent:
    """As much of a `Database` as takes statements: it answers none, until it counts as away."""

    def __init__(self) -> None:
        self.asked = 0
        self.busy, self.away = asyncio.Event(), asyncio.Event()

    async def rows(self, *_: object) -> list[object]:
        self.asked += 1
        self.busy.set()
        await self.away.wait()
        raise CatalogUnreachable("silent")


def checkpoint(dialog: str) -> DialogCheckpoint:
    return DialogCheckpoint(epoch=1, dialog_id=dialog, segment_id=UUID(int=1), writer="writer-1", snapshot=b"state")


async def test_what_waits_behind_a_statement_that_finds_the_catalog_away_is_not_asked_of_it_again() -> None:
    database, told = Silent(), []
    writes = DialogWrites(cast("Database", database))

    async def save(name: str) -> None:
        with pytest.raises(CatalogUnreachable):
            await writes.save(checkpoint(name))
        told.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(save("first"))
        await database.busy.wait()
        group.create_task(save("second"))
        group.create_task(save("third"))
        await asyncio.sleep(0)  # both wait
        database.away.set()
    assert (told, database.asked) == (["first", "second", "third"], 1)
    await save("later")
    assert database.asked == 2
