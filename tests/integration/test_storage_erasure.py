"""Erasure requests and usage on a real catalog."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta
from uuid import UUID

import msgspec
import pytest

from recorder.retention_settings import RetentionSettings
from storage.catalog.usage import StoredBytes
from storage.cli.storage_usage import daily_rate
from storage.exit_codes import ExitCode
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import closing, opening, rendered

pytestmark = pytest.mark.integration

PERSON = "5550199"


async def finished(desk: Desk, identifier: str, **facts: str | None) -> str:
    sample, opened = await desk.record(identifier, **facts)
    await desk.catalog.close_segment(closing(sample))
    await desk.catalog.publish(rendered(opened.recording_id, sample), job=await desk.catalog.claim_job("curator"))
    return str(opened.recording_id)


async def erase_all(desk: Desk) -> None:
    """Do the erase jobs, as a site's curators would that keeps some facts."""
    while (job := await desk.catalog.claim_job("curator", kinds=("erase@host-a",))) is not None:
        await desk.catalog.deletions.erased(
            *(UUID(str(job.payload["recording_id"])), "host-a"), job=job, keep=("ani", "dn")
        )


async def test_conflicts_are_reported_and_the_rest_goes(desk: Desk) -> None:
    settings = RetentionSettings(rules=[{"name": "law", "match": {"tenant": "bank"}, "min_days": 36500}])
    desk.context = dataclasses.replace(desk.context, retention=settings.policy())
    await finished(desk, "CALL0001", ani=PERSON)
    await finished(desk, "CALL0002", ani=f"sip:{PERSON}@192.0.2.7")
    await finished(desk, "CALL0003", ani="1", agent_id=PERSON, tenant="bank")
    await finished(desk, "CALL0004", ani=PERSON)
    await finished(desk, "CALL0005", ani=f"{PERSON}0")
    await desk.record("CALL0006", ani="1", dnis=PERSON)
    await desk.json("recordings", "hold", "CALL0004", "--reason", "court")
    words = ("recordings", "erase", "--person", PERSON, "--reason", "request 7", "--json")
    expected = {
        "CALL0001": "deleting",
        "CALL0002": "deleting",
        "CALL0003": "minimum-retention",
        "CALL0004": "legal-hold",
        "CALL0006": "recording",
    }
    for option in ("--dry-run", "--yes"):
        result = await desk.type(*words, option)
        assert result.exit_code == ExitCode.REFUSED
        told = json.loads(result.stdout)
        found = {one["record_identifier"]: one["result"] for one in told["recordings"]}
        wanted = {k: "would-delete" if v == "deleting" and option == "--dry-run" else v for k, v in expected.items()}
        assert found == wanted
    conflict = next(one for one in told["recordings"] if one["record_identifier"] == "CALL0003")
    assert conflict["possible_from"].startswith("2126-")
    assert conflict["named_by"] == ["agent_id"]
    entries = [entry async for entry in desk.catalog.audit.read() if entry.action == "erase-person"]
    assert [(entry.reason, json.loads(entry.details)["results"]["deleting"]) for entry in entries] == [("request 7", 2)]
    assert not [entry async for entry in desk.catalog.audit.read() if PERSON in entry.details + entry.subject]


async def test_no_tombstone_names_the_person(desk: Desk) -> None:
    earlier = await finished(desk, "CALL0001", ani=PERSON)
    await desk.json("recordings", "delete", "CALL0001", "--reason", "x", "--yes")
    await erase_all(desk)
    assert (await desk.json("recordings", "show", earlier))["ani"] == PERSON, "policy let it stay"
    later = await finished(desk, f"{PERSON}_CALL0002", ani=PERSON)
    told = await desk.json("recordings", "erase", "--person", PERSON, "--reason", "request 7", "--yes")
    assert (told["results"], told["masked"]) == ({"tombstone": 1, "deleting": 1}, 1)
    await erase_all(desk)
    shown = [await desk.json("recordings", "show", one) for one in (earlier, later)]
    assert [(one["ani"], one["dn"]) for one in shown] == [(None, "5550100"), (None, None)]
    await desk.json("recordings", "erase", "--person", PERSON, "--reason", "request 7", "--yes")
    shown.append(await desk.json("recordings", "show", later))
    assert PERSON not in json.dumps(shown[-1])


async def test_a_beginning_is_not_a_person(desk: Desk) -> None:
    result = await desk.type("recordings", "erase", "--person", "5", "--reason", "x", "--yes")
    assert result.exit_code == ExitCode.USAGE


async def test_participants_and_parameters_are_searched(desk: Desk) -> None:
    sample = opening("CALL0001", epoch=await desk.catalog.acquire_lease())
    await desk.catalog.open_segment(msgspec.structs.replace(sample, parameters=(("agent", "anna"),)))
    for person, named_by in (("5550111", ["other_dn", "participant"]), ("anna", ["parameters"])):
        (found,) = await desk.catalog.persons.find(person)
        assert list(found.named_by) == named_by


class TestUsage:
    async def test_stores_days_and_disks(self, desk: Desk) -> None:
        _, path = await desk.finish()
        told = await desk.json("storage", "usage")
        size = path.stat().st_size
        assert told["stores"] == [{"store": "local", "kind": "master", "files": 1, "size_bytes": size}]
        assert told["days"][-1]["size_bytes"] == size
        (disk,) = told["disks"]
        assert (disk["what"], disk["used_by_us_bytes"]) == ("recordings", size)
        assert disk["free_bytes"] > 0
        text = (await desk.type("storage", "usage")).stdout
        assert "master" in text
        assert "no end in sight" in text

    def test_the_rate_is_the_mean_of_whole_days(self) -> None:
        today = date(2026, 11, 29)
        days = [
            StoredBytes(store=store, kind="master", files=1, size_bytes=size, day=today - timedelta(days=ago))
            for store, size, ago in (
                ("local", 900, 0),
                ("local", 30, 1),
                ("local", 10, 4),
                ("s3", 5, 1),
                ("local", 7, 8),
            )
        ]
        assert daily_rate(days, today=today, store="local") == 10.0
        assert daily_rate([], today=today, store="local") == 0.0
