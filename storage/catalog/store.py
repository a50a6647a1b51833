"""The catalog over PostgreSQL: every write of frontend and curator is one statement, guarded by epoch or state.

It does not decide anything about calls, and it never waits between two statements of a transaction: a frozen client
can therefore hold no lock. Reading for people is in `storage.catalog.reading`, jobs in `storage.catalog.jobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from storage.catalog.records import (
    FRONTEND_LEASE,
    ClaimedJob,
    ClosedSegment,
    DialogCheckpoint,
    JobFate,
    MetadataRevision,
    OpenedSegment,
    OpenSegmentRow,
    Publication,
    RecordingSegments,
    RenderedRecording,
    SegmentClosing,
    SegmentOpening,
    SipMessageTrace,
    StoredDialog,
    StreamsChange,
)
from storage.catalog.views import Ambiguous, RecordingDetail, RecordingFilter, RecordingSummary


class Catalog:
    """One pool of connections to the catalog database.

    Errors: `StaleEpoch` when the lease has a newer holder, `CatalogUnreachable` when PostgreSQL is away (repeat the
    call with the same arguments: it takes effect once), `StorageMisused` for wrong arguments.
    """

    @classmethod
    async def connect(
        cls, dsn: str, *, min_size: int = 1, max_size: int = 8, timeout_s: float = 5.0, application: str = "tandem"
    ) -> Self:
        """Open the pool and check that the migrations of this program are applied.

        `timeout_s` bounds connecting and every statement. Call `close` afterwards, or use `async with`.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Close all connections; statements under way may finish."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # Frontend: every write carries the epoch of its lease.

    async def acquire_lease(self, name: str = FRONTEND_LEASE, holder: str = "") -> int:
        """Take the lease and return its new epoch; writes of the former holder are refused from here on.

        It waits until writes of the former holder that are under way have ended.
        """
        raise NotImplementedError

    async def open_segment(self, opening: SegmentOpening) -> OpenedSegment:
        """Make a new session durable: recording, segment, streams and dialog snapshot. One round trip."""
        raise NotImplementedError

    async def change_streams(self, change: StreamsChange) -> None:
        """Record the present stream table of a segment."""
        raise NotImplementedError

    async def save_dialog(self, checkpoint: DialogCheckpoint) -> None:
        """Make a dialog snapshot durable before the message that needs it leaves."""
        raise NotImplementedError

    async def end_dialog(self, dialog_id: str, epoch: int, *, lease: str = FRONTEND_LEASE) -> None:
        """Mark a dialog as over; it is no longer restored. `close_segment` does this by itself."""
        raise NotImplementedError

    async def load_dialogs(self, *, ended_within: timedelta | None = None) -> list[StoredDialog]:
        """Return the live dialogs, and those that ended within the given time (to absorb retransmissions)."""
        raise NotImplementedError

    async def forget_dialogs(self, ended_before: datetime, epoch: int, *, lease: str = FRONTEND_LEASE) -> int:
        """Delete dialogs that ended before the given time; returns how many."""
        raise NotImplementedError

    async def close_segment(self, closing: SegmentClosing) -> ClosedSegment:
        """Close a segment and its dialog; with the last open one, queue the finalise job in the same transaction."""
        raise NotImplementedError

    async def mark_interrupted(
        self, segment_id: UUID, epoch: int, *, at: datetime, cause: str, lease: str = FRONTEND_LEASE
    ) -> ClosedSegment:
        """`close_segment` for a session that nobody ended: its process or its peer is gone."""
        raise NotImplementedError

    async def open_segments(self, *, host: str | None = None) -> list[OpenSegmentRow]:
        """Return the segments that nobody has closed, oldest first; of one host when given."""
        raise NotImplementedError

    async def add_metadata(self, revision: MetadataRevision) -> None:
        """Keep a metadata document as it came (or its digest only)."""
        raise NotImplementedError

    async def add_trace(
        self, segment_id: UUID, messages: Sequence[SipMessageTrace], epoch: int, *, lease: str = FRONTEND_LEASE
    ) -> None:
        """Append SIP messages to the trace of a segment."""
        raise NotImplementedError

    # Curator: guarded by the job's lock and the recording's state.

    async def claim_job(
        self, worker: str, *, kinds: Sequence[str] = ("finalise",), lease_s: float = 60.0
    ) -> ClaimedJob | None:
        """Take the oldest job that is due, also one whose worker has stopped beating; None when there is none."""
        raise NotImplementedError

    async def wait_for_job(self, timeout_s: float) -> bool:
        """Wait until a job may be due or the time has passed; False on time-out. Poll with it."""
        raise NotImplementedError

    async def beat_job(self, job: ClaimedJob, *, lease_s: float = 60.0) -> bool:
        """Keep a job; False when another worker has it since: stop working on it."""
        raise NotImplementedError

    async def complete_job(self, job: ClaimedJob) -> bool:
        """Finish a job; False when another worker has it since."""
        raise NotImplementedError

    async def fail_job(self, job: ClaimedJob, error: str, *, retry: bool = True) -> JobFate:
        """Give a job back with back-off, or to the dead letter list once its attempts are used up.

        A dead finalise job leaves its recording in state `failed`.
        """
        raise NotImplementedError

    async def retry_job(self, job_id: int) -> bool:
        """Queue a dead job again, with all its attempts; False when it is not dead."""
        raise NotImplementedError

    async def enqueue_finalise(self, recording_id: UUID) -> bool:
        """Queue the finalise job of a recording without open segments (again); False when it has one open."""
        raise NotImplementedError

    async def recording_segments(self, recording_id: UUID) -> RecordingSegments | None:
        """Return what the rendering of a recording starts from; None for an unknown one."""
        raise NotImplementedError

    async def publish(self, rendered: RenderedRecording, *, job: ClaimedJob | None = None) -> Publication:
        """Replace the result of a recording in one transaction: files, gaps, quality, duration, state.

        Idempotent. With `job`, the claim is checked and the job completed in the same transaction. Obligation: remove
        the superseded files afterwards.
        """
        raise NotImplementedError

    # Reading.

    async def list_recordings(self, wanted: RecordingFilter) -> list[RecordingSummary]:
        """Return the newest matching recordings, newest first, with their gaps."""
        raise NotImplementedError

    async def get_recording(self, reference: str | UUID) -> RecordingDetail | Ambiguous | None:
        """Find one recording by id, unique beginning of its id (4 characters or more) or record identifier."""
        raise NotImplementedError
