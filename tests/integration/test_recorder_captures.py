"""`recorder-admin captures`: real capture files, a real catalog, commands as typed."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from typer.testing import CliRunner, Result

from recorder.admin.app import app
from storage.catalog import Catalog
from storage.catalog.records import OpenedSegment, RecordingState, SegmentOpening, SegmentState
from storage.catalog.views import RecordingDetail
from storage.exit_codes import ExitCode
from tests.integration.storage_samples import closing, opening, rendered
from tests.unit.media.container.captures import NOW, Builder, session

pytestmark = pytest.mark.integration

OPENED = datetime.fromtimestamp(NOW / 1e9, UTC)


class Host:
    """One host: its state directory, its name, its commands."""

    def __init__(self, name: str, root: Path, dsn: str) -> None:
        self.name = name
        self.state_dir = root / name
        self.captures = self.state_dir / "captures"
        self.captures.mkdir(parents=True)
        self._environment = {"RECORDER_DATABASE_DSN": dsn, "RECORDER_NODE": name}

    async def type(self, *words: str) -> Result:
        command = ["--state-dir", str(self.state_dir), *words]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, command, env=self._environment))

    async def json(self, *words: str, exit_code: int = 0) -> Any:
        result = await self.type(*words, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def capture(self, sample: SegmentOpening, name: str = "", *, torn: bool = False) -> Path:
        """Write the capture of a session, as its writer would have."""
        path = self.captures / "2026-03-01" / f"{name or sample.segment_id.hex}.tcap"
        path.parent.mkdir(exist_ok=True)
        told = {
            "record_identifier": sample.record_identifier,
            "door": sample.door.value,
            "sip_call_id": sample.sip_call_id,
            "call": {"dn": "5550100", "ani": "5550199"},
            "parameters": [list(pair) for pair in sample.parameters],
        }
        made = Builder(session(session=name or sample.segment_id.hex, descriptor=told)).packets(b"\x80" + bytes(171))
        made.write(path)
        if torn:
            path.write_bytes(path.read_bytes()[:-10])
        return path


@pytest.fixture
def here(tmp_path: Path, catalog_dsn: str) -> Host:
    return Host("host-b", tmp_path, catalog_dsn)


@pytest.fixture
def dead(tmp_path: Path, catalog_dsn: str) -> Host:
    return Host("host-a", tmp_path, catalog_dsn)


def sample_of(epoch: int, identifier: str = "CALL0001") -> SegmentOpening:
    return opening(identifier, epoch=epoch, at=OPENED)


async def opened_on(host: Host, catalog: Catalog, identifier: str = "CALL0001") -> tuple[SegmentOpening, OpenedSegment]:
    sample = sample_of(await catalog.acquire_lease(), identifier)
    path = host.capture(sample)
    sample = msgspec.structs.replace(sample, host=host.name, capture_path=str(path))
    return sample, await catalog.open_segment(sample)


def content(path: str) -> bytes:
    return Path(path).read_bytes()


async def detail(catalog: Catalog, recording: UUID | str) -> RecordingDetail:
    found = await catalog.get_recording(recording)
    assert isinstance(found, RecordingDetail)
    return found


class TestAdopt:
    async def test_an_open_session_of_a_dead_host_ends_and_is_queued(
        self, catalog: Catalog, here: Host, dead: Host
    ) -> None:
        sample, opened = await opened_on(dead, catalog)
        (told,) = await here.json("captures", "adopt", str(dead.captures))
        assert (told["result"], told["recording_id"]) == ("moved", str(opened.recording_id))
        found = await detail(catalog, opened.recording_id)
        (segment,) = found.segments
        assert (segment.state, segment.end_cause, segment.host) == (SegmentState.INTERRUPTED, "host-lost", "host-b")
        (capture,) = segment.captures
        assert content(capture.path) == content(sample.capture_path)
        assert Path(capture.path).is_relative_to(here.captures)
        assert found.summary.state is RecordingState.FINALISING
        assert [job.kind for job in await catalog.list_jobs()] == ["finalise"]
        assert await catalog.load_dialogs() == []
        assert [entry.action async for entry in catalog.audit.read()] == ["adopt"]

    async def test_a_second_time_everything_is_known(self, catalog: Catalog, here: Host, dead: Host) -> None:
        await opened_on(dead, catalog)
        await here.json("captures", "adopt", str(dead.captures))
        job = await catalog.claim_job("curator")
        assert job is not None
        await catalog.complete_job(job)
        (told,) = await here.json("captures", "adopt", str(dead.captures))
        assert told["result"] == "known"
        assert await catalog.list_jobs() == []

    async def test_a_dry_run_copies_nothing(self, catalog: Catalog, here: Host, dead: Host) -> None:
        _, opened = await opened_on(dead, catalog)
        (told,) = await here.json("captures", "adopt", str(dead.captures), "--dry-run")
        assert told["result"] == "moved"
        assert list(here.captures.rglob("*.tcap")) == []
        assert (await detail(catalog, opened.recording_id)).segments[0].state is SegmentState.OPEN

    async def test_a_session_that_another_host_goes_on_with_stays_open(
        self, catalog: Catalog, here: Host, dead: Host
    ) -> None:
        """The dead host's part is an earlier capture of a session that lives."""
        sample = sample_of(await catalog.acquire_lease())
        old = dead.capture(sample, uuid4().hex)
        opened = await catalog.open_segment(msgspec.structs.replace(sample, host="host-c", capture_path="/c/live.tcap"))
        (told,) = await here.json("captures", "adopt", str(dead.captures))
        assert told["result"] == "joined"
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert segment.state is SegmentState.OPEN
        assert [(capture.host, Path(capture.path).name) for capture in segment.captures] == [
            ("host-b", old.name),
            ("host-c", "live.tcap"),
        ]
        assert len(await catalog.load_dialogs()) == 1, "nobody else's dialog is ended"
        assert await catalog.list_jobs() == []

    async def test_what_the_catalog_never_knew_becomes_a_recording(
        self, catalog: Catalog, here: Host, dead: Host
    ) -> None:
        sample = sample_of(1, "CALL0009")
        dead.capture(sample, torn=True)
        dead.capture(opening("CALL0009", at=OPENED))
        first, second = await here.json("captures", "adopt", str(dead.captures))
        assert {first["result"], second["result"]} == {"new-recording", "new-session"}
        assert "cut-body" in first["detail"] + second["detail"]
        found = await detail(catalog, "CALL0009")
        assert [segment.ordinal for segment in found.segments] == [1, 2]
        assert (found.summary.dn, found.summary.ani) == ("5550100", "5550199")
        assert {stream.index for segment in found.segments for stream in segment.streams} == {0}
        assert len(await catalog.list_jobs()) == 1

    async def test_what_was_deleted_stays_deleted(self, catalog: Catalog, here: Host, dead: Host) -> None:
        sample, opened = await opened_on(dead, catalog)
        await catalog.close_segment(closing(sample))
        await catalog.publish(rendered(opened.recording_id, sample))
        await catalog.deletions.begin(opened.recording_id, by="anna", reason="by mistake")
        dead.capture(opening("CALL0001", at=OPENED + timedelta(seconds=20)), uuid4().hex)
        told = await here.json("captures", "adopt", str(dead.captures))
        assert [one["result"] for one in told] == ["erased", "erased"]
        assert list(here.captures.rglob("*.tcap")) == []
        assert await catalog.get_recording("CALL0001") is not None

    async def test_one_bad_file_does_not_keep_the_others_out(self, catalog: Catalog, here: Host, dead: Host) -> None:
        await opened_on(dead, catalog)
        (dead.captures / "0.tcap").write_bytes(b"not a capture")
        told = await here.json("captures", "adopt", str(dead.captures), exit_code=ExitCode.INTEGRITY)
        assert [one["result"] for one in told] == ["unreadable", "moved"]

    async def test_the_own_directory_is_salvaged_not_adopted(self, here: Host) -> None:
        result = await here.type("captures", "adopt", str(here.captures))
        assert result.exit_code == ExitCode.USAGE
        assert "captures salvage" in result.stderr
        assert (await here.type("captures", "adopt", "/nonexistent")).exit_code == ExitCode.NOT_FOUND


class TestSalvage:
    async def test_only_what_is_unknown_and_at_rest(self, catalog: Catalog, here: Host) -> None:
        _, opened = await opened_on(here, catalog)
        fresh = here.capture(opening("CALL0002", at=OPENED))
        assert await here.json("captures", "salvage") == []
        os.utime(fresh, (0, 0))
        (told,) = await here.json("captures", "salvage")
        assert (told["path"], told["result"]) == (str(fresh), "new-recording")
        assert fresh.exists()
        assert (await detail(catalog, opened.recording_id)).segments[0].state is SegmentState.OPEN
        assert await here.json("captures", "salvage") == []


class TestListAndVerify:
    async def test_disk_and_catalog_are_compared(self, catalog: Catalog, here: Host, dead: Host) -> None:
        kept, _ = await opened_on(here, catalog, "CALL0001")
        await catalog.close_segment(closing(kept))
        await opened_on(here, catalog, "CALL0002")
        missing, _ = await opened_on(here, catalog, "CALL0003")
        await catalog.close_segment(closing(missing))
        os.unlink(missing.capture_path)
        await opened_on(dead, catalog, "CALL0004")
        here.capture(opening("CALL0005", at=OPENED))
        told = await here.json("captures", "list", exit_code=ExitCode.INTEGRITY)
        assert {one["record_identifier"]: one["state"] for one in told} == {
            "CALL0001": "kept",
            "CALL0002": "recording",
            "CALL0003": "missing",
            "CALL0004": "elsewhere",
            None: "unknown",
        }
        assert len(await here.json("captures", "list", "--state", "unknown")) == 1

    async def test_the_first_bad_block_is_named(self, catalog: Catalog, here: Host) -> None:
        whole = here.capture(opening("CALL0001", at=OPENED))
        size = whole.stat().st_size
        (told,) = await here.json("captures", "verify", exit_code=ExitCode.INTEGRITY)
        assert (told["damage"], told["at_byte"], told["packets"]) == ("no-end", size, 1)
        damaged = bytearray(whole.read_bytes())
        damaged[-1] ^= 1
        whole.write_bytes(damaged)
        (told,) = await here.json("captures", "verify", exit_code=ExitCode.INTEGRITY)
        assert told["damage"] == "bad-checksum"
        assert 0 < told["at_byte"] < size

    async def test_segments_tell_all(self, catalog: Catalog, here: Host) -> None:
        sample, _ = await opened_on(here, catalog)
        (told,) = await here.json("segments", "CALL0001")
        assert (told["id"], told["state"], told["sip_call_id"]) == (str(sample.segment_id), "open", sample.sip_call_id)
        assert sample.capture_path in (await here.type("segments", "CALL0001")).stdout
