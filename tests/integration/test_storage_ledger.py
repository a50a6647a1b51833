"""The ledger in a real catalog: it adds up or is refused, and totals are the sum of what was published."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger, account
from storage.catalog.records import RecordingState, RenderedRecording
from storage.errors import StorageMisused
from tests.integration.storage_samples import START, closing, opening, rendered

pytestmark = pytest.mark.integration

RECORDED, LOST, PAUSED = LedgerKind.RECORDED, LedgerKind.LOST, LedgerKind.PAUSED


def ledger(party: int = 0, *, lost: int = 320, cause: str = "network", frames: int = 476_000) -> PartyLedger:
    """Recorded, but for one interval."""
    return account(
        party,
        8000,
        frames,
        [
            LedgerInterval(0, frames, RECORDED, "received", "segment 1"),
            LedgerInterval(28_000, 28_000 + lost, LOST, cause, "segment 1"),
        ],
    )


async def published(
    catalog: Catalog, identifier: str, *parties: PartyLedger, days: int = 0, **changes: Any
) -> RenderedRecording:
    """A recording of that many days later, finalised with this ledger."""
    at = START + timedelta(days=days)
    sample = opening(identifier, epoch=await catalog.acquire_lease(), at=at)
    opened = await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample))
    result = dataclasses.replace(rendered(opened.recording_id, sample), ledger=parties, **changes)
    assert (await catalog.publish(result)).refused is None
    return result


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def totals(dsn: str) -> list[tuple[Any, ...]]:
    """Totals as they are kept; rows that only hold zeros are none."""
    return await rows(
        dsn,
        "SELECT day::text, kind, cause, frames, intervals, recordings FROM completeness_days"
        " WHERE recordings <> 0 OR frames <> 0 OR intervals <> 0 ORDER BY 1, 2, 3",
    )


async def recomputed(dsn: str) -> list[tuple[Any, ...]]:
    """The same from the ledgers."""
    return await rows(
        dsn,
        "SELECT (r.started_at AT TIME ZONE 'UTC')::date::text, kind, cause, sum(end_frame - start_frame)::bigint,"
        " count(*), count(DISTINCT recording_id) FROM ledger_intervals i JOIN recordings r ON r.id = i.recording_id"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )


async def test_the_ledger_is_kept_interval_by_interval(catalog: Catalog, catalog_dsn: str) -> None:
    await published(catalog, "A", ledger(0), ledger(1, cause="kernel-drop"))
    assert await rows(
        catalog_dsn,
        "SELECT party, start_frame, end_frame, start_s, duration_s, kind, cause, source FROM ledger_intervals"
        " WHERE party = 1 ORDER BY position",
    ) == [
        (1, 0, 28_000, 0.0, 3.5, "recorded", "received", "segment 1"),
        (1, 28_000, 28_320, 3.5, 0.04, "lost", "kernel-drop", "segment 1"),
        (1, 28_320, 476_000, 3.54, 55.96, "recorded", "received", "segment 1"),
    ]
    assert await rows(catalog_dsn, "SELECT lost_s FROM recordings") == [(0.08,)]


@pytest.mark.parametrize(
    "damage",
    [
        "frames = frames + 1",
        "lost = lost + 1",
        "lost = lost + 1, recorded = recorded - 1",
        "ends = '{10, 5, 476000}'",
        "ends = '{28000, 476000}'",
        "facts = '{1, 2, 3}'",
        "facts = '{1, NULL, 1}'",
        "kinds = '{recorded, mislaid}'",
        "causes = '{received}'",
        "ends = '{}', facts = '{}'",
    ],
)
async def test_the_database_itself_refuses_what_does_not_add_up(
    catalog: Catalog, catalog_dsn: str, damage: str
) -> None:
    await published(catalog, "A", ledger())
    with pytest.raises(asyncpg.CheckViolationError):
        await rows(catalog_dsn, f"UPDATE ledger SET {damage}")


async def test_a_publication_with_a_bad_ledger_leaves_nothing(catalog: Catalog, catalog_dsn: str) -> None:
    good = ledger()
    bad = dataclasses.replace(good)
    object.__setattr__(bad, "frames", 476_001)
    with pytest.raises(StorageMisused, match="add up"):
        await published(catalog, "A", bad)
    assert await rows(catalog_dsn, "SELECT state, duration_s FROM recordings") == [("finalising", None)]
    assert await rows(catalog_dsn, "SELECT 1 FROM files") == []


async def test_finalising_again_counts_once(catalog: Catalog, catalog_dsn: str) -> None:
    first = await published(catalog, "A", ledger(0), ledger(1))
    before = await totals(catalog_dsn)
    assert ("2026-11-22", "lost", "network", 640, 2, 1) in before
    for _ in range(3):
        assert (await catalog.publish(first)).refused is None
    assert await totals(catalog_dsn) == before
    again = dataclasses.replace(first, ledger=(ledger(0, lost=800, cause="writer-failover"),))
    await catalog.publish(again)
    assert await totals(catalog_dsn) == [
        ("2026-11-22", "lost", "writer-failover", 800, 1, 1),
        ("2026-11-22", "recorded", "received", 475_200, 2, 1),
    ]


async def test_a_recording_whose_day_state_or_agent_changes_moves(catalog: Catalog, catalog_dsn: str) -> None:
    first = await published(catalog, "A", ledger())
    moved = dataclasses.replace(
        first, started_at=first.started_at + timedelta(days=1), state=RecordingState.INTERRUPTED
    )
    await catalog.publish(moved)
    assert await rows(
        catalog_dsn, "SELECT day::text, state, recordings, milliseconds, size_bytes FROM recording_days ORDER BY day"
    ) == [
        ("2026-11-22", "complete", 0, 0, 0),
        ("2026-11-23", "interrupted", 1, 59_500, 952_058),
    ]
    assert {day for day, *_ in await totals(catalog_dsn)} == {"2026-11-23"}


async def test_a_recording_without_media_is_counted_with_the_length_of_its_session(
    catalog: Catalog, catalog_dsn: str
) -> None:
    await published(
        catalog, "A", state=RecordingState.NO_MEDIA, duration_s=0.0, files=(), gaps=(), streams=(), started_at=START
    )
    assert await rows(catalog_dsn, "SELECT state, recordings, milliseconds, size_bytes FROM recording_days") == [
        ("no-media", 1, 60_000, 0)
    ]


async def test_a_copy_can_keep_its_ledger_without_being_counted(catalog: Catalog, catalog_dsn: str) -> None:
    result = await published(catalog, "A", ledger())
    await catalog.write_ledger(result.recording_id, result.ledger, counted=False)
    assert await totals(catalog_dsn) == []
    assert await rows(catalog_dsn, "SELECT party, lost FROM ledger") == [(0, 320)]
    await catalog.write_ledger(result.recording_id, result.ledger)
    assert await totals(catalog_dsn) == await recomputed(catalog_dsn)


async def test_totals_outlive_the_recording(catalog: Catalog, catalog_dsn: str) -> None:
    await published(catalog, "A", ledger())
    before = await totals(catalog_dsn)
    for table in ("gaps", "files", "segments"):
        await rows(catalog_dsn, f"DELETE FROM {table}")
    await rows(catalog_dsn, "DELETE FROM recordings")
    assert await totals(catalog_dsn) == before
    assert await rows(catalog_dsn, "SELECT 1 FROM ledger") == []


async def test_curators_side_by_side_never_wait_for_each_other(catalog: Catalog, catalog_dsn: str) -> None:
    """Many at once on the same days and causes, in every order: no deadlock, and the totals are exact."""
    choice = random.Random(7)
    causes = ["network", "kernel-drop", "writer-failover", "no-session"]
    results = [
        await published(catalog, f"C{number}", ledger(0, cause=choice.choice(causes)), days=number % 2)
        for number in range(8)
    ]

    async def curator(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(12):
            result = own.choice(results)
            parties = tuple(
                ledger(party, lost=own.randint(1, 9000), cause=own.choice(causes)) for party in range(own.randint(1, 2))
            )
            days = timedelta(days=own.randint(0, 2))
            await catalog.publish(dataclasses.replace(result, ledger=parties, started_at=result.started_at + days))

    await asyncio.gather(*(curator(seed) for seed in range(6)))
    assert await totals(catalog_dsn) == await recomputed(catalog_dsn)
