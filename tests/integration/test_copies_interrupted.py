"""Copies under every interruption: whatever dies at whichever step, what is left to do is done, once.

Seeded sequences over a real PostgreSQL and real files: copies begin, end and go on, curators look for candidates,
decide and heal, an operator splits and merges, and a curator dies before or after any of its calls to the catalog.
Afterwards the work is finished without deaths, and everything has to add up.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.connection import Database
from storage.catalog.copy_records import CopyState
from storage.catalog.records import (
    Role,
)
from storage.catalog.views import RecordingDetail, RecordingFilter
from tests.integration.copies_site import SECONDS, Site

pytestmark = pytest.mark.integration

STEPS: Final = 30


class Killed(Exception):
    """The curator is dead."""


class Mortal:
    """An object whose caller dies before or after one of its awaited calls."""

    def __init__(self, target: object, lives: list[int], after: bool) -> None:
        self._target = target
        self._lives = lives
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return Mortal(found, self._lives, self._after)

        async def call(*arguments: Any, **options: Any) -> Any:
            self._lives[0] -= 1
            if self._lives[0] == 0 and not self._after:
                raise Killed
            result = await found(*arguments, **options)
            if self._lives[0] == 0:
                raise Killed
            return result

        return call


async def interrupted(site: Site, what: Callable[[Catalog], Awaitable[object]]) -> None:
    """Let a curator do something, and die at a call of its own choice."""
    lives = [site.choice.randint(1, 14)]
    mortal = cast("Catalog", Mortal(site.catalog, lives, site.choice.random() < 0.5))
    try:
        await what(mortal)
    except Killed:
        return


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_dies_everything_adds_up_in_the_end(catalog: Catalog, tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    site = Site(catalog, tmp_path, await catalog.acquire_lease(), choice)
    for number in (1, 2):
        await site.begin(number)
    for _ in range(STEPS):
        match choice.choice(["begin", "end", "end", "seek", "seek", "work", "work", "work", "rule"]):
            case "begin" if closed := [number for number in range(1, 5) if number not in site.open]:
                await site.begin(choice.choice(closed))
            case "end" if site.open:
                await site.end(choice.choice(sorted(site.open)))
            case "seek":
                await interrupted(site, site.seek)
            case "work":
                # A lease of no length: a dead curator's job is free at once.
                await interrupted(site, lambda mortal: site.work(mortal, 0.0))
            case "rule" if len(site.ids) > 2 and choice.random() < 0.3:
                await site.rule(choice.choice([CopyState.REJECTED, CopyState.CONFIRMED]))
    for number in sorted(site.open):
        await site.end(number)
    await site.seek(catalog)
    while await site.work(catalog, 60.0):
        pass
    await assert_it_adds_up(site)


async def assert_it_adds_up(site: Site) -> None:
    entries = {
        entry.recording_id: entry
        for entry in await site.catalog.list_recordings(RecordingFilter(copies=True, limit=1000))
    }
    assert [job for job in await site.catalog.list_jobs() if job.kind in {"pair", "heal"}] == []
    own = set(site.ids.values())
    assert own <= set(entries)
    refused = {both for both, state in site.ruled.items() if state is CopyState.REJECTED}
    standing: dict[UUID, set[int]] = {}
    for number, recording_id in site.ids.items():
        entry = entries[recording_id]
        assert (entry.role is Role.COPY) == (entry.master_id is not None)
        if entry.master_id:
            assert entries[entry.master_id].role is Role.MASTER
            standing.setdefault(entry.master_id, set()).add(number)
    for master, copies in standing.items():
        # One master for a set, healed from its copies as they are now, and never over a refusal.
        assert not any(both <= copies for both in refused)
        assert len(copies) > 1
        sources = (await site.catalog.copies.sources([master]))[master]
        present = {site.ids[number]: await sha256_of(site, site.ids[number]) for number in copies}
        assert {source.recording_id: source.sha256 for source in sources} == present
        # Each copy lacks a stretch that the others have: nothing is missing.
        assert entries[master].gaps == ()
        assert entries[master].duration_s == pytest.approx(SECONDS)
    if not refused:
        assert len(site.ids) == 1 or [len(copies) for copies in standing.values()] == [len(site.ids)]
    masters = {entry.recording_id for entry in entries.values() if entry.role is Role.MASTER}
    assert masters == set(standing)
    await assert_no_file_is_lost_or_left_over(site, set(entries))


async def assert_no_file_is_lost_or_left_over(site: Site, recordings: set[UUID]) -> None:
    claimed = set()
    for recording_id in recordings:
        detail = await site.catalog.get_recording(recording_id)
        assert isinstance(detail, RecordingDetail)
        claimed |= {file.path for file in detail.files}
    there = {path.relative_to(site.store.root).as_posix() for path in site.store.root.rglob("*.wav")}
    # On their way out: the catalog knows them, and other jobs remove them.
    async with site.catalog._database.connections.lent() as connection:
        known = await connection.fetch("SELECT path FROM intended_files UNION SELECT path FROM doomed_files")
    there -= {row["path"] for row in known} - claimed
    # What a copy's former version left behind is the finaliser's, which this test plays without cleaning up.
    former = {path for path in there - claimed if any(one.hex in path for one in site.ids.values())}
    assert claimed <= there
    assert there - claimed - former == set()


async def sha256_of(site: Site, recording_id: UUID) -> bytes | None:
    audio = await site.catalog.copies.audio(recording_id)
    return audio.sha256 if audio else None


async def test_a_copy_that_joins_while_its_group_is_read_is_in_it_whole_or_not_at_all(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(catalog, tmp_path, await catalog.acquire_lease(), random.Random(1))
    for number in (1, 2):
        await site.begin(number)
    await site.seek(catalog)
    group_id = await catalog.copies.group_of(site.ids[1])
    assert group_id
    read = Database.rows

    async def joined_in_between(database: Database, name: str, *arguments: Any) -> list[asyncpg.Record]:
        if name == "pairs_of":
            monkeypatch.setattr(Database, "rows", read)
            await site.begin(3)
            await site.seek(catalog)
        return await read(database, name, *arguments)

    monkeypatch.setattr(Database, "rows", joined_in_between)
    group = await catalog.copies.group(group_id)
    assert 3 in site.ids
    assert group
    members = {member.recording_id for member in group.members}
    assert {one for pair in group.pairs for one in (pair.one, pair.other)} == members == {site.ids[1], site.ids[2]}
    group = await catalog.copies.group(group_id)
    assert group
    assert len(group.members) == len(group.pairs) == 3
