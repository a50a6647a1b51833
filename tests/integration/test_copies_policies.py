"""What `copies.policy` does with copies, and what it never touches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from recorder.curator.copies.remove import CopyRemover
from recorder.settings import CopySettings
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyState, PairDecision
from storage.catalog.records import RecordingState, Role
from storage.catalog.views import RecordingFilter, RecordingSummary
from storage.retention import Policy
from tests.integration.copies_site import Site, site_settings
from tests.kit.redacting import begin_redaction

pytestmark = pytest.mark.integration


async def healed(catalog: Catalog, root: Path, policy: CopySettings, copies: int = 2) -> Site:
    """A site with copies of one call, after its curators have done everything."""
    site = Site(catalog, root, await catalog.acquire_lease(), random.Random(3))
    site.settings = site_settings(root, policy)
    for number in range(1, copies + 1):
        await site.begin(number)
        await site.end(number)
    await settled(site)
    return site


async def settled(site: Site) -> None:
    await site.seek(site.catalog)
    while await site.work(site.catalog, 60.0):
        pass


async def entries(site: Site) -> dict[int, RecordingSummary]:
    found = {
        entry.recording_id: entry
        for entry in await site.catalog.list_recordings(RecordingFilter(copies=True, limit=100))
    }
    return {number: found[recording_id] for number, recording_id in site.ids.items() if recording_id in found}


async def test_the_master_stays_and_its_copies_go_with_a_tombstone(catalog: Catalog, tmp_path: Path) -> None:
    policy = CopySettings(policy="master", keep_days=0)
    site = await healed(catalog, tmp_path, policy)
    (master,) = await catalog.list_recordings(RecordingFilter())
    await CopyRemover(catalog, policy, Policy()).remove()
    assert {entry.state for entry in (await entries(site)).values()} == {RecordingState.DELETING}
    tombstone = await catalog.deletions.tombstone(site.ids[1])
    assert tombstone is not None
    assert (tombstone.requested_by, tombstone.rule) == ("curator", "copies.policy")
    # What was deleted is no reason to heal anew: the master has what the copies had.
    group = await catalog.copies.group_of(site.ids[1])
    assert group is not None
    await catalog.copies.enqueue_heal(group)
    await settled(site)
    (after,) = await catalog.list_recordings(RecordingFilter())
    assert (after.recording_id, after.gaps) == (master.recording_id, ())


async def test_copies_are_kept_for_their_days(catalog: Catalog, tmp_path: Path) -> None:
    policy = CopySettings(policy="master", keep_days=1)
    site = await healed(catalog, tmp_path, policy)
    await CopyRemover(catalog, policy, Policy()).remove()
    assert {entry.state for entry in (await entries(site)).values()} == {RecordingState.COMPLETE}


async def test_copies_stay_for_the_minimum_retention(catalog: Catalog, tmp_path: Path) -> None:
    policy = CopySettings(policy="master", keep_days=0)
    site = await healed(catalog, tmp_path, policy)
    await CopyRemover(catalog, policy, Policy(min_days=36_500)).remove()
    assert {entry.state for entry in (await entries(site)).values()} == {RecordingState.COMPLETE}
    await CopyRemover(catalog, policy, Policy()).remove()
    assert {entry.state for entry in (await entries(site)).values()} == {RecordingState.DELETING}


async def test_the_best_copy_does_not_stand_for_what_was_redacted(catalog: Catalog, tmp_path: Path) -> None:
    """A stretch was taken out of one before anybody knew of the other, which has it still."""
    policy = CopySettings(policy="best", keep_days=0)
    site = Site(catalog, tmp_path, await catalog.acquire_lease(), random.Random(3))
    site.settings = site_settings(tmp_path, policy)
    await site.begin(1)
    await site.end(1)
    assert await begin_redaction(catalog, site.ids[1], start_s=0.1, end_s=0.2) is None
    await site.begin(2)
    await site.end(2)
    assert not await catalog.copies.stand_for(site.ids[2], [site.ids[1], site.ids[2]])
    assert {entry.role for entry in (await entries(site)).values()} == {Role.RECORDING}


async def test_nothing_under_hold_and_nothing_undecided_is_removed(catalog: Catalog, tmp_path: Path) -> None:
    policy = CopySettings(policy="master", keep_days=0)
    site = await healed(catalog, tmp_path, policy, copies=3)
    (master,) = await catalog.list_recordings(RecordingFilter())
    # A hold on the master holds the copies.
    placed = await catalog.holds.place(master.recording_id, reason="court order", by="auditor")
    await CopyRemover(catalog, policy, Policy()).remove()
    assert {entry.state for entry in (await entries(site)).values()} == {RecordingState.COMPLETE}
    assert placed.hold_id is not None
    await catalog.holds.release(placed.hold_id, reason="over", by="auditor")
    # A doubt about one pair protects both of its recordings, and leaves the third to the policy.
    one, other = sorted((site.ids[1], site.ids[2]))
    await catalog.copies.decide(PairDecision(one=one, other=other, state=CopyState.UNDECIDED, reason="a doubt"))
    await CopyRemover(catalog, policy, Policy()).remove()
    states = {number: entry.state for number, entry in (await entries(site)).items()}
    assert states == {1: RecordingState.COMPLETE, 2: RecordingState.COMPLETE, 3: RecordingState.DELETING}


async def test_the_best_copy_stands_for_the_others_without_a_master(catalog: Catalog, tmp_path: Path) -> None:
    policy = CopySettings(policy="best", keep_days=0)
    site = await healed(catalog, tmp_path, policy)
    await site.begin(2)
    await site.end(2)  # of two sessions: it lacks less than the other one
    await settled(site)
    found = await entries(site)
    assert (found[2].role, found[1].role, found[1].master_id) == (Role.RECORDING, Role.COPY, site.ids[2])
    assert [entry.recording_id for entry in await catalog.list_recordings(RecordingFilter())] == [site.ids[2]]
    await CopyRemover(catalog, policy, Policy()).remove()
    found = await entries(site)
    assert (found[2].state, found[1].state) == (RecordingState.COMPLETE, RecordingState.DELETING)
