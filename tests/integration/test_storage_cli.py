"""The storage commands, run as `recorder-admin` runs them, against a real catalog and real files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from storage.catalog.records import (
    GapKind,
    RecordingState,
    RenderedFile,
    RenderedGap,
)
from storage.cli import recordings_list
from storage.cli.recordings_list import ListOptions
from storage.exit_codes import ExitCode
from tests.integration.storage_desk import AUDIO, Desk
from tests.integration.storage_samples import START, closing, rendered

pytestmark = pytest.mark.integration


class TestList:
    async def test_json_is_as_documented(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        (found,) = await desk.json("recordings", "list")
        assert {
            "id": str(opened.recording_id),
            "record_identifier": "CALL0001",
            "door": "msr",
            "state": "complete",
            "started_at": "2026-11-22T09:30:00.040Z",
            "duration_s": 59.5,
            "call_uuid": "CALL0001",
            "ani": "5550199",
            "dnis": "5550100",
            "dn": "5550100",
            "other_dn": "5550111",
            "gaps": [
                {
                    "party": 1,
                    "channel": "right",
                    "start_s": 3.5,
                    "duration_s": 0.04,
                    "kind": "lost",
                    "cause": "network",
                }
            ],
        }.items() <= found.items()
        assert len(found["sip_call_ids"]) == 1

    async def test_nothing_is_an_empty_array(self, desk: Desk) -> None:
        assert await desk.json("recordings", "list") == []

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--dn", "5550111"], 2),
            (["--dn", "1"], 0),
            (["--ani", "5550199"], 2),
            (["--call-uuid", "CALL0001"], 1),
            (["--record-identifier", "CALL*"], 2),
            (["--state", "recording"], 2),
            (["--state", "complete"], 0),
            (["--door", "siprec"], 0),
            (["--from", "2026-11-22"], 2),
            (["--from", "2026-11-23"], 0),
            (["--to", "2026-11-22"], 2),
            (["--to", "2026-11-22T09:00:00Z"], 0),
            (["--limit", "1"], 1),
        ],
    )
    async def test_filters(self, desk: Desk, words: list[str], expected: int) -> None:
        await desk.record("CALL0001")
        await desk.record("CALL0002")
        assert len(await desk.json("recordings", "list", *words)) == expected

    async def test_the_table_names_what_people_look_for(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        result = await desk.type("recordings", "list")
        assert result.exit_code == 0
        for text in (
            opened.recording_id.hex[:8],
            "2026-11-22 09:30:00",
            "0:59.5",
            "complete",
            "5550111",
            "lost 40 ms",
        ):
            assert text in result.stdout

    async def test_a_narrow_terminal_cuts_nothing(self, desk: Desk) -> None:
        _, opened = await desk.record(dn="5550100123456789")
        output = io.StringIO()
        console = Console(file=output, width=80, force_terminal=False)
        await recordings_list.run(ListOptions(), desk.catalog, console, now=START)
        lines = output.getvalue().splitlines()
        assert max(len(line) for line in lines) <= 80
        (header,) = [line for line in lines if line.startswith("id")]
        assert "identifier" not in header
        folded = [line[header.index("dn") : header.index("other")].strip() for line in lines[lines.index(header) + 1 :]]
        assert "".join(folded) == "5550100123456789"
        assert opened.recording_id.hex[:8] in output.getvalue()

    async def test_the_table_says_when_there_may_be_more(self, desk: Desk) -> None:
        await desk.record("CALL0001")
        await desk.record("CALL0002")
        assert "There may be more: --after" in (await desk.type("recordings", "list", "--limit", "1")).stdout
        assert "there may be more" not in (await desk.type("recordings", "list", "--limit", "3")).stdout

    async def test_no_value_can_drive_the_terminal(self, desk: Desk) -> None:
        await desk.record("\x1b]0;title\x07[red]CALL", dn="\x1b[2J", other_dn="[bold]x")
        result = await desk.type("recordings", "list")
        assert "\x1b" not in result.stdout
        assert "[bold]x" in result.stdout
        assert "\\x1b]0;title\\x07[red]CALL" in result.stdout

    async def test_a_wrong_time_is_a_usage_error(self, desk: Desk) -> None:
        result = await desk.type("recordings", "list", "--from", "yesterday")
        assert result.exit_code == ExitCode.USAGE
        assert result.stderr.startswith("recorder-admin: 'yesterday' is not a time")
        assert result.stderr.count("\n") == 1

    async def test_an_error_is_json_for_scripts(self, desk: Desk) -> None:
        result = await desk.type("recordings", "list", "--from", "yesterday", "--json")
        assert result.exit_code == ExitCode.USAGE
        failure = json.loads(result.stdout)
        assert failure["exit_code"] == 2
        assert "is not a time" in failure["error"]

    async def test_an_unknown_state_is_a_usage_error(self, desk: Desk) -> None:
        assert (await desk.type("recordings", "list", "--state", "lost")).exit_code == ExitCode.USAGE

    async def test_no_catalog_is_one_line(self, desk: Desk) -> None:
        desk.context = dataclasses.replace(desk.context, dsn="postgresql://tandem@/tandem?host=/nonexistent")
        result = await desk.type("recordings", "list")
        assert result.exit_code == ExitCode.UNREACHABLE
        assert "PostgreSQL cannot be reached" in result.stderr
        assert "Traceback" not in result.output


class TestShow:
    async def test_everything_about_a_finished_recording(self, desk: Desk) -> None:
        opened, path = await desk.finish()
        result = await desk.type("recordings", "show", opened.recording_id.hex[:8])
        assert result.exit_code == 0
        for text in (
            f"Recording {opened.recording_id}",
            "state       complete",
            "length      0:59.5",
            "call UUID   CALL0001",
            "left",
            "right 5550111@192.0.2.7",
            "= recorded   x lost   p paused   . silent",
            "right   lost    network",
            "Session 1",
            "PCMU",
            "packets 2973",
            path.name,
            "gvp-tenant-id = [Environment].record",
            "stream 1 began 0.3 s late",
        ):
            assert text in result.stdout
        (left,) = [line for line in result.stdout.splitlines() if line.startswith("  left") and "|" in line]
        (right,) = [line for line in result.stdout.splitlines() if line.startswith("  right") and "|" in line]
        assert "x" not in left.partition("|")[2]
        assert right.partition("|")[2].count("x") == 1

    async def test_a_running_recording_has_no_timeline_yet(self, desk: Desk) -> None:
        _, opened = await desk.record()
        result = await desk.type("recordings", "show", str(opened.recording_id))
        assert "state       recording (still being recorded)" in result.stdout
        assert "Timeline: none yet" in result.stdout

    async def test_a_long_list_of_gaps_is_cut(self, desk: Desk) -> None:
        sample, opened = await desk.record()
        await desk.catalog.close_segment(closing(sample))
        gaps = tuple(
            RenderedGap(party=0, start_s=float(second), duration_s=0.5, kind=GapKind.LOST, cause="network")
            for second in range(50)
        )
        await desk.catalog.publish(dataclasses.replace(rendered(opened.recording_id, sample), gaps=gaps))
        result = await desk.type("recordings", "show", str(opened.recording_id))
        assert result.stdout.count("lost    network") == 40
        assert "and 10 more" in result.stdout

    async def test_json_holds_all(self, desk: Desk) -> None:
        opened, path = await desk.finish()
        found = await desk.json("recordings", "show", str(opened.recording_id))
        assert found["files"][0]["sha256"] == hashlib.sha256(AUDIO).hexdigest()
        assert found["files"][0]["path"].endswith(path.name)
        assert found["segments"][0]["streams"][1]["quality"] == {"packets": 2973, "lost": 2}
        assert found["parameters"][1] == ["gvp-tenant-id", "[Environment].record"]
        assert found["warnings"] == ["stream 1 began 0.3 s late"]

    async def test_hostile_values_are_harmless(self, desk: Desk) -> None:
        _, opened = await desk.record("\x1b[31m", agent_id="\x1b[2J\u202e")
        result = await desk.type("recordings", "show", str(opened.recording_id))
        assert "\x1b" not in result.stdout
        assert "\u202e" not in result.stdout

    async def test_an_unknown_recording(self, desk: Desk) -> None:
        result = await desk.type("recordings", "show", "nothing")
        assert result.exit_code == ExitCode.NOT_FOUND
        assert "no recording nothing" in result.stderr


class TestExport:
    async def test_the_file_is_copied_and_verified(self, desk: Desk, tmp_path: Path) -> None:
        opened, _ = await desk.finish()
        out = tmp_path / "call.wav"
        result = await desk.type("recordings", "export", opened.recording_id.hex[:6], "--out", str(out))
        assert result.exit_code == 0
        assert out.read_bytes() == AUDIO
        assert "SHA-256 verified" in result.stdout

    async def test_into_a_directory_under_its_own_name(self, desk: Desk, tmp_path: Path) -> None:
        opened, path = await desk.finish()
        (tmp_path / "out").mkdir()
        facts = await desk.json("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "out"))
        assert Path(facts["out"]) == tmp_path / "out" / path.name
        assert (tmp_path / "out" / path.name).read_bytes() == AUDIO
        assert facts["sha256"] == hashlib.sha256(AUDIO).hexdigest()

    async def test_an_existing_file_is_replaced_only_by_force(self, desk: Desk, tmp_path: Path) -> None:
        opened, _ = await desk.finish()
        out = tmp_path / "call.wav"
        out.write_bytes(b"mine")
        words = ["recordings", "export", str(opened.recording_id), "--out", str(out)]
        result = await desk.type(*words)
        assert result.exit_code == ExitCode.REFUSED
        assert "--force" in result.stderr
        assert out.read_bytes() == b"mine"
        assert (await desk.type(*words, "--force")).exit_code == 0
        assert out.read_bytes() == AUDIO

    async def test_a_changed_file_is_found(self, desk: Desk, tmp_path: Path) -> None:
        opened, path = await desk.finish()
        path.chmod(0o644)
        path.write_bytes(AUDIO[:-1] + b"\0")
        out = tmp_path / "call.wav"
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(out))
        assert result.exit_code == ExitCode.INTEGRITY
        assert not out.exists()

    async def test_a_missing_file_is_found(self, desk: Desk, tmp_path: Path) -> None:
        opened, path = await desk.finish()
        path.unlink()
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "call.wav"))
        assert result.exit_code == ExitCode.INTEGRITY
        assert "is missing" in result.stderr

    async def test_a_catalog_row_cannot_point_out_of_the_store(self, desk: Desk, tmp_path: Path) -> None:
        sample, opened = await desk.record()
        await desk.catalog.close_segment(closing(sample))
        secret = tmp_path / "secret"
        secret.write_bytes(AUDIO)
        file = RenderedFile(
            kind="master",
            store="local",
            path="../secret",
            format="wav",
            sample_rate=8000,
            channels=2,
            frames=1,
            size_bytes=len(AUDIO),
            sha256=hashlib.sha256(AUDIO).digest(),
        )
        await desk.catalog.publish(dataclasses.replace(rendered(opened.recording_id, sample), files=(file,)))
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "call.wav"))
        assert result.exit_code == ExitCode.USAGE
        assert "not a path inside the store" in result.stderr

    async def test_one_that_is_not_finished_says_what_to_do(self, desk: Desk, tmp_path: Path) -> None:
        sample, opened = await desk.record()
        words = ["recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "call.wav")]
        result = await desk.type(*words)
        assert result.exit_code == ExitCode.NOT_READY
        assert "is recording: it is still being recorded; export it after the call has ended" in result.stderr
        await desk.catalog.close_segment(closing(sample))
        result = await desk.type(*words)
        assert result.exit_code == ExitCode.NOT_READY
        assert "is finalising" in result.stderr

    async def test_one_that_failed_names_the_way_out(self, desk: Desk, tmp_path: Path) -> None:
        sample, opened = await desk.record()
        await desk.catalog.close_segment(closing(sample))
        job = await desk.catalog.claim_job("curator")
        assert job is not None
        await desk.catalog.fail_job(job, "broken", retry=False)
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "call.wav"))
        assert result.exit_code == ExitCode.NOT_READY
        assert "recorder-admin jobs retry" in result.stderr

    async def test_one_without_audio_has_nothing_to_export(self, desk: Desk, tmp_path: Path) -> None:
        sample, opened = await desk.record()
        await desk.catalog.close_segment(closing(sample))
        empty = dataclasses.replace(
            rendered(opened.recording_id, sample), state=RecordingState.NO_MEDIA, files=(), gaps=(), duration_s=0.0
        )
        await desk.catalog.publish(empty)
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "call.wav"))
        assert result.exit_code == ExitCode.NOT_FOUND
        assert "no audio" in result.stderr

    async def test_other_forms_need_a_converter(self, desk: Desk, tmp_path: Path) -> None:
        opened, _ = await desk.finish()
        out = tmp_path / "call.flac"
        words = ["recordings", "export", str(opened.recording_id), "--out", str(out), "--format", "flac"]
        result = await desk.type(*words)
        assert result.exit_code == ExitCode.REFUSED
        assert "only `master` can be exported here" in result.stderr
        assert not out.exists()

    async def test_a_target_that_cannot_be_written(self, desk: Desk, tmp_path: Path) -> None:
        opened, _ = await desk.finish()
        result = await desk.type("recordings", "export", str(opened.recording_id), "--out", str(tmp_path / "no" / "x"))
        assert result.exit_code == ExitCode.REFUSED
        assert "is not a directory" in result.stderr


class TestJobs:
    async def test_dead_jobs_are_listed_and_retried(self, desk: Desk) -> None:
        sample, opened = await desk.record()
        await desk.catalog.close_segment(closing(sample))
        job = await desk.catalog.claim_job("curator")
        assert job is not None
        await desk.catalog.fail_job(job, "no capture\x1b[2J", retry=False)
        table = (await desk.type("jobs", "list", "--state", "dead")).stdout
        assert str(opened.recording_id) in table
        assert "no capture\\x1b" in table
        (listed,) = await desk.json("jobs", "list")
        assert (listed["state"], listed["attempts"], listed["payload"]) == (
            "dead",
            1,
            {"recording_id": str(opened.recording_id)},
        )
        assert await desk.json("jobs", "retry", str(listed["id"])) == {"id": listed["id"], "queued": True}
        assert [job["state"] for job in await desk.json("jobs", "list")] == ["queued"]

    async def test_a_job_that_is_not_dead_is_not_found(self, desk: Desk) -> None:
        result = await desk.type("jobs", "retry", "1")
        assert result.exit_code == ExitCode.NOT_FOUND

    async def test_no_jobs(self, desk: Desk) -> None:
        assert "No job matches." in (await desk.type("jobs", "list")).stdout
        assert await desk.json("jobs", "list") == []


async def test_an_export_is_entered_into_the_audit_log(desk: Desk, tmp_path: Path) -> None:
    opened, _ = await desk.finish()
    out = tmp_path / "out.wav"
    await desk.json("recordings", "export", str(opened.recording_id), "--out", str(out), "--reason", "case 17")
    entry = [entry async for entry in desk.catalog.audit.read()][-1]
    assert (entry.action, entry.subject, entry.reason) == ("export", str(opened.recording_id), "case 17")
    assert entry.actor.endswith(f"@{socket.gethostname()}")
    assert json.loads(entry.details)["out"] == str(out)
