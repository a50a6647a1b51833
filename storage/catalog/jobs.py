"""The job queue over PostgreSQL: claim with a lease, beat, complete, fail with back-off, dead letters.

The rules live in SQL (`migrations/0002_jobs.sql`); this is the asyncio side. It runs no job and owns no task: the
curator's loop calls `claim`, works, and waits with `wait`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.connections import Connection
from storage.catalog.records import ClaimedJob, JobFate
from storage.catalog.text import storable
from storage.catalog.views import JobView, Workload

CHANNEL = "tandem_jobs"


class JobQueue:
    """Jobs of one catalog; use it through `Catalog`."""

    def __init__(self, database: Database, dsn: str, *, timeout_s: float) -> None:
        self._database = database
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._listener: Connection | None = None
        self._woken = asyncio.Event()

    async def aclose(self) -> None:
        """Close the listening connection."""
        if self._listener is not None:
            self._listener.terminate()
            self._listener = None

    async def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> ClaimedJob | None:
        """Take the job that is due longest, or one that its worker has abandoned."""
        row = await self._database.optional_row("claim_job", worker, list(kinds), timedelta(seconds=lease_s))
        if row is None:
            return None
        return ClaimedJob(
            job_id=row["id"],
            kind=row["kind"],
            payload=row["payload"],
            attempt=row["attempts"],
            worker=worker,
            lock=row["claims"],
            locked_until=row["locked_until"],
        )

    async def beat(self, job: ClaimedJob, lease_s: float) -> bool:
        """Prolong a claim; False when it is no longer ours."""
        return bool(
            await self._database.value("beat_job", job.job_id, job.worker, job.lock, timedelta(seconds=lease_s))
        )

    async def complete(self, job: ClaimedJob) -> bool:
        """Finish a job; False when it is no longer ours."""
        return bool(await self._database.value("complete_job", job.job_id, job.worker, job.lock))

    async def fail(self, job: ClaimedJob, error: str, *, retry: bool) -> JobFate:
        """Give a job back, or bury it."""
        return JobFate(
            await self._database.value("fail_job", job.job_id, job.worker, job.lock, storable(error)[:2000], retry)
        )

    async def retry(self, job_id: int) -> bool:
        """Queue a dead job again; False when it is not dead."""
        return bool(await self._database.value("retry_job", job_id))

    async def list(self, state: str | None, limit: int) -> list[JobView]:
        """Return unfinished and dead jobs, oldest first."""
        rows = await self._database.rows("list_jobs", state, limit)
        return [JobView(**row) for row in rows]

    async def workload(self, lease: str) -> Workload:
        """Return what is being recorded, what waits, and who has the lease."""
        return Workload(**await self._database.row("workload", lease))

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a notification since the last call, or for the time-out; polling goes on when PostgreSQL is away."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._listen()
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _listen(self) -> None:
        """Open the listening connection if there is none; without one, wait for the caller's time-out."""
        while self._listener is None or self._listener.is_closed():
            try:
                self._listener = await asyncpg.connect(self._dsn, timeout=self._timeout_s)
                await self._listener.add_listener(CHANNEL, self._notified)
                self._listener.add_termination_listener(self._notified)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self.aclose()
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                await self.aclose()  # half set up; the next wait begins anew
                raise
            else:
                self._woken.set()  # whatever was queued while nobody listened

    def _notified(self, *_: object) -> None:
        self._woken.set()
