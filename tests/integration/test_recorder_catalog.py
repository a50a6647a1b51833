"""What comes out: listing, showing and exporting recordings, several sessions at once, health pages, and the log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, assert_bit_exact, hear
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import conn_id_of, dn_of
from tests.kit.wav import read_g711

pytestmark = pytest.mark.integration

LISTED: Final = {
    "id", "record_identifier", "door", "state", "started_at", "duration_s", "call_uuid", "ani", "dnis", "dn",
    "other_dn", "sip_call_ids", "gaps",
}  # fmt: skip
"""Keys that scripts may rely on."""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """One that logs JSON; every line of it is read at the end."""
    running = RunningRecorder(tmp_path_factory.mktemp("catalog") / "state", environment={"RECORDER_LOG_FORMAT": "json"})
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()
    for line in running.log().splitlines():
        entry = json.loads(line)
        assert {"event", "level", "timestamp", "process"} <= entry.keys(), line


@dataclass(frozen=True)
class Recorded:
    """A finished call of this module."""

    call: Call
    entry: dict[str, Any]


@pytest.fixture(scope="module")
def both_doors(recorder: RunningRecorder) -> dict[str, Recorded]:
    """One call of each door, at the same time."""
    with ExitStack() as stack:
        calls = {door: stack.enter_context(Call(recorder, door=door)) for door in ("msr", "siprec")}
        for call in calls.values():
            call.start()
        for call in calls.values():
            call.media.wait_for(60)
            call.hang_up()
    return {door: Recorded(call, call.finished()) for door, call in calls.items()}


def test_sessions_at_the_same_time_do_not_mix(both_doors: dict[str, Recorded], tmp_path: Path) -> None:
    for recorded in both_doors.values():
        recorded.call.assert_recorded(tmp_path)


def test_a_listing_says_what_scripts_rely_on(recorder: RunningRecorder, both_doors: dict[str, Recorded]) -> None:
    entry = both_doors["msr"].entry
    call = both_doors["msr"].call
    assert entry.keys() >= LISTED
    assert entry["door"] == "msr"
    assert entry["state"] == "complete"
    assert entry["sip_call_ids"] == [call.dialog.call_id]
    assert entry["started_at"].endswith("Z")
    assert 0 <= round(entry["duration_s"] - 0.02 * len(call.sent[0]), 3) < 0.5
    facts = {key: entry[key] for key in ("call_uuid", "conn_id", "ani", "dnis", "dn", "other_dn", "agent_id")}
    assert facts == {
        "call_uuid": call.identifier[:32],
        "conn_id": conn_id_of(call.identifier),
        "ani": "5550111",
        "dnis": "5550199",
        "dn": dn_of(call.identifier),
        "other_dn": "5550111",
        "agent_id": "agent-0001",
    }
    assert entry in recorder.recordings()


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ("--dn 5550111", True),
        ("--dn 5559999", False),
        ("--ani 5550111 --door msr", True),
        ("--ani 5550199", False),
        ("--dnis 5550199", True),
        ("--from 1h", True),
        ("--to 1h", False),
        ("--state complete", True),
        ("--state failed", False),
    ],
)
def test_filters_of_the_listing(
    recorder: RunningRecorder, both_doors: dict[str, Recorded], filters: str, found: bool
) -> None:
    entry = both_doors["msr"].entry
    assert (entry["id"] in {one["id"] for one in recorder.recordings(*filters.split())}) is found
    assert recorder.recordings("--call-uuid", entry["call_uuid"]) == [entry]


def test_show_gives_segments_streams_and_files(recorder: RunningRecorder, both_doors: dict[str, Recorded]) -> None:
    recorded = both_doors["msr"]
    detail = recorder.admin("recordings", "show", recorded.entry["id"])
    assert {key: detail[key] for key in recorded.entry} == recorded.entry
    (segment,) = detail["segments"]
    assert segment["end_cause"] == "bye"
    assert segment["sip_call_id"] == recorded.call.dialog.call_id
    assert [stream["channel"] for stream in segment["streams"]] == ["left", "right"]
    for stream, sent in zip(segment["streams"], recorded.call.sent, strict=True):
        assert stream["quality"]["packets"] == len(sent)
        assert stream["quality"]["lost"] == 0
    (file,) = detail["files"]
    assert (file["kind"], file["channels"], file["sample_rate"]) == ("master", 2, 8000)
    assert ["calluuid", recorded.call.identifier[:32]] in detail["parameters"]
    assert ["gvp-tenant-id", "[Environment].record"] in detail["parameters"]


def test_people_see_a_table_and_a_timeline_of_both_parties(
    recorder: RunningRecorder, both_doors: dict[str, Recorded]
) -> None:
    entry = both_doors["msr"].entry
    listed = recorder.command("recordings", "list")
    assert listed.returncode == 0
    assert entry["id"][:8] in listed.stdout
    shown = recorder.command("recordings", "show", entry["id"])
    assert shown.returncode == 0
    for word in (entry["record_identifier"], "left", "right"):
        assert word in shown.stdout


def test_an_exported_file_is_the_one_in_the_catalog(
    recorder: RunningRecorder, both_doors: dict[str, Recorded], tmp_path: Path
) -> None:
    entry = both_doors["siprec"].entry
    target = tmp_path / "out.wav"
    done = recorder.command("recordings", "export", entry["id"], "--out", str(target))
    assert done.returncode == 0, done.stderr
    again = recorder.command("recordings", "export", entry["id"], "--out", str(target))
    assert again.returncode == 7
    assert "--force" in again.stderr
    assert_bit_exact(read_g711(target), *both_doors["siprec"].call.sent)


def test_exit_codes_of_what_is_not_there_and_of_what_is_not_ready(recorder: RunningRecorder, tmp_path: Path) -> None:
    missing = recorder.invoke("recordings", "show", "00000000-0000-4000-8000-000000000000")
    assert missing.exit_code == 3
    with Call(recorder) as call:
        call.start()
        (running,) = recorder.recordings("--record-identifier", call.identifier)
        assert running["state"] == "recording"
        assert running["duration_s"] is None
        early = recorder.invoke("recordings", "export", running["id"], "--out", str(tmp_path / "early.wav"))
        assert early.exit_code == 4
        assert not (tmp_path / "early.wav").exists()
        call.hang_up()
        call.finished()


def test_the_same_record_identifier_again_continues_the_recording(recorder: RunningRecorder, tmp_path: Path) -> None:
    """After a Media Server failure a new INVITE brings the same identifier: the next segment, never an overwrite."""
    with Call(recorder, seed="first") as first:
        first.start()
        first.media.talk(0.8)
        first.hang_up()
        with Call(recorder, identifier=first.identifier, seed="second") as second:
            second.start()
            second.media.talk(0.8)
            second.hang_up()
            entry = second.finished()
            assert len(recorder.recordings("--record-identifier", first.identifier)) == 1
            assert entry["sip_call_ids"] == [first.dialog.call_id, second.dialog.call_id]
            detail = recorder.admin("recordings", "show", entry["id"])
            assert [segment["ordinal"] for segment in detail["segments"]] == [1, 2]
            wav = second.exported(tmp_path)
            for party, channel in enumerate(wav.channels):
                before = hear(channel, first.sent[party], silence=SILENCE[MU_LAW])
                after = hear(channel, second.sent[party], silence=SILENCE[MU_LAW], within=channel.size)
                assert before.missing == after.missing == []
                assert after.offset >= before.offset + len(first.sent[party]) * 160


def test_a_session_without_media_is_in_the_catalog_and_says_so(recorder: RunningRecorder, tmp_path: Path) -> None:
    """User pain rtpengine#2021: no RTP, no file, and nobody is told."""
    with Call(recorder) as call:
        call.place()
        call.dialog.bye()
        entry = call.finished()
        assert entry["state"] == "no-media"
        done = recorder.invoke("recordings", "export", entry["id"], "--out", str(tmp_path / "none.wav"))
        assert done.exit_code == 3


def test_health_pages(recorder: RunningRecorder) -> None:
    assert recorder.http("/healthz") == (200, "text/plain; charset=utf-8", "alive\n")
    status, _, text = recorder.http("/readyz")
    assert (status, text) == (200, "able to record\n")
    status, content_type, text = recorder.http("/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    active = next(one["name"] for one in recorder.status()["processes"] if one["state"] == "active")
    assert samples[f'tandem_process_up{{name="{active}",role="frontend"}}'] == "1.0"
    with Call(recorder) as call:
        call.start()
        deadline = time.monotonic() + 60
        while f'tandem_sessions{{name="{active}",role="frontend"}} 1.0' not in recorder.http("/metrics")[2]:
            assert time.monotonic() < deadline, recorder.http("/metrics")[2]
        call.hang_up()
        call.finished()
    assert recorder.http("/nothing")[0] == 404


def test_every_decision_about_a_session_carries_its_record_identifier(
    recorder: RunningRecorder, both_doors: dict[str, Recorded]
) -> None:

    def mine(identifier: str) -> list[dict[str, Any]]:
        # The last line may be half written.
        entries = [json.loads(line) for line in recorder.log().splitlines(keepends=True) if line.endswith("\n")]
        return [one for one in entries if one.get("record_identifier") == identifier]

    def told(identifier: str) -> bool:
        events = {one["event"] for one in mine(identifier)}
        return {"recording", "session ended", "recording finalised"} <= events

    for recorded in both_doors.values():
        identifier = recorded.call.identifier
        eventually(lambda: told(identifier), limit_s=30, what="every decision", detail=recorder.log_tail)  # noqa: B023
        assert {one["process"].partition("/")[0] for one in mine(identifier)} >= {"frontend", "curator"}


def test_values_from_the_network_cannot_forge_a_line_of_the_log(recorder: RunningRecorder) -> None:
    with Call(recorder, identifier="A" * 32 + "%0aforged%1b[31m") as call:
        call.start()
        call.media.talk(0.1)
        call.hang_up()
        listed = recorder.recordings("--limit", "5")
        (entry,) = [one for one in listed if one["sip_call_ids"] == [call.dialog.call_id]]
        shown = recorder.command("recordings", "show", entry["id"])
        assert shown.returncode == 0
        assert "\x1b[31m" not in shown.stdout
        assert not any(line.startswith("forged") for line in recorder.log().splitlines())
