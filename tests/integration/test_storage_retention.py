"""Retention over a real catalog: the plan, its execution, and the minimum that binds people too."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest

from recorder.curator.retention import RetentionKeeper
from recorder.retention_settings import RetentionSettings
from storage.catalog import Catalog
from storage.catalog.copy_records import PAIR, CopyState
from storage.catalog.records import MANIFEST, ClaimedJob, OpenedSegment
from storage.exit_codes import ExitCode
from storage.retention import Action, Policy, Spared, parse_rules
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import START, closing, opening, rendered, with_facts
from tests.kit.seeking import seek_copies

pytestmark = pytest.mark.integration

NOW = START + timedelta(days=100)
SIZE = 952_058
"""Bytes of a sample's file."""


async def finished(
    catalog: Catalog, number: int, *, stated: bool = True, sought: bool = True, **facts: str | None
) -> OpenedSegment:
    """A recording, an hour younger than the one with the number before."""
    epoch = await catalog.acquire_lease()
    at = START + timedelta(hours=number)
    sample = with_facts(opening(f"CALL{number:04}", epoch=epoch, at=at), **facts)
    opened = await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample))
    await catalog.publish(rendered(opened.recording_id, sample), job=await catalog.claim_job("curator"))
    if stated:
        await state(catalog)
    if sought:
        await seek_copies(catalog)
    return opened


async def state(catalog: Catalog) -> None:
    """End the job of the manifest, as a curator does."""
    while job := await catalog.claim_job("curator", kinds=(MANIFEST,)):
        assert await catalog.complete_job(job)


async def erase_jobs(catalog: Catalog) -> list[str]:
    return [job.kind for job in await catalog.list_jobs() if job.kind.startswith("erase")]


async def plan(catalog: Catalog, policy: Policy) -> dict[str, str]:
    """Identifier to what is decided."""
    return {
        decision.record_identifier: decision.rule if isinstance(decision, Action) else decision.why
        async for decision in catalog.retention.plan(policy, now=NOW)
    }


async def test_rules_read_the_call_data_of_the_catalog(catalog: Catalog) -> None:
    await finished(catalog, 1, tenant="bank")
    await finished(catalog, 2, agent_id="7001")
    await finished(catalog, 3)
    policy = Policy(
        rules=parse_rules(
            [
                {"name": "bank", "match": {"tenant": "bank"}, "keep_days": 3650},
                {"name": "agents", "match": {"agent_id": "7*"}, "keep_days": 30},
                {"name": "environment", "match": {"parameters": {"gvp-tenant-id": "[Env*"}}, "keep_days": 90},
            ]
        )
    )
    assert await plan(catalog, policy) == {"CALL0002": "agents", "CALL0003": "environment"}


async def test_pages_are_read_to_the_end(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.catalog.retention.PAGE", 2)
    for number in range(5):
        await finished(catalog, number)
    policy = Policy(rules=parse_rules([{"name": "all", "keep_days": 1}]), capture_days=0)
    decisions = [decision async for decision in catalog.retention.plan(policy, now=NOW)]
    assert [decision.record_identifier for decision in decisions] == [f"CALL{number:04}" for number in range(5)]


async def test_the_oldest_go_for_space_and_a_second_plan_is_empty(catalog: Catalog) -> None:
    recordings = [await finished(catalog, number) for number in range(4)]
    await catalog.holds.place(recordings[0].recording_id, reason="court", by="anna")
    policy = Policy(max_total_bytes=int(2.5 * SIZE), low_water=1.0)
    assert await plan(catalog, policy) == {
        "CALL0000": "under legal hold",
        "CALL0001": "max_total_gb",
        "CALL0002": "max_total_gb",
    }
    keeper = RetentionKeeper(catalog, policy, node="host-a")
    await keeper.keep()
    await keeper.keep()
    assert await plan(catalog, policy) == {}, "what is being erased does not count any more"
    assert await erase_jobs(catalog) == ["erase@host-a"] * 2
    tombstone = await catalog.deletions.tombstone(recordings[1].recording_id)
    assert tombstone is not None
    assert (tombstone.requested_by, tombstone.rule) == ("retention@host-a", "max_total_gb")


async def test_captures_go_when_their_time_has_come(catalog: Catalog) -> None:
    opened = await finished(catalog, 1)
    policy = Policy(capture_days=0)
    later = [d async for d in catalog.retention.plan(Policy(capture_days=1_000), now=NOW)]
    assert later == []
    await RetentionKeeper(catalog, policy, node="host-a").keep()
    assert await erase_jobs(catalog) == ["erase@host-a"]
    assert await plan(catalog, policy) == {}, "it is under way"
    claimed = await catalog.claim_job("curator", kinds=("erase@host-a",))
    assert claimed is not None
    await catalog.deletions.erased(opened.recording_id, "host-a", job=claimed)
    assert await plan(catalog, policy) == {}


async def begin_erasure(catalog: Catalog, opened: OpenedSegment) -> str | None:
    answer = await catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="0 days")
    return answer.refused


async def test_captures_stay_while_work_of_their_recording_is_left(catalog: Catalog) -> None:
    opened = await finished(catalog, 1, stated=False)
    policy = Policy(capture_days=0)
    assert await plan(catalog, policy) == {}, "its manifest is not made"
    assert await begin_erasure(catalog, opened) == "captures-needed"
    job = await catalog.claim_job("curator", kinds=(MANIFEST,))
    assert isinstance(job, ClaimedJob)
    await catalog.fail_job(job, "disk full", retry=False)
    assert await plan(catalog, policy) == {}, "it was given up"
    assert await begin_erasure(catalog, opened) == "captures-needed"
    assert await catalog.retry_job(job.job_id)
    await state(catalog)
    assert await plan(catalog, policy) == {"CALL0001": "capture_days"}
    assert await begin_erasure(catalog, opened) is None


async def test_captures_stay_until_somebody_looked_for_copies(catalog: Catalog) -> None:
    opened = await finished(catalog, 1, sought=False)
    policy = Policy(capture_days=0)
    assert await plan(catalog, policy) == {}
    assert await begin_erasure(catalog, opened) == "captures-needed"
    await seek_copies(catalog)
    assert await plan(catalog, policy) == {"CALL0001": "capture_days"}
    assert await begin_erasure(catalog, opened) is None


async def test_captures_stay_until_possible_copies_are_decided(catalog: Catalog) -> None:
    one, other = await finished(catalog, 1), await finished(catalog, 2)
    policy = Policy(capture_days=0)
    await catalog.copies.note_pair(one.recording_id, other.recording_id, key_kind="call_uuid", reason="same call")
    assert await plan(catalog, policy) == {}
    assert await begin_erasure(catalog, other) == "captures-needed"
    await catalog.copies.rule(
        [(one.recording_id, other.recording_id)], CopyState.REJECTED, "two calls", by="anna", action="separate"
    )
    assert await plan(catalog, policy) == {}, "the group is looked at again"
    job = await catalog.claim_job("curator", kinds=(PAIR,))
    assert job is not None
    await catalog.complete_job(job)
    assert await plan(catalog, policy) == {"CALL0001": "capture_days", "CALL0002": "capture_days"}
    assert await begin_erasure(catalog, one) is None


async def test_a_hold_that_stopped_an_erasure_only_postpones_it(catalog: Catalog) -> None:
    opened = await finished(catalog, 1)
    policy = Policy(capture_days=0)
    await RetentionKeeper(catalog, policy, node="host-a").keep()
    hold = await catalog.holds.place(opened.recording_id, reason="court", by="anna")
    job = await catalog.claim_job("curator", kinds=("erase@host-a",))
    assert job is not None
    assert await catalog.deletions.due(opened.recording_id, "host-a") is None
    await catalog.complete_job(job)
    assert await plan(catalog, policy) == {"CALL0001": "captures under legal hold"}
    await catalog.holds.release(hold.hold_id or 0, reason="over", by="anna")
    assert await plan(catalog, policy) == {"CALL0001": "capture_days"}


async def test_a_hold_between_plan_and_deed_is_obeyed(catalog: Catalog) -> None:
    opened = await finished(catalog, 1)
    policy = Policy(rules=parse_rules([{"name": "all", "keep_days": 1}]))
    (decision,) = [decision async for decision in catalog.retention.plan(policy, now=NOW)]
    assert not isinstance(decision, Spared)
    await catalog.holds.place(opened.recording_id, reason="court", by="anna")
    assert (await catalog.retention.apply(decision, by="retention")).refused == "legal-hold"


class TestCommands:
    @pytest.fixture
    def desk(self, desk: Desk) -> Desk:
        """Settings as a site writes them."""
        settings = RetentionSettings(
            capture_days=-1,
            rules=[{"name": "all", "keep_days": 0}, {"name": "law", "match": {"dn": "1*"}, "min_days": 36500}],
        )
        desk.context = dataclasses.replace(desk.context, retention=settings.policy())
        return desk

    async def test_plan_says_what_and_why_and_apply_does_it(self, desk: Desk) -> None:
        opened, path = await desk.finish()
        planned = await desk.json("retention", "plan")
        assert planned["totals"] == {
            "delete": 1,
            "erase-captures": 0,
            "size_bytes": path.stat().st_size,
            "spared": 0,
        }
        (action,) = planned["actions"]
        assert (action["id"], action["rule"], planned["applied"]) == (str(opened.recording_id), "all", False)
        assert action["why"].startswith("kept 0 days after 2026-11-22")
        assert await desk.json("retention", "apply", "--dry-run") == planned
        text = (await desk.type("retention", "plan")).stdout
        assert "1 deletions" in text
        assert "kept 0 days" in text
        applied = await desk.json("retention", "apply")
        assert applied["applied"]
        assert (await desk.json("recordings", "show", "CALL0001"))["state"] == "deleting"
        assert (await desk.json("retention", "apply"))["totals"]["delete"] == 0

    async def test_the_minimum_binds_people_too(self, desk: Desk) -> None:
        sample, opened = await desk.record("CALL0001", dn="1000")
        await desk.catalog.close_segment(closing(sample))
        await desk.catalog.publish(rendered(opened.recording_id, sample))
        assert (await desk.json("retention", "plan"))["actions"] == []
        for option in ("--dry-run", "--yes"):
            result = await desk.type("recordings", "delete", "CALL0001", "--reason", "x", option, "--json")
            assert result.exit_code == ExitCode.REFUSED
            assert [facts["result"] for facts in json.loads(result.stdout)] == ["minimum-retention"]
        assert (await desk.json("recordings", "show", "CALL0001"))["state"] == "complete"

    async def test_a_hold_is_named_in_the_plan(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        await desk.json("recordings", "hold", "CALL0001", "--reason", "court")
        planned = await desk.json("retention", "plan")
        assert planned["spared"] == [
            {"id": str(opened.recording_id), "record_identifier": "CALL0001", "why": "under legal hold"}
        ]
