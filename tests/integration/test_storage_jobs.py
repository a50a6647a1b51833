"""The job queue on a real PostgreSQL: each job is done by one worker at a time, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob, JobFate, RecordingState
from storage.catalog.views import RecordingDetail
from storage.errors import StorageMisused
from tests.integration.storage_samples import closing, opening

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(catalog_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(catalog_dsn)
    yield connection
    await connection.close()


async def close_one(catalog: Catalog, identifier: str = "CALL0001") -> str:
    """Record and close a session; returns the recording's id."""
    epoch = await catalog.acquire_lease()
    sample = opening(identifier, epoch=epoch)
    opened = await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample))
    return str(opened.recording_id)


async def claim(catalog: Catalog, worker: str = "curator-1", *, lease_s: float = 60.0) -> ClaimedJob:
    job = await catalog.claim_job(worker, lease_s=lease_s)
    assert job is not None
    return job


async def state_of(catalog: Catalog, recording: str) -> RecordingState:
    found = await catalog.get_recording(recording)
    assert isinstance(found, RecordingDetail)
    return found.summary.state


async def test_a_claimed_job_is_not_claimed_again(catalog: Catalog) -> None:
    recording = await close_one(catalog)
    job = await claim(catalog)
    assert (job.kind, job.payload, job.attempt, job.worker) == ("finalise", {"recording_id": recording}, 1, "curator-1")
    assert await catalog.claim_job("curator-2") is None


async def test_other_kinds_are_left_alone(catalog: Catalog) -> None:
    await close_one(catalog)
    assert await catalog.claim_job("curator-1", kinds=("upload",)) is None


async def test_jobs_are_taken_in_the_order_in_which_they_became_due(catalog: Catalog) -> None:
    recordings = [await close_one(catalog, f"CALL{number}") for number in range(3)]
    assert [(await claim(catalog)).payload["recording_id"] for _ in recordings] == recordings


async def test_many_workers_share_the_queue_without_meeting(catalog: Catalog) -> None:
    recordings = {await close_one(catalog, f"CALL{number}") for number in range(12)}
    jobs = await asyncio.gather(*(claim(catalog, f"curator-{number}") for number in range(12)))
    assert {job.payload["recording_id"] for job in jobs} == recordings


async def test_a_completed_job_is_gone(catalog: Catalog) -> None:
    await close_one(catalog)
    job = await claim(catalog)
    assert await catalog.complete_job(job) is True
    assert await catalog.complete_job(job) is False
    assert await catalog.list_jobs() == []


async def test_a_job_whose_worker_died_is_taken_over(catalog: Catalog) -> None:
    await close_one(catalog)
    dead = await claim(catalog, lease_s=0.0)
    taken = await claim(catalog, "curator-2")
    assert (taken.job_id, taken.attempt) == (dead.job_id, 2)
    assert taken.lock > dead.lock


async def test_a_worker_that_wakes_up_late_can_do_nothing_to_the_job(catalog: Catalog) -> None:
    await close_one(catalog)
    frozen = await claim(catalog, lease_s=0.0)
    taken = await claim(catalog, "curator-2")
    assert await catalog.beat_job(frozen) is False
    assert await catalog.complete_job(frozen) is False
    assert await catalog.fail_job(frozen, "late") is JobFate.LOST
    assert await catalog.beat_job(taken) is True


async def test_the_same_worker_restarted_is_told_apart_by_its_lock(catalog: Catalog) -> None:
    """A restarted process may have the name of its predecessor."""
    await close_one(catalog)
    before = await claim(catalog, lease_s=0.0)
    after = await claim(catalog)
    assert await catalog.complete_job(before) is False
    assert await catalog.complete_job(after) is True


async def test_a_beating_worker_keeps_its_job(catalog: Catalog) -> None:
    await close_one(catalog)
    job = await claim(catalog, lease_s=0.0)
    assert await catalog.beat_job(job, lease_s=60) is True
    assert await catalog.claim_job("curator-2") is None


async def test_a_failed_job_comes_back_later(catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]) -> None:
    await close_one(catalog)
    job = await claim(catalog)
    before = await database.fetchval("SELECT now()")
    assert await catalog.fail_job(job, "capture is locked\0") is JobFate.RETRY
    assert await catalog.claim_job("curator-1") is None
    (waiting,) = await catalog.list_jobs(state="queued")
    assert waiting.last_error is not None
    assert waiting.last_error.startswith("capture is locked")
    delay = "SELECT extract(epoch FROM run_after - $1)::float FROM jobs"
    assert await database.fetchval(delay, before) > 1.0
    assert await database.fetchval(delay, await database.fetchval("SELECT now()")) <= 2.5
    await database.execute("UPDATE jobs SET run_after = now()")
    assert (await claim(catalog)).attempt == 2


async def test_the_back_off_grows_to_a_quarter_of_an_hour(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await close_one(catalog)
    await database.execute("UPDATE jobs SET max_attempts = 100, attempts = 50")
    await catalog.fail_job(await claim(catalog), "still broken")
    delay = await database.fetchval("SELECT extract(epoch FROM run_after - now())::float FROM jobs")
    assert 650 < delay <= 1125


async def test_used_up_attempts_lead_to_the_dead_letter_list(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    recording = await close_one(catalog)
    fates = []
    for _ in range(8):
        await database.execute("UPDATE jobs SET run_after = now()")
        fates.append(await catalog.fail_job(await claim(catalog), "broken"))
    assert fates == [JobFate.RETRY] * 7 + [JobFate.DEAD]
    (dead,) = await catalog.list_jobs(state="dead")
    assert (dead.attempts, dead.last_error) == (8, "broken")
    assert await state_of(catalog, recording) is RecordingState.FAILED


async def test_ages_of_jobs_are_told(catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]) -> None:
    await close_one(catalog)
    await database.execute(
        "UPDATE jobs SET created_at = now() - interval '2 hours', run_after = now() + interval '1 hour'"
    )
    (waiting,) = await catalog.list_jobs()
    assert waiting.running_s is None
    assert waiting.age_s == pytest.approx(7200, abs=600)
    assert waiting.due_in_s == pytest.approx(3600, abs=600)
    assert (await catalog.workload()).due == 0
    await database.execute("UPDATE jobs SET run_after = now() - interval '1 hour'")
    before = await catalog.workload()
    assert (before.queued, before.due, before.running, before.dead, before.open_segments) == (1, 1, 0, 0, 0)
    assert before.oldest_due_s == pytest.approx(3600, abs=600)
    await claim(catalog)
    await database.execute("UPDATE jobs SET claimed_at = claimed_at - interval '5 minutes'")
    (running,) = await catalog.list_jobs()
    assert running.due_in_s is None
    assert running.running_s == pytest.approx(300, abs=60)
    workload = await catalog.workload()
    assert (workload.queued, workload.running, workload.oldest_due_s) == (0, 1, None)
    assert workload.longest_running_s == pytest.approx(300, abs=60)


async def test_a_job_that_cannot_succeed_is_buried_at_once(catalog: Catalog) -> None:
    recording = await close_one(catalog)
    assert await catalog.fail_job(await claim(catalog), "no capture", retry=False) is JobFate.DEAD
    assert await state_of(catalog, recording) is RecordingState.FAILED


async def test_a_job_that_kills_its_workers_is_buried(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    recording = await close_one(catalog)
    await database.execute("UPDATE jobs SET attempts = max_attempts - 1")
    await claim(catalog, lease_s=0.0)
    assert await catalog.claim_job("curator-2") is None
    (dead,) = await catalog.list_jobs(state="dead")
    assert dead.last_error == "abandoned by curator-1 in attempt 8"
    assert await state_of(catalog, recording) is RecordingState.FAILED


async def test_a_failure_of_what_was_asked_for_again_is_not_the_end(catalog: Catalog) -> None:
    """The input has changed since: the failure says nothing about it."""
    recording = await close_one(catalog)
    job = await claim(catalog)
    await close_one(catalog)
    assert await catalog.fail_job(job, "no capture", retry=False) is JobFate.RETRY
    (waiting,) = await catalog.list_jobs()
    assert (waiting.state, waiting.attempts) == ("queued", 0)
    assert await state_of(catalog, recording) is RecordingState.FINALISING


async def test_a_failing_job_and_a_closing_segment_cannot_deadlock(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Both need the recording and its job; they lock them in the same order."""
    recording = await close_one(catalog)
    job = await claim(catalog)
    async with database.transaction():
        await database.execute("SELECT FROM recordings WHERE id = $1 FOR UPDATE", recording)
        failing = asyncio.ensure_future(catalog.fail_job(job, "broken", retry=False))
        done, _ = await asyncio.wait([failing], timeout=0.2)
        assert not done
        await database.execute("SET LOCAL lock_timeout = '1s'")
        await database.execute("UPDATE jobs SET again = true WHERE id = $1", job.job_id)
    assert await failing is JobFate.RETRY


async def test_a_dead_job_can_be_retried(catalog: Catalog) -> None:
    recording = await close_one(catalog)
    job = await claim(catalog)
    await catalog.fail_job(job, "no capture", retry=False)
    assert await catalog.retry_job(job.job_id) is True
    assert await catalog.retry_job(job.job_id) is False
    assert await state_of(catalog, recording) is RecordingState.FINALISING
    assert (await claim(catalog)).attempt == 1


async def test_a_job_asked_for_while_it_runs_runs_once_more(catalog: Catalog) -> None:
    """A segment that closes while its recording is being rendered must not be forgotten."""
    await close_one(catalog)
    job = await claim(catalog)
    await close_one(catalog)
    assert await catalog.claim_job("curator-2") is None
    assert await catalog.complete_job(job) is True
    again = await claim(catalog, "curator-2")
    assert again.attempt == 1
    assert await catalog.complete_job(again) is True
    assert await catalog.list_jobs() == []


async def test_a_recording_has_one_unfinished_job(catalog: Catalog) -> None:
    await close_one(catalog)
    await close_one(catalog)
    assert len(await catalog.list_jobs()) == 1


async def test_finalising_can_be_ordered_again(catalog: Catalog) -> None:
    epoch = await catalog.acquire_lease()
    sample = opening(epoch=epoch)
    opened = await catalog.open_segment(sample)
    assert await catalog.enqueue_finalise(opened.recording_id) is False
    await catalog.close_segment(closing(sample))
    await catalog.complete_job(await claim(catalog))
    assert await catalog.enqueue_finalise(opened.recording_id) is True
    assert (await claim(catalog)).payload == {"recording_id": str(opened.recording_id)}
    with pytest.raises(StorageMisused, match="does not exist"):
        await catalog.enqueue_finalise(sample.segment_id)


async def test_a_waiting_worker_is_woken(catalog: Catalog) -> None:
    assert await catalog.wait_for_job(10.0) is True, "the first wait looks at what was queued while nobody listened"
    waiting = asyncio.ensure_future(catalog.wait_for_job(10.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await close_one(catalog)
    assert await waiting is True


async def test_waiting_ends_with_its_time(catalog: Catalog) -> None:
    await catalog.wait_for_job(10.0)
    assert await catalog.wait_for_job(0.05) is False


async def test_a_listener_that_lost_its_connection_listens_again(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await catalog.wait_for_job(10.0)
    terminated = await database.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    assert terminated == 1
    assert await catalog.wait_for_job(10.0) is True, "the loss itself wakes the worker: it may have missed something"
    while await catalog.wait_for_job(0.2):
        pass  # the new connection wakes it once more, for the same reason
    waiting = asyncio.ensure_future(catalog.wait_for_job(10.0))
    await close_one(catalog)
    assert await waiting is True


async def test_a_long_queue_is_not_sorted_for_each_claim(
    catalog: Catalog, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Before the first analyze PostgreSQL takes the queue for a short one, and sorts all of it."""
    await database.execute(
        "INSERT INTO jobs (kind, dedupe_key, payload)"
        " SELECT 'finalise', 'finalise:' || n, '{}' FROM generate_series(1, 5000) AS n"
    )
    await database.execute("SET enable_sort = off")
    plan = await database.fetch(
        "EXPLAIN SELECT * FROM jobs WHERE state = 'queued' AND run_after <= now() AND kind = ANY (ARRAY['finalise'])"
        " ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    text = "\n".join(row[0] for row in plan)
    assert "jobs_queued_idx" in text
    assert "Sort" not in text
