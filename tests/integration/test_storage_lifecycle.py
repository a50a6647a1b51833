"""Any order of events on a recording leaves the catalog consistent: nothing is forgotten, nothing is claimed twice.

Frontends open, continue, close and are replaced; curators claim, die, publish what they saw, fail. After each step of
a random walk the invariants are read back from a real PostgreSQL. A failure names its seed and its steps.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from uuid import UUID

import asyncpg
import msgspec
import pytest

from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob, JobFate, RecordingSegments, SegmentOpening
from storage.errors import StaleEpoch
from tests.integration.storage_samples import closing, opening, rendered

pytestmark = pytest.mark.integration

STEPS = 80

INVARIANTS = {
    "a recording is `recording` exactly while a segment is open": """
        SELECT r.id FROM recordings r WHERE (r.state = 'recording') <> EXISTS (
            SELECT FROM segments s WHERE s.recording_id = r.id AND s.state = 'open')""",
    "a recording that is not finished has somebody who finishes it": """
        SELECT r.id FROM recordings r WHERE r.state = 'finalising' AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state IN ('queued', 'running'))""",
    "a failed recording has a dead job": """
        SELECT r.id FROM recordings r WHERE r.state = 'failed' AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state = 'dead')""",
    "ordinals are 1, 2, 3 ...": """
        SELECT recording_id FROM segments GROUP BY recording_id
        HAVING min(ordinal) <> 1 OR max(ordinal) <> count(*) OR count(DISTINCT ordinal) <> count(*)""",
    "a finished recording has rendered all its segments": """
        SELECT r.id FROM recordings r JOIN segments s ON s.recording_id = r.id
        WHERE r.state IN ('complete', 'interrupted', 'no-media') AND s.state <> 'finalised'""",
    "a finished recording has its file, and each file a finished rendering": """
        SELECT r.id FROM recordings r WHERE r.state = 'complete' AND NOT EXISTS (
            SELECT FROM files f WHERE f.recording_id = r.id AND r.finalised_at IS NOT NULL)""",
    "an open segment has a live dialog": """
        SELECT s.id FROM segments s WHERE s.state = 'open' AND NOT EXISTS (
            SELECT FROM dialogs d WHERE d.segment_id = s.id AND d.ended_at IS NULL)""",
    "a live dialog has an open segment": """
        SELECT d.dialog_id FROM dialogs d WHERE d.ended_at IS NULL AND NOT EXISTS (
            SELECT FROM segments s WHERE s.id = d.segment_id AND s.state = 'open')""",
    "a finished recording leaves no dead job": """
        SELECT r.id FROM recordings r JOIN jobs j ON j.dedupe_key = 'finalise:' || r.id
        WHERE r.state = 'complete' AND j.state = 'dead'""",
    "a job is held by one worker": """
        SELECT id FROM jobs WHERE (state = 'running') <> (locked_by IS NOT NULL)""",
}


class Walk:
    """The actors, with what each of them believes."""

    def __init__(self, catalog: Catalog, database: asyncpg.Connection[asyncpg.Record], seed: int) -> None:
        self.catalog = catalog
        self.database = database
        self.choice = random.Random(seed)
        self.epoch = 0
        self.sessions: list[SegmentOpening] = []
        self.live: list[SegmentOpening] = []
        self.claimed: list[tuple[ClaimedJob, RecordingSegments]] = []
        self.held: dict[int, int] = {}
        """The latest lock of each job: whoever has an older one must be refused."""
        self.steps: list[str] = []

    async def step(self) -> None:
        names = [
            "open",
            "repeat_opening",
            "close",
            "close",
            "repeat_closing",
            "record",
            "record",
            "take_over",
            "stale_write",
            "claim",
            "claim_and_die",
        ]
        names += ["publish", "publish", "fail", "give_up", "late_death", "time_passes", "operator_retries"]
        name = self.choice.choice(names)
        self.steps.append(name)
        await getattr(self, name)()

    async def open(self) -> SegmentOpening:
        sample = opening(self.choice.choice(["A", "B"]), epoch=self.epoch)
        await self.catalog.open_segment(sample)
        self.sessions.append(sample)
        self.live.append(sample)
        return sample

    async def repeat_opening(self) -> None:
        if self.sessions:
            session = self.choice.choice(self.sessions)
            await self.catalog.open_segment(msgspec.structs.replace(session, epoch=self.epoch))

    async def close(self) -> None:
        if self.live:
            await self._close(self.live.pop())

    async def repeat_closing(self) -> None:
        if closed := [session for session in self.sessions if session not in self.live]:
            await self._close(self.choice.choice(closed))

    async def record(self) -> None:
        await self.open()
        await self.close()

    async def take_over(self) -> None:
        self.epoch = await self.catalog.acquire_lease()

    async def stale_write(self) -> None:
        with pytest.raises(StaleEpoch):
            await self.catalog.open_segment(opening("A", epoch=self.epoch - 1))

    async def claim(self, lease_s: float = 60.0) -> None:
        job = await self.catalog.claim_job("curator", lease_s=lease_s)
        if job is None:
            return
        self.held[job.job_id] = job.lock
        seen = await self.catalog.recording_segments(UUID(str(job.payload["recording_id"])))
        assert seen is not None
        self.claimed.append((job, seen))

    async def claim_and_die(self) -> None:
        await self.claim(lease_s=0.0)

    async def late_death(self) -> None:
        await self.database.execute("UPDATE jobs SET locked_until = now() WHERE state = 'running'")

    async def publish(self) -> None:
        if not self.claimed:
            return
        job, seen = self._take()
        result = rendered(seen.recording_id, opening(seen.record_identifier))
        segments = tuple(segment.segment_id for segment in seen.segments)
        publication = await self.catalog.publish(
            dataclasses.replace(result, segment_ids=segments, gaps=(), streams=()), job=job
        )
        lost = self.held.get(job.job_id) != job.lock
        assert (publication.refused == "job-lost") == lost
        if publication.refused is None:
            del self.held[job.job_id]
        else:
            assert await self.catalog.complete_job(job) is not lost

    async def fail(self, *, retry: bool = True) -> None:
        if self.claimed:
            job, _ = self._take()
            fate = await self.catalog.fail_job(job, "broken", retry=retry)
            assert (fate is JobFate.LOST) == (self.held.get(job.job_id) != job.lock)

    async def give_up(self) -> None:
        await self.fail(retry=False)

    async def time_passes(self) -> None:
        await self.database.execute("UPDATE jobs SET run_after = now() WHERE state = 'queued'")

    async def operator_retries(self) -> None:
        for job in await self.catalog.list_jobs(state="dead"):
            assert await self.catalog.retry_job(job.job_id)

    async def check(self) -> None:
        for sentence, query in INVARIANTS.items():
            assert await self.database.fetch(query) == [], (sentence, self.steps)

    def _take(self) -> tuple[ClaimedJob, RecordingSegments]:
        return self.claimed.pop(self.choice.randrange(len(self.claimed)))

    async def _close(self, session: SegmentOpening) -> None:
        current = msgspec.structs.replace(session, epoch=self.epoch)
        await self.catalog.close_segment(closing(current, interrupted=self.choice.random() < 0.3))


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_events_leaves_the_catalog_consistent(catalog: Catalog, catalog_dsn: str, seed: int) -> None:
    database = await asyncpg.connect(catalog_dsn)
    try:
        walk = Walk(catalog, database, seed)
        await walk.take_over()
        for _ in range(STEPS):
            await walk.step()
            await walk.check()
        assert len(walk.sessions) > 5
        assert len(set(walk.steps)) > 12
    finally:
        await database.close()


async def test_when_everybody_keeps_working_everything_gets_finished(catalog: Catalog, catalog_dsn: str) -> None:
    database = await asyncpg.connect(catalog_dsn)
    try:
        walk = Walk(catalog, database, seed=99)
        await walk.take_over()
        for _ in range(STEPS):
            await walk.step()
        while walk.live:
            await walk.close()
        for _ in range(2 * STEPS):
            await walk.operator_retries()
            await walk.late_death()
            await walk.time_passes()
            await walk.claim()
            await walk.publish()
        states = await database.fetch("SELECT DISTINCT state FROM recordings")
        assert [row["state"] for row in states] == ["complete"]
        assert {job.kind for job in await catalog.list_jobs()} <= {"manifest"}
        assert await catalog.load_dialogs() == []
    finally:
        await database.close()


async def test_everybody_at_once_neither_blocks_nor_breaks_anything(catalog: Catalog, catalog_dsn: str) -> None:
    """Locks are taken in one order: a deadlock would show as `CatalogUnreachable` here."""
    epoch = await catalog.acquire_lease()

    async def frontend(number: int) -> None:
        for _ in range(25):
            sample = opening(f"CALL{number % 2}", epoch=epoch)
            await catalog.open_segment(sample)
            await catalog.close_segment(closing(sample))

    async def curator(number: int) -> None:
        choice = random.Random(number)
        for _ in range(25):
            job = await catalog.claim_job(f"curator-{number}", lease_s=choice.choice([0.0, 60.0]))
            if job is None:
                continue
            seen = await catalog.recording_segments(UUID(str(job.payload["recording_id"])))
            assert seen is not None
            segments = tuple(segment.segment_id for segment in seen.segments)
            result = rendered(seen.recording_id, opening(seen.record_identifier))
            if choice.random() < 0.4:
                await catalog.fail_job(job, "broken", retry=choice.random() < 0.5)
            elif (
                await catalog.publish(dataclasses.replace(result, segment_ids=segments, gaps=(), streams=()), job=job)
            ).refused:
                await catalog.complete_job(job)

    async def operator() -> None:
        for _ in range(25):
            for job in await catalog.list_jobs(state="dead"):
                await catalog.retry_job(job.job_id)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(frontend(number))
            group.create_task(curator(number))
        group.create_task(operator())
    database = await asyncpg.connect(catalog_dsn)
    try:
        for sentence, query in INVARIANTS.items():
            assert await database.fetch(query) == [], sentence
        assert await database.fetchval("SELECT count(*) FROM segments") == 100
    finally:
        await database.close()
