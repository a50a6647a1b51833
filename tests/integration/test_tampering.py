"""Whoever owns the database, or the disks, changes what was recorded; `verify` tells. No trigger stops the owner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.exit_codes import ExitCode
from storage.integrity import SigningKeys
from storage.integrity.manifest import sign
from tests.integration.test_curator_files import Desk, actions
from tests.kit.curating import Curating

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

WHOLE_RECORDING = (
    "DELETE FROM manifests WHERE recording_id = '{one}'; DELETE FROM files WHERE recording_id = '{one}';"
    "DELETE FROM gaps WHERE recording_id = '{one}'; DELETE FROM ledger WHERE recording_id = '{one}';"
    "DELETE FROM segments WHERE recording_id = '{one}'; DELETE FROM recordings WHERE id = '{one}';"
)
HEAD_IS_LAST = (
    "UPDATE audit_head SET (number, digest) = (SELECT number, digest FROM audit_log ORDER BY number DESC LIMIT 1);"
)


@pytest.fixture
def curating(catalog: Catalog, tmp_path: Path) -> Callable[..., Curating]:
    return lambda **tables: Curating(catalog, tmp_path / "state", **tables)


async def as_owner(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"SET session_replication_role = replica; {statements}")
    finally:
        await connection.close()


class Site:
    """Two sealed recordings: publish and seal of the first are entries 1 and 2 of the log, of the second 3 and 4."""

    def __init__(self, curator: Curating, dsn: str, ids: tuple[str, str]) -> None:
        self.curator = curator
        self.one, self.other = ids
        self.desk = Desk(curator, dsn)
        self._dsn = dsn

    async def attack(self, statements: str) -> None:
        await as_owner(self._dsn, statements.replace("{one}", self.one).replace("{other}", self.other))

    async def told(self, *words: str) -> str:
        """Return what `verify` says is wrong; empty when nothing is."""
        verified = await self.desk.type("verify", *(words or ("--all",)), "--json")
        report: dict[str, Any] = json.loads(verified.stdout)
        assert verified.exit_code == (ExitCode.OK if report["intact"] else ExitCode.INTEGRITY)
        return " | ".join(f"{fault['subject']}: {fault['what']}" for fault in report["faults"])


@pytest.fixture
async def site(curating: Callable[..., Curating], catalog_dsn: str) -> Site:
    curator = curating()
    ids = []
    for number in (1, 2):
        opened = await curator.record(f"CALL000{number}", lost=True, seed=number)
        await curator.work()
        ids.append(str(opened.recording_id))
    site = Site(curator, catalog_dsn, (ids[0], ids[1]))
    assert await site.told("--all", "--orphans") == ""
    assert await actions(curator.catalog) == ["publish", "seal"] * 2
    return site


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM gaps", "other gaps than the manifest states: 0 here, 1 stated"),
        ("UPDATE gaps SET duration_s = duration_s / 2", "other gaps than the manifest states"),
        ("UPDATE recordings SET agent_id = 'another', ani = NULL", "the manifest states: agent_id, ani"),
        ("UPDATE recordings SET started_at = started_at - interval '1 s'", "the manifest states: started_at"),
        ("UPDATE segments SET closed_at = closed_at - interval '1 s'", "other sessions than the manifest states"),
        ("DELETE FROM segments", "other sessions than the manifest states: 0 here, 1 stated"),
        ("DELETE FROM files WHERE recording_id = '{one}'", "{one}: the catalog claims other files"),
        (
            "CREATE TEMPORARY TABLE f AS SELECT * FROM files; DELETE FROM files;"
            "UPDATE f SET id = id + 10,"
            " recording_id = CASE recording_id WHEN '{one}' THEN uuid '{other}' ELSE '{one}' END;"
            "INSERT INTO files OVERRIDING SYSTEM VALUE SELECT * FROM f",
            "{other}: the catalog claims other files than the manifest states",
        ),
        ("DELETE FROM ledger WHERE party = 1", "{other}: the ledger of party 1 is gone"),
        ("DELETE FROM ledger WHERE recording_id = '{one}' AND party = 0", "{one}: the ledger of party 0 is gone"),
        ("DELETE FROM ledger", "the manifest states it | {one}: the ledger of party 1 is gone"),
        ("UPDATE ledger SET causes[1] = 'paused'", "{one}: the ledger of party 0 is not what the manifest states: c"),
        ("UPDATE ledger SET party = party + 7", "a ledger of party 8, which the manifest does not state"),
        # As if it had just been made anew: nothing is going to seal that.
        ("DELETE FROM ledger; UPDATE recordings SET finalised_at = now()", "the ledger of party 0 is gone"),
        ("UPDATE recordings SET state = 'failed'", "says that it is failed, but no session of it is open and no job"),
        ("DELETE FROM manifests", "no manifest 1, which was sealed (entry 2 of the audit log)"),
        ("DELETE FROM manifests", "{one}: it has no manifest, and no job is going to make one"),
        (
            "UPDATE recordings SET state = 'deleted', captures = 'erased', sealed_at = now()",
            "the audit log says nothing of that (entry 1",
        ),
        (WHOLE_RECORDING, "{one}: the catalog has no such recording, and nobody is said to have deleted it (entry 1"),
    ],
)  # fmt: skip
async def test_a_changed_row_is_told(site: Site, statement: str, told: str) -> None:
    await site.attack(statement)
    assert told.replace("{one}", site.one).replace("{other}", site.other) in await site.told()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM audit_log WHERE subject = '{one}'", "audit log: entry 3: entries 1 to 2 are missing"),
        ("DELETE FROM audit_log WHERE number = 2", "audit log: entry 3: entries 2 to 2 are missing"),
        ("DELETE FROM audit_log WHERE number = 4", "audit log: entry 4: the head says"),
        ("UPDATE audit_log SET reason = 'x' WHERE number = 2", "audit log: entry 2: was changed after it was written"),
        # The head goes back as well: a manifest knows that it was further.
        (
            "DELETE FROM audit_log WHERE number >= 3;" + HEAD_IS_LAST,
            "{other}: manifest 1 was signed when the audit log had an entry 3, which it has no more",
        ),
        # The log is made anew as a whole, as if the first recording had never been.
        (
            "DELETE FROM audit_log; UPDATE audit_head SET number = 0, digest = sha256('tandem-audit/1');"
            "SELECT append_audit_v1(NULL, 'curator', 'publish', '{other}', '', '{}');"
            "SELECT append_audit_v1(NULL, 'curator', 'publish', '{other}', '', '{}');"
            "SELECT append_audit_v1(NULL, 'curator', 'publish', '{other}', '', '{}')",
            "{other}: manifest 1 was signed when the audit log had another entry 3",
        ),
    ],
)  # fmt: skip
async def test_a_recording_that_was_taken_out_of_the_audit_log_too_is_told(
    site: Site, statement: str, told: str
) -> None:
    await site.attack(WHOLE_RECORDING + statement)
    assert told.replace("{other}", site.other) in await site.told()


async def test_a_hold_that_nobody_released_is_told(site: Site) -> None:
    for reference in (site.one, site.other):
        held = await site.desk.type("recordings", "hold", reference, "--case", "12/26", "--reason", "court order")
        assert held.exit_code == ExitCode.OK
    released = await site.desk.type("recordings", "release", site.other, "--reason", "closed")
    assert (released.exit_code, await site.told()) == (ExitCode.OK, "")
    await site.attack("UPDATE legal_holds SET released_at = now(), released_by = 'x', release_reason = 'x'")
    gone = f"{site.one}: hold 1 does not stand, and nobody is said to have released it (entry 5 of the audit log)"
    assert await site.told() == gone
    await site.attack("DELETE FROM legal_holds")
    assert await site.told() == gone


async def test_documents_of_a_session_are_told_by_what_they_are(site: Site) -> None:
    document = (
        "INSERT INTO metadata_revisions (segment_id, received_at, content_type, body, sha256) "
        "SELECT id, opened_at, 'application/rs-metadata+xml', 'said', sha256('said') FROM segments;"
    )
    await site.attack(document + "SET session_replication_role = origin; UPDATE recordings SET finalised_at = now()")
    await site.curator.work()
    assert await site.told() == ""
    await site.attack("UPDATE metadata_revisions SET body = 'another'")
    assert "other sessions than the manifest states" in await site.told()


def exchange(one: Path, other: Path) -> None:
    parked = one.with_suffix(".parked")
    one.rename(parked)
    other.rename(one)
    parked.rename(other)


async def test_the_audio_of_two_recordings_that_changes_places_is_told(site: Site) -> None:
    one, other = sorted(site.curator.depot.local.root.rglob("*.wav"))
    exchange(one, other)
    told = await site.told()
    assert f"{one.name} was changed" in told
    assert f"{other.name} was changed" in told


async def test_captures_that_were_exchanged_are_told(site: Site) -> None:
    one, other = sorted((site.curator.state_dir / "captures").iterdir())
    exchange(one, other)
    told = await site.told()
    assert f"capture {one.name} " in told
    assert f"capture {other.name} " in told
    one.unlink()  # erased by retention, or lost: `captures list` tells these from each other
    assert one.name not in await site.told()


async def test_a_manifest_that_was_signed_anew_with_the_hosts_own_key_is_told(
    site: Site,
) -> None:
    """By root of this host, who has the key; the audit log knows what was sealed."""
    keys = SigningKeys.open(site.curator.state_dir / "keys")
    (path,) = (p for p in site.curator.depot.local.root.rglob("*.manifest") if site.one.replace("-", "") in p.name)
    document = json.loads(path.read_bytes())["document"]
    document["node"] = "another"
    path.chmod(0o644)
    path.write_bytes(sign(document, keys))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    await site.attack(f"UPDATE manifests SET sha256 = '\\x{digest}' WHERE recording_id = '{{one}}'")
    assert (
        f"{site.one}: the catalog has no manifest 1, which was sealed (entry 2 of the audit log)" in await site.told()
    )


async def test_one_recording_is_told_without_looking_at_all(site: Site) -> None:
    await site.attack("DELETE FROM ledger WHERE recording_id = '{one}' AND party = 1")
    assert "the ledger of party 1 is gone" in await site.told(site.one)
    assert await site.told(site.other) == ""


async def test_a_result_that_is_made_again_and_is_the_same_stays_sealed(site: Site) -> None:
    await site.attack("SET session_replication_role = origin; UPDATE recordings SET finalised_at = now()")
    assert (json.loads((await site.desk.type("verify", "--all", "--json")).stdout))["sealed"] == 0
    await site.curator.work()
    verified = json.loads((await site.desk.type("verify", "--all", "--json")).stdout)
    assert (verified["sealed"], verified["intact"]) == (2, True)


async def test_a_manifest_that_was_kept_elsewhere_anchors_the_audit_log(site: Site) -> None:
    (kept,) = (p for p in site.curator.depot.local.root.rglob("*.manifest") if site.other.replace("-", "") in p.name)
    assert (await site.desk.type("audit", "verify", "--anchor", kept)).exit_code == ExitCode.OK
    await site.attack("DELETE FROM audit_log WHERE number >= 3;" + HEAD_IS_LAST)
    verified = await site.desk.type("audit", "verify", "--anchor", kept)
    assert verified.exit_code == ExitCode.INTEGRITY
    assert "entry 3" in verified.stdout
