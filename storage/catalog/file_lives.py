"""The life of files in the catalog: intents, manifests, uploads, what is doomed, and envelopes of encrypted audio.

The rules are in `migrations/0017_file_lives.sql` and `0023_store_hosts.sql`. Rows of `files` themselves are written by
publications.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from storage.catalog.connection import Database
from storage.catalog.records import ClaimedJob, RecordingState
from storage.catalog.sealing import Standing, StatedRecording, stated_recording
from storage.catalog.sql import load_statements
from storage.catalog.text import storable

PAGE = 500
AUDIT_PAGE = 5000
"""Entries of the audit log that are looked at by one statement."""


@dataclass(frozen=True, slots=True)
class FileClaim:
    """Bytes that the catalog claims."""

    path: str
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """What a recording has in one store."""

    recording_id: UUID
    started_at: datetime
    files: int
    """Audio and manifests."""
    size_bytes: int

    @property
    def key(self) -> tuple[datetime, UUID]:
        """Position in the order of beginnings."""
        return self.started_at, self.recording_id


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """A result of which the audit log tells, and which the catalog has lost."""

    number: int
    """Of the entry."""
    subject: str
    """Id of the recording."""
    state: str | None
    """What the catalog says of the recording; None when it has none."""
    version: int | None
    """Of the manifest that is lost; None when it is not that."""


@dataclass(frozen=True, slots=True)
class LostHold:
    """A legal hold of which the audit log tells, and which the catalog has lost."""

    number: int
    """Of the entry."""
    subject: str
    """Id of the recording."""
    hold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeRow:
    """What is known of encrypted audio."""

    clear_sha256: bytes
    clear_bytes: int
    keys: bytes
    """Content of the file of wrapped keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedEnvelope(EnvelopeRow):
    """An envelope, and where its audio is."""

    sha256: bytes
    recording_id: UUID
    store: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """A manifest that was sealed."""

    version: int
    store: str
    path: str
    size_bytes: int
    sha256: bytes
    root: bytes
    key_id: str
    finalised_at: datetime
    sealed_at: datetime


class FileLives:
    """Intents, dooms, manifests and envelopes of one catalog; use it through `Catalog.files`."""

    def __init__(self, database: Database) -> None:
        self._database = Database(database.connections, _statements())

    async def intend(
        self, recording_id: UUID, store: str, path: str, sha256: bytes, envelope: EnvelopeRow | None = None
    ) -> bool:
        """Say that a file is about to get its name. False while a former file of that name is being removed."""
        encrypted = (None, None, None)
        if envelope is not None:
            encrypted = (envelope.clear_sha256, envelope.clear_bytes, envelope.keys)  # type: ignore[assignment]
        return bool(await self._database.value("intend_file", recording_id, store, path, sha256, *encrypted))

    async def withdraw(self, recording_id: UUID | None, *, older_than: timedelta = timedelta()) -> int:
        """Doom what was intended (of all recordings: None) and is not claimed; returns how many files."""
        return int(await self._database.value("withdraw_intents", recording_id, older_than))

    async def is_doomed(self, store: str, path: str) -> bool:
        """Whether a file waits for its removal."""
        return bool(await self._database.value("doomed", store, path))

    async def discarded(self, store: str, path: str, *, alone: bool = True) -> None:
        """Say that a doomed file is gone.

        Its name may be used again: at once if the caller is the only worker that ever had the job (`alone`), else after
        `free_names`.
        """
        await self._database.rows("discarded", store, path, alone)

    async def free_names(self, *, older_than: timedelta) -> None:
        """Let the names of files be used again that are gone for so long."""
        await self._database.rows("free_names", older_than)

    async def manifests(self, recording_id: UUID) -> list[ManifestRow]:
        """Return the manifests of a recording, oldest first."""
        return [ManifestRow(**dict(row)) for row in await self._database.rows("manifests_of", recording_id)]

    async def record_manifest(
        self,
        recording_id: UUID,
        finalised_at: datetime,
        *,
        version: int,
        previous: bytes | None,
        store: str,
        claim: FileClaim,
        root: bytes,
        key_id: str,
        job: ClaimedJob | None = None,
    ) -> str | None:
        """Keep a manifest whose file is durable; returns the race that was lost, None on success.

        With `job`, it is completed in the same transaction, also when the race was lost.
        """
        stated = (recording_id, finalised_at, version, previous, store, claim.path, claim.size_bytes, claim.sha256)
        if job is None:
            refused = await self._database.value("record_manifest", *stated, root, key_id)
        else:
            done = (job.job_id, job.worker, job.lock)
            refused = (await self._database.row("record_manifest_of_job", *stated, root, key_id, *done))["refused"]
        return None if refused is None else str(refused)

    async def to_state(self, recording_id: UUID) -> StatedRecording | None:
        """Return what the next manifest of a recording states; None for an unknown one."""
        row = await self._database.optional_row("to_state", recording_id)
        return None if row is None else stated_recording(row)

    async def in_store(self, recording_id: UUID, store: str) -> list[FileClaim]:
        """Return what a recording has in a store: audio and manifests; nothing of one that is on its way out."""
        rows = await self._database.rows("files_in_store", recording_id, store)
        return [FileClaim(row["path"], row["size_bytes"], row["sha256"]) for row in rows]

    async def move(
        self, recording_id: UUID, claim: FileClaim, *, source: str, target: str, by: str, job: ClaimedJob | None = None
    ) -> bool:
        """Say that a file's bytes are in another store.

        False when nothing claims them any more, when the recording is being deleted or redacted, and when the intent or
        the job was lost meanwhile. Without a job it is a person's wish.
        """
        claimed = (None, None, None) if job is None else (job.job_id, job.worker, job.lock)
        moved = await self._database.value(
            "move_file", *(recording_id, source, target, claim.path, claim.sha256, storable(by)), *claimed
        )
        return bool(moved)

    async def recordings_in(
        self, store: str, *, before: datetime, after: tuple[datetime, UUID] | None = None, limit: int = PAGE
    ) -> list[StoredRecording]:
        """Return a page of the finished recordings with something in a store, oldest first, begun before a time.

        `after` is the position (`key`) of the last one of the page before.
        """
        at, recording_id = after or (datetime.min.replace(tzinfo=UTC), UUID(int=0))
        rows = await self._database.rows("recordings_in_store", store, before, at, recording_id, limit)
        return [
            StoredRecording(UUID(str(row["id"])), row["started_at"], row["files"], row["size_bytes"]) for row in rows
        ]

    async def enqueue_upload(self, recording_id: UUID) -> None:
        """Queue the jobs that bring a recording's files to the object store, one for each host that has some."""
        await self._database.rows("enqueue_upload", recording_id)

    async def envelope(self, sha256: bytes) -> EnvelopeRow | None:
        """Return what is known of encrypted audio; None when the file is in clear."""
        row = await self._database.optional_row("envelope_of", sha256)
        return None if row is None else EnvelopeRow(**dict(row))

    async def envelopes(self) -> AsyncIterator[LocatedEnvelope]:
        """Yield the envelopes of all encrypted audio, in the order of its digests."""
        after = b""
        while rows := await self._database.rows("envelopes", after, PAGE):
            for row in rows:
                yield LocatedEnvelope(**{**row, "recording_id": UUID(str(row["recording_id"]))})
            after = rows[-1]["sha256"]

    async def replace_keys(self, sha256: bytes, former: bytes, keys: bytes) -> bool:
        """Keep the data key wrapped for other recipients; False when somebody else was faster."""
        return await self._database.optional_row("replace_keys", sha256, former, keys) is not None

    async def known_paths(self, store: str, paths: Sequence[str]) -> set[str]:
        """Return those of the paths that the catalog knows: claimed, intended or doomed."""
        return {row["path"] for row in await self._database.rows("known_paths", store, list(paths))}

    async def standing(self, recording_id: UUID) -> Standing | None:
        """Return how far the recorder is with a recording; None for an unknown one."""
        row = await self._database.optional_row("standing", recording_id)
        return None if row is None else Standing(**{**row, "state": RecordingState(row["state"])})

    async def checkable_recordings(self) -> AsyncIterator[UUID]:
        """Yield, in order, the ids of all recordings that are finished, or that nothing will finish."""
        after = UUID(int=0)
        while rows := await self._database.rows("checkable_recordings", after, PAGE):
            for row in rows:
                yield UUID(str(row["id"]))
            after = rows[-1]["id"]

    async def unaccounted(self) -> AsyncIterator[Unaccounted]:
        """Yield the results that the audit log tells of and the catalog has lost, in the order of the log."""
        end = await self._database.value("audit_end")
        for after in range(0, end, AUDIT_PAGE):
            for row in await self._database.rows("unaccounted", after, min(after + AUDIT_PAGE, end)):
                yield Unaccounted(**row)

    async def lost_holds(self) -> AsyncIterator[LostHold]:
        """Yield the holds that nobody is said to have released and that stand no more, in the order of the log."""
        end = await self._database.value("audit_end")
        for after in range(0, end, AUDIT_PAGE):
            for row in await self._database.rows("lost_holds", after, min(after + AUDIT_PAGE, end)):
                yield LostHold(**row)


@cache
def _statements() -> dict[str, str]:
    return load_statements("files.sql")
