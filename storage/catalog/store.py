"""The catalog over PostgreSQL: every write of frontend and curator is one statement, guarded by epoch or state.

It does not decide anything about calls, and it never waits between two statements of a transaction: a frozen client
can therefore hold no lock. The frontend's writes are in `storage.catalog.sessions`, reading for people in
`storage.catalog.reading`, jobs in `storage.catalog.jobs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from storage.catalog import reading, search, traces
from storage.catalog.audit import AuditLog
from storage.catalog.captures import Captures
from storage.catalog.connection import Database, set_up, set_up_in_background, translated
from storage.catalog.connections import Connections
from storage.catalog.copies import Copies
from storage.catalog.deletions import Deletions
from storage.catalog.file_lives import FileLives
from storage.catalog.holds import Holds
from storage.catalog.imports import Imports
from storage.catalog.jobs import JobQueue
from storage.catalog.ledger import PartyLedger
from storage.catalog.migrate import check_schema
from storage.catalog.persons import Persons
from storage.catalog.records import (
    FINALISE,
    FRONTEND_LEASE,
    ClaimedJob,
    JobFate,
    Publication,
    PublicationRefusal,
    RecordingSegments,
    RenderedFile,
    RenderedGap,
    RenderedRecording,
    RenderedStream,
)
from storage.catalog.redactions import Redactions
from storage.catalog.reports import Reports
from storage.catalog.retention import Retention
from storage.catalog.sessions import SessionWrites
from storage.catalog.sites import Sites
from storage.catalog.sql import load_statements
from storage.catalog.text import storable
from storage.catalog.usage import Usage
from storage.catalog.views import (
    Ambiguous,
    JobView,
    MetadataView,
    RecordingDetail,
    RecordingFilter,
    RecordingSummary,
    TracedMessage,
    Workload,
)
from storage.errors import StorageMisused

_FOR_PEOPLE: Final = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # What is searched is in memory, or on a disk without arms: else a page is looked for row by row where an index of
    # terms would tell.
    "random_page_cost": "1.1",
    # A page of a search is looked up in a few milliseconds; starting workers for it takes ten times as long.
    "max_parallel_workers_per_gather": "0",
}

_FOR_SERVICES: Final = {
    # Their statements are planned once and kept, the first time perhaps while the tables are empty: to read all of a
    # table is the best way then, and costs more with each call until PostgreSQL has counted the table.
    "enable_seqscan": "off",
}


class Catalog(SessionWrites):
    """Connections to the catalog database.

    Errors: `StaleEpoch` when the lease has a newer holder, `CatalogUnreachable` when PostgreSQL is away (repeat the
    call with the same arguments: it takes effect once), `StorageMisused` for wrong arguments.
    """

    def __init__(self, connections: Connections, dsn: str, *, timeout_s: float, silence_s: float | None = None) -> None:
        super().__init__(Database(connections, _statements(), silence_s=silence_s))
        self.audit = AuditLog(self._database)
        """Who did what, and why."""
        self.files = FileLives(self._database)
        """What files there are besides those of results, and what becomes of them."""
        self._jobs = JobQueue(self._database, dsn, timeout_s=timeout_s)
        self.holds = Holds(self._database)
        self.captures = Captures(self._database)
        self.persons = Persons(self._database)
        self.redactions = Redactions(self._database)
        self.usage = Usage(self._database)
        self.reports = Reports(self._database)
        self.deletions = Deletions(self._database)
        self.imports = Imports(self._database)
        self.copies = Copies(self._database)
        """What is known of copies of one call."""
        self.retention = Retention(self._database, self.holds, self.deletions)
        self.sites = Sites(self._database)
        """The lease between hosts, and their register."""

    @classmethod
    async def expect(
        cls,
        dsn: str,
        *,
        max_size: int = 8,
        timeout_s: float = 5.0,
        silence_s: float | None = None,
        lock_s: float | None = None,
        application: str = "tandem",
    ) -> Self:
        """Return a catalog that connects when it is used; until the database answers, each call says that it is away.

        `timeout_s` bounds every statement, and connecting unless `silence_s` is given: that bounds connecting, and a
        statement as well while the server answers no other one. `lock_s` bounds the time in which a statement waits for
        what somebody else has locked.

        Obligation: somebody else makes sure that the schema is this program's.
        """
        with translated():
            try:
                connections = await _connections(
                    dsn,
                    min_size=0,
                    max_size=max_size,
                    timeout_s=timeout_s,
                    connect_s=timeout_s if silence_s is None else silence_s,
                    application=application,
                    lock_s=lock_s,
                )
            except ValueError as error:
                raise StorageMisused(f"the DSN of the catalog cannot be used: {error}") from error
        return cls(connections, dsn, timeout_s=timeout_s, silence_s=silence_s)

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        timeout_s: float = 5.0,
        application: str = "tandem",
        for_people: bool = False,
        background: bool = False,
    ) -> Self:
        """Open the pool and check that the migrations of this program are applied.

        `timeout_s` bounds connecting and every statement. `for_people` plans each search for its own values: worth it
        for listings, too slow for what is written before a 200. `background`: statements give way to those that clients
        wait for. Call `close` afterwards, or use `async with`.
        """
        with translated():
            try:
                connections = await _connections(
                    dsn,
                    min_size=min_size,
                    max_size=max_size,
                    timeout_s=timeout_s,
                    connect_s=timeout_s,
                    application=application,
                    for_people=for_people,
                    background=background,
                )
            except ValueError as error:
                raise StorageMisused(f"the DSN of the catalog cannot be used: {error}") from error
            try:
                async with connections.lent() as connection:
                    await check_schema(connection)
            except BaseException:
                connections.terminate()
                raise
        return cls(connections, dsn, timeout_s=timeout_s)

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Close all connections; statements under way may finish within the given seconds."""
        await self._jobs.aclose()
        try:
            await asyncio.wait_for(self._database.connections.close(), timeout_s)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            # Too slow, or a server that ends at the same moment: nothing waits for these connections any more.
            self._database.connections.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # Curator: guarded by the job's lock and the recording's state.

    async def claim_job(
        self, worker: str, *, kinds: Sequence[str] = (FINALISE,), lease_s: float = 60.0
    ) -> ClaimedJob | None:
        """Take the oldest job that is due, also one whose worker has stopped beating; None when there is none."""
        return await self._jobs.claim(worker, kinds, lease_s)

    async def wait_for_job(self, timeout_s: float) -> bool:
        """Wait until a job may be due or the time has passed; False on time-out. Poll with it."""
        return await self._jobs.wait(timeout_s)

    async def beat_job(self, job: ClaimedJob, *, lease_s: float = 60.0) -> bool:
        """Keep a job; False when another worker has it since: stop working on it."""
        return await self._jobs.beat(job, lease_s)

    async def complete_job(self, job: ClaimedJob) -> bool:
        """Finish a job; False when another worker has it since."""
        return await self._jobs.complete(job)

    async def fail_job(self, job: ClaimedJob, error: str, *, retry: bool = True) -> JobFate:
        """Give a job back with back-off, or to the dead letter list once its attempts are used up.

        A dead finalise job leaves its recording in state `failed`.
        """
        return await self._jobs.fail(job, error, retry=retry)

    async def retry_job(self, job_id: int) -> bool:
        """Queue a dead job again, with all its attempts; False when it is not dead."""
        return await self._jobs.retry(job_id)

    async def list_jobs(self, *, state: str | None = None, limit: int = 1000) -> list[JobView]:
        """Return unfinished and dead jobs, oldest first."""
        return await self._jobs.list(state, limit)

    async def workload(self, lease: str = FRONTEND_LEASE) -> Workload:
        """Return what is being recorded, what waits and what is stuck, and who has a lease since when."""
        return await self._jobs.workload(lease)

    async def enqueue_finalise(self, recording_id: UUID) -> bool:
        """Queue the finalise job of a recording without open segments (again); False when it has one open."""
        queued = await self._database.value("enqueue_finalise", recording_id)
        if queued is None:
            raise StorageMisused(f"recording {recording_id} does not exist")
        return bool(queued)

    async def recording_segments(self, recording_id: UUID) -> RecordingSegments | None:
        """Return what the rendering of a recording starts from; None for an unknown one."""
        return await reading.recording_segments(self._database, recording_id)

    async def publish(self, rendered: RenderedRecording, *, job: ClaimedJob | None = None) -> Publication:
        """Replace the result of a recording in one transaction: files, gaps, ledger, quality, duration, state, totals.

        Idempotent. With `job`, the claim is checked and the job completed in the same transaction. Obligation: remove
        the superseded files afterwards.
        """
        claim = (None, None, None) if job is None else (job.job_id, job.worker, job.lock)
        row = await self._database.row(
            "publish",
            rendered.recording_id,
            rendered.segment_ids,
            rendered.state.value,
            rendered.started_at,
            rendered.duration_s,
            [{**_shallow(file), "sha256": file.sha256.hex()} for file in rendered.files],
            [_shallow(gap) for gap in rendered.gaps],
            [_shallow(stream) for stream in rendered.streams],
            rendered.warnings,
            *claim,
            [party.stored() for party in rendered.ledger],
        )
        return Publication(
            refused=PublicationRefusal(row["refused"]) if row["refused"] else None,
            superseded=tuple((store, path) for store, path in row["superseded"]),
        )

    async def write_ledger(self, recording_id: UUID, parties: Sequence[PartyLedger], *, counted: bool = True) -> None:
        """Replace the ledger of a recording and count it anew. Idempotent; `publish` does it by itself.

        Args:
            recording_id: of an existing recording.
            parties: see `storage.catalog.ledger.account`.
            counted: False keeps the ledger but takes the recording out of the totals: a copy whose master is counted.

        """
        stored = [party.stored() for party in parties]
        if not await self._database.value("write_ledger", recording_id, stored, counted):
            raise StorageMisused(f"recording {recording_id} does not exist")

    # Reading.

    async def list_recordings(self, wanted: RecordingFilter) -> list[RecordingSummary]:
        """Return the newest matching recordings, newest first, with their gaps."""
        return await reading.list_recordings(self._database, wanted)

    async def index_pending(self) -> int:
        """Make recordings that changed findable by their terms; returns how many entries were done. Idempotent."""
        return await search.index_pending(self._database)

    async def annotate(
        self, recording_id: UUID, pairs: Sequence[tuple[str, str]], *, by: str, reason: str = ""
    ) -> int | None:
        """Add (name, value) pairs to a recording; what was received, or annotated before, stays as it is.

        Returns how many were not there yet, None for an unknown recording.
        """
        names, values = [storable(name) for name, _ in pairs], [storable(value) for _, value in pairs]
        count = await self._database.value("annotate", recording_id, names, values, storable(reason), storable(by))
        return None if count is None else int(count)

    async def get_recording(self, reference: str | UUID) -> RecordingDetail | Ambiguous | None:
        """Find one recording by id, unique beginning of its id (4 characters or more) or record identifier."""
        return await reading.get_recording(self._database, reference)

    async def read_metadata(self, recording_id: UUID) -> tuple[MetadataView, ...]:
        """Return the metadata documents of a recording, by time; empty when none came."""
        return tuple(MetadataView(**row) for row in await self._database.rows("metadata_of", recording_id))

    async def read_trace(self, recording_id: UUID) -> tuple[TracedMessage, ...]:
        """Return the SIP messages of a recording, by segment and time; empty when none were kept."""
        return await traces.read_trace(self._database, recording_id)


def _shallow(record: RenderedFile | RenderedGap | RenderedStream) -> dict[str, Any]:
    """Return the fields of a record as they are; `dataclasses.asdict` copies all that is in them."""
    return {field: getattr(record, field) for field in record.__slots__}


async def _connections(
    dsn: str,
    *,
    min_size: int,
    max_size: int,
    timeout_s: float,
    connect_s: float,
    application: str,
    lock_s: float | None = None,
    for_people: bool = False,
    background: bool = False,
) -> Connections:
    pool = await asyncpg.create_pool(
        dsn,
        init_size=min_size,
        # No floor: what the driver makes of itself while a server steps down would be of the wrong server.
        min_size=0,
        max_size=max_size,
        timeout=connect_s,
        command_timeout=timeout_s,
        max_inactive_connection_lifetime=0,
        reset=_leave_as_is,
        init=set_up_in_background if background else set_up,
        server_settings={
            "application_name": application,
            **({} if lock_s is None else {"lock_timeout": f"{lock_s * 1000:.0f}ms"}),
            **(_FOR_PEOPLE if for_people else _FOR_SERVICES),
        },
    )
    return Connections(pool)


async def _leave_as_is(_: object) -> None:
    """Our statements leave no session state behind, so that the usual reset would be a round trip for nothing."""


@cache
def _statements() -> dict[str, str]:
    names = (
        "queries.sql",
        "holds.sql",
        "reports.sql",
        "deletions.sql",
        "retention.sql",
        "copies.sql",
        "captures.sql",
        "erasure.sql",
        "redactions.sql",
    )
    return {name: text for file in names for name, text in load_statements(file).items()}
