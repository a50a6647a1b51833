"""Deletion on a real PostgreSQL and a real disk: nothing resurrects, nothing is left, and a crash costs nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from recorder.curator.erase import Eraser
from storage.catalog import Catalog
from storage.catalog.records import (
    MANIFEST,
    MetadataRevision,
    OpenedSegment,
    PublicationRefusal,
    RecordingState,
    SegmentOpening,
    SipMessageTrace,
)
from storage.catalog.views import RecordingDetail, RecordingFilter
from storage.errors import RecordingErased, StorageMisused
from storage.exit_codes import ExitCode
from storage.files import FileStore
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import START, closing, opening, rendered
from tests.kit.seeking import seek_copies

pytestmark = pytest.mark.integration

HOST_JOB = "erase@host-a"


class Disk:
    """Captures and recordings of host-a, and its eraser."""

    def __init__(self, catalog: Catalog, root: Path) -> None:
        self.catalog = catalog
        self.root = root
        self.captures = FileStore(root / "captures", name="captures")
        self.store = FileStore(root / "recordings")
        self._epoch: int | None = None

    def write(self, path: Path, content: bytes = b"audio") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    async def session(
        self, identifier: str = "CALL0001", *, moved: bool = False
    ) -> tuple[SegmentOpening, OpenedSegment]:
        self._epoch = self._epoch or await self.catalog.acquire_lease()
        sample = opening(identifier, epoch=self._epoch)
        path = self.write(self.captures.root / "2026-11-22" / f"{sample.segment_id.hex}.tcap")
        return sample, await self.catalog.open_segment(msgspec.structs.replace(sample, capture_path=str(path)))

    async def finished(self, identifier: str = "CALL0001") -> tuple[SegmentOpening, OpenedSegment]:
        sample, opened = await self.session(identifier)
        await self.catalog.close_segment(closing(sample))
        result = rendered(opened.recording_id, sample)
        self.write(self.store.root / result.files[0].path)
        assert (await self.catalog.publish(result, job=await self.catalog.claim_job("curator"))).refused is None
        while job := await self.catalog.claim_job("curator", kinds=(MANIFEST,)):
            await self.catalog.complete_job(job)
        await seek_copies(self.catalog)
        return sample, opened

    def left(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    async def erase(self, *, host: str = "host-a") -> int:
        """Do the erase jobs of a host; returns how many."""
        eraser = Eraser(self.catalog, host=host, captures=self.captures, stores={"local": self.store})
        done = 0
        while (job := await self.catalog.claim_job("curator", kinds=(f"erase@{host}",))) is not None:
            await eraser.erase(job)
            done += 1
        return done


@pytest.fixture
def disk(catalog: Catalog, tmp_path: Path) -> Disk:
    return Disk(catalog, tmp_path)


@pytest.fixture
async def psql(catalog_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(catalog_dsn)
    yield connection
    await connection.close()


async def detail(catalog: Catalog, opened: OpenedSegment) -> RecordingDetail:
    found = await catalog.get_recording(opened.recording_id)
    assert isinstance(found, RecordingDetail)
    return found


class TestLife:
    async def test_a_deleted_recording_is_a_tombstone(self, disk: Disk) -> None:
        catalog = disk.catalog
        sample, opened = await disk.finished()
        answer = await catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake", rule="short")
        assert (answer.refused, answer.begun) == (None, True)
        assert (await detail(catalog, opened)).summary.state is RecordingState.DELETING
        assert len(disk.left()) == 2, "nothing is erased before the intent is in the catalog"
        assert await disk.erase() == 1
        assert disk.left() == []
        found = await detail(catalog, opened)
        assert (found.summary.state, found.summary.record_identifier) == (RecordingState.DELETED, "CALL0001")
        assert (found.summary.started_at, found.summary.duration_s) == (START + timedelta(milliseconds=40), 59.5)
        tombstone = found.tombstone
        assert tombstone is not None
        assert (tombstone.requested_by, tombstone.reason, tombstone.rule) == ("anna", "by mistake", "short")
        assert [(file["kind"], file["sha256"]) for file in tombstone.files] == [("master", ("01" * 32))]
        assert tombstone.captures == 1
        assert tombstone.deleted_at is not None
        assert await catalog.list_jobs() == []
        assert sample.segment_id == found.segments[0].segment_id

    async def test_no_personal_data_is_left_in_any_table(
        self, disk: Disk, psql: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        sample, opened = await disk.session("ID-1")
        await disk.catalog.add_metadata(
            MetadataRevision(
                epoch=sample.epoch,
                segment_id=sample.segment_id,
                received_at=START,
                content_type="application/rs-metadata+xml",
                body=b"<recording>5550199</recording>",
            )
        )
        message = SipMessageTrace(at=START, inbound=True, flow="udp 5550199", message=b"INVITE sip:5550199")
        await disk.catalog.add_traces([(sample.segment_id, message)], sample.epoch)
        await disk.catalog.close_segment(closing(sample))
        await disk.catalog.publish(rendered(opened.recording_id, sample), job=await disk.catalog.claim_job("c"))
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        await disk.erase()
        # What comes late, from a journal or a buffer.
        assert await disk.catalog.add_traces([(sample.segment_id, message)], sample.epoch) == set()
        personal = ("5550199", "5550111", "5550100", "00aa00aa00aa00aa", str(sample.sip_call_id))
        tables = await psql.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in tables:
            for row in await psql.fetch(f"SELECT to_jsonb(t)::text AS text FROM {table} AS t"):
                assert not [word for word in personal if word in row["text"]], (table, row["text"])
                assert b"5550199".hex() not in row["text"], table

    async def test_policy_says_which_facts_stay(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        job = await disk.catalog.claim_job("curator", kinds=(HOST_JOB,))
        assert job is not None
        await disk.catalog.deletions.erased(opened.recording_id, "host-a", job=job, keep=("call_uuid", "dn"))
        summary = (await detail(disk.catalog, opened)).summary
        assert (summary.call_uuid, summary.dn, summary.ani) == ("CALL0001", "5550100", None)

    async def test_the_identifier_opens_a_new_recording_at_once(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        _, again = await disk.session()
        assert again.recording_id != opened.recording_id
        assert (again.ordinal, again.continued) == (1, False)
        await disk.erase()
        assert (await detail(disk.catalog, opened)).summary.state is RecordingState.DELETED
        found = await disk.catalog.get_recording("CALL0001")
        assert isinstance(found, RecordingDetail)
        assert found.summary.recording_id == again.recording_id
        assert len(disk.left()) == 1, "the new recording's capture is not the old one's"

    async def test_nothing_is_published_into_it(self, disk: Disk, psql: asyncpg.Connection[asyncpg.Record]) -> None:
        sample, opened = await disk.finished()
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        for _ in range(2):
            publication = await disk.catalog.publish(rendered(opened.recording_id, sample, digest=b"\x07" * 32))
            assert publication.refused is PublicationRefusal.DELETED
            with pytest.raises(RecordingErased):
                await disk.catalog.enqueue_finalise(opened.recording_id)
            with pytest.raises(asyncpg.PostgresError, match="is deleted"):
                await psql.execute("UPDATE recordings SET state = 'complete'")
            await disk.erase()
        with pytest.raises(asyncpg.PostgresError, match="is deleted"):
            await psql.execute(
                "INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes,"
                " sha256) VALUES ($1, 'master', 'local', 'x', 'wav', 8000, 2, 1, 1, $2)",
                opened.recording_id,
                b"\x01" * 32,
            )

    async def test_asking_again_changes_nothing(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        again = await disk.catalog.deletions.begin(opened.recording_id, by="ben", reason="other")
        assert (again.refused, again.begun) == (None, False)
        await disk.erase()
        assert not (await disk.catalog.deletions.begin(opened.recording_id, by="ben", reason="other")).begun
        tombstone = (await detail(disk.catalog, opened)).tombstone
        assert tombstone is not None
        assert tombstone.requested_by == "anna"

    async def test_each_host_erases_its_own_captures(self, disk: Disk) -> None:
        sample, opened = await disk.session()
        await disk.catalog.close_segment(closing(sample))
        _, other = await disk.session()  # the same identifier: continued, on another host
        assert other.recording_id == opened.recording_id
        async with disk.catalog._database.connections.lent() as connection:
            await connection.execute("UPDATE segments SET host = 'host-b' WHERE id = $1", other.segment_id)
        segments = await disk.catalog.recording_segments(opened.recording_id)
        assert segments is not None
        second = opening("CALL0001", epoch=sample.epoch)
        second = msgspec.structs.replace(second, segment_id=other.segment_id)
        await disk.catalog.close_segment(closing(second))
        await disk.catalog.publish(
            rendered(opened.recording_id, sample, second), job=await disk.catalog.claim_job("curator")
        )
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        assert await disk.erase() == 1
        assert (await detail(disk.catalog, opened)).summary.state is RecordingState.DELETING
        assert len(disk.left()) == 1
        assert await disk.erase(host="host-b") == 1
        assert (await detail(disk.catalog, opened)).summary.state is RecordingState.DELETED
        assert disk.left() == []

    async def test_a_path_outside_the_captures_is_never_touched(self, disk: Disk, tmp_path: Path) -> None:
        sample = opening(epoch=await disk.catalog.acquire_lease())
        secret = disk.write(tmp_path / "secret")
        opened = await disk.catalog.open_segment(
            msgspec.structs.replace(sample, capture_path=f"{disk.captures.root}/../secret")
        )
        await disk.catalog.close_segment(closing(sample))
        await disk.catalog.publish(rendered(opened.recording_id, sample))
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        with pytest.raises(StorageMisused):
            await disk.erase()
        assert secret.exists()

    async def test_what_is_running_is_not_deleted(self, disk: Disk) -> None:
        sample, opened = await disk.session()
        assert (await disk.catalog.deletions.begin(opened.recording_id, by="a", reason="x")).refused == "recording"
        await disk.catalog.close_segment(closing(sample))
        assert (await disk.catalog.deletions.begin(opened.recording_id, by="a", reason="x")).refused == "finalising"

    async def test_what_could_not_be_rendered_can_be_deleted(self, disk: Disk) -> None:
        sample, opened = await disk.session()
        await disk.catalog.close_segment(closing(sample))
        job = await disk.catalog.claim_job("curator")
        assert job is not None
        await disk.catalog.fail_job(job, "broken", retry=False)
        assert (await disk.catalog.deletions.begin(opened.recording_id, by="a", reason="x")).begun
        await disk.erase()
        assert disk.left() == []
        assert await disk.catalog.list_jobs() == []


class TestHold:
    async def test_a_held_recording_is_not_deleted(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.holds.place(opened.recording_id, reason="court", by="anna")
        for answer in (
            await disk.catalog.deletions.begin(opened.recording_id, by="ben", reason="x"),
            await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="ben", reason="x"),
        ):
            assert (answer.refused, answer.begun) == ("legal-hold", False)
        assert (await detail(disk.catalog, opened)).summary.state is RecordingState.COMPLETE
        assert await disk.erase() == 0

    async def test_too_late_for_a_hold(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin(opened.recording_id, by="ben", reason="x")
        assert (await disk.catalog.holds.place(opened.recording_id, reason="court", by="anna")).refused == "deleting"
        await disk.erase()
        assert (await disk.catalog.holds.place(opened.recording_id, reason="court", by="anna")).refused == "deleted"

    async def test_a_hold_stops_an_erasure_of_captures_that_is_queued(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="7 days")
        hold = await disk.catalog.holds.place(opened.recording_id, reason="court", by="anna")
        assert hold.placed
        await disk.erase()
        assert len(disk.left()) == 2
        await disk.catalog.holds.release(hold.hold_id or 0, reason="over", by="anna")
        again = await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="7 days")
        assert again.refused is None
        await disk.erase()
        assert [path.suffix for path in disk.left()] == [".wav"]


class TestCaptures:
    async def test_erased_captures_leave_the_recording_and_seal_it(self, disk: Disk) -> None:
        sample, opened = await disk.finished()
        await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="7 days")
        await disk.erase()
        found = await detail(disk.catalog, opened)
        assert (found.summary.state, found.captures_kept) == (RecordingState.COMPLETE, False)
        assert [path.suffix for path in disk.left()] == [".wav"]
        _, again = await disk.session()
        assert again.recording_id != opened.recording_id, "a rendering without the captures would lose what was there"
        with pytest.raises(RecordingErased, match="captures"):
            await disk.catalog.enqueue_finalise(opened.recording_id)
        assert len((await detail(disk.catalog, opened)).files) == 1
        assert sample.segment_id

    async def test_what_is_not_finished_keeps_its_captures(self, disk: Disk) -> None:
        sample, opened = await disk.session()
        answer = await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="r", reason="x")
        assert answer.refused == "recording"
        await disk.catalog.close_segment(closing(sample))
        answer = await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="r", reason="x")
        assert answer.refused == "finalising"

    async def test_they_can_be_deleted_afterwards(self, disk: Disk) -> None:
        _, opened = await disk.finished()
        await disk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="7 days")
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        await disk.erase()
        assert disk.left() == []
        assert (await detail(disk.catalog, opened)).summary.state is RecordingState.DELETED


async def test_killed_at_every_step_it_ends_as_if_nothing_had_happened(
    disk: Disk, catalog_dsn: str, psql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """One process for each recording, each killed one step later than the one before; the last ones come through."""
    steps = 12
    recordings = [(await disk.finished(f"CALL{number:04}"))[1] for number in range(steps)]
    for opened in recordings:
        await disk.catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.deletion_process", catalog_dsn, str(disk.root), str(steps)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    killed = json.loads(output.splitlines()[-1])
    # Two files: unlink and sync each, and the last word; before and after each of them.
    assert killed == [True] * 10 + [False] * 2
    for opened in recordings:
        found = await detail(disk.catalog, opened)
        names = [
            path for path in disk.left() if opened.segment_id.hex in path.name or str(opened.recording_id) in path.name
        ]
        assert found.tombstone is not None
        if found.summary.state is RecordingState.DELETED:
            assert names == [], "the tombstone is final only when the files are gone"
        else:
            assert found.summary.state is RecordingState.DELETING
            assert len(found.files) == 1
    await psql.execute("UPDATE jobs SET locked_until = now() - interval '1 second' WHERE state = 'running'")
    assert await disk.erase() == 9, "those that died before the catalog's last word"
    assert disk.left() == []
    assert {(await detail(disk.catalog, opened)).summary.state for opened in recordings} == {RecordingState.DELETED}
    entries = [entry.subject async for entry in disk.catalog.audit.read() if entry.action == "deleted"]
    assert sorted(entries) == sorted(str(opened.recording_id) for opened in recordings)


class TestCommand:
    async def test_it_begins_the_deletion(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        (told,) = await desk.json("recordings", "delete", "CALL0001", "--reason", "by mistake", "--yes")
        assert told == {"id": str(opened.recording_id), "record_identifier": "CALL0001", "result": "deleting"}
        shown = await desk.json("recordings", "show", opened.recording_id.hex)
        assert (shown["state"], shown["deletion"]["reason"]) == ("deleting", "by mistake")
        text = (await desk.type("recordings", "show", opened.recording_id.hex)).stdout
        assert "by mistake" in text
        assert shown["deletion"]["files"][0]["sha256"] in text

    async def test_a_dry_run_changes_nothing_and_foresees(self, desk: Desk) -> None:
        held, _ = await desk.finish("CALL0001")
        await desk.finish("CALL0002")
        await desk.record("CALL0003")
        await desk.json("recordings", "hold", "CALL0001", "--reason", "court")
        result = await desk.type("recordings", "delete", "--from", "2026-11-22", "--reason", "x", "--dry-run", "--json")
        assert result.exit_code == ExitCode.REFUSED
        foreseen = {facts["record_identifier"]: facts["result"] for facts in json.loads(result.stdout)}
        assert foreseen == {"CALL0001": "legal-hold", "CALL0002": "would-delete", "CALL0003": "recording"}
        result = await desk.type("recordings", "delete", "--from", "2026-11-22", "--reason", "x", "--yes", "--json")
        assert {facts["record_identifier"]: facts["result"] for facts in json.loads(result.stdout)} == {
            "CALL0001": "legal-hold",
            "CALL0002": "deleting",
            "CALL0003": "recording",
        }
        assert held

    async def test_without_yes_nobody_is_asked_by_a_script(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        result = await desk.type("recordings", "delete", "CALL0001", "--reason", "x")
        assert result.exit_code == ExitCode.USAGE
        assert "--yes" in result.stderr
        unexplained = await desk.type("recordings", "delete", "CALL0001", "--reason", " ", "--yes")
        assert (unexplained.exit_code, "auditor" in unexplained.stderr) == (ExitCode.USAGE, True)
        assert (await detail(desk.catalog, opened)).summary.state is RecordingState.COMPLETE

    async def test_tombstones_are_listed_for_those_who_ask(self, desk: Desk, tmp_path: Path) -> None:
        opened, _ = await desk.finish()
        await desk.json("recordings", "delete", "CALL0001", "--reason", "x", "--yes")
        disk = Disk(desk.catalog, tmp_path)
        job = await desk.catalog.claim_job("c", kinds=(HOST_JOB,))
        assert job is not None
        await desk.catalog.deletions.erased(opened.recording_id, "host-a", job=job)
        assert await desk.json("recordings", "list") == []
        (found,) = await desk.json("recordings", "list", "--state", "deleted")
        assert (found["id"], found["dn"]) == (str(opened.recording_id), None)
        assert len(await desk.catalog.list_recordings(RecordingFilter(record_identifier="CALL0001"))) == 1
        assert disk.left()
