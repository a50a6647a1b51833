"""An object store keeps its objects for a time: redaction and deletion wait for it, however long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.views import RecordingDetail
from tests.integration.test_redaction_of_stored import Desk
from tests.integration.test_storage_rebalance import tables
from tests.kit.curating import QUICK, Curating
from tests.kit.object_storage import ObjectStorage, object_storage
from tests.kit.recipients import make_recipient

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MORE_THAN_USUAL = 10
"""Attempts; other jobs are dead after eight."""


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


async def try_again(curator: Curating, dsn: str, kind: str) -> None:
    """Do a job that fails, as often as it would be tried in some hours."""
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(MORE_THAN_USUAL):
            await connection.execute("UPDATE jobs SET run_after = now()")
            assert kind in await curator.work(kinds=(kind, *QUICK))
    finally:
        await connection.close()
    (left,) = [job for job in await curator.catalog.list_jobs() if job.kind == kind]
    assert left.state == "queued"
    assert "refuses it" in str(left.last_error)


async def once_more(curator: Curating, dsn: str, kind: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE jobs SET run_after = now()")
    finally:
        await connection.close()
    await curator.work(kinds=(kind, *QUICK))


class Locked:
    """A recording whose audio object somebody has locked."""

    def __init__(self, server: ObjectStorage, curator: Curating, path: str) -> None:
        self._client = server.client
        self._where = {"Bucket": curator.settings.s3.bucket, "Key": path}

    def lock(self, status: str) -> None:
        self._client.put_object_legal_hold(**self._where, LegalHold={"Status": status})

    @property
    def versions(self) -> int:
        found = self._client.list_object_versions(Bucket=self._where["Bucket"], Prefix=self._where["Key"])
        return len([one for one in found.get("Versions", ()) if one["Key"] == self._where["Key"]])


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_redaction_erases_the_former_object_when_it_may(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage, *, encrypted: bool
) -> None:
    public, private = make_recipient(tmp_path, "x25519")
    more = {"store": "s3", "encrypt_to": [str(public)] if encrypted else []}
    curator = Curating(catalog, tmp_path / "state", **tables(tmp_path, server, lockable=True, **more))
    await curator.record("CALL0001", seconds=2.0)
    await curator.work()
    desk, key = Desk(curator, catalog_dsn), private if encrypted else None
    old = await desk.file("CALL0001")
    locked = Locked(server, curator, old.path)
    locked.lock("ON")
    told = await desk.redact("CALL0001", key)
    assert [one["done"] for one in told["recordings"]] == [False]  # type: ignore[attr-defined]
    await try_again(curator, catalog_dsn, "redact")
    recording = await catalog.get_recording("CALL0001")
    assert isinstance(recording, RecordingDetail)
    assert [file.kind for file in recording.files if file.path == old.path] == ["to-erase"]
    assert [file.kind for file in recording.files if file.path != old.path] == ["master"]
    assert [one.done_at for one in recording.redactions] == [None]
    assert locked.versions == 1

    locked.lock("OFF")
    await once_more(curator, catalog_dsn, "redact")
    assert (await desk.file("CALL0001")).sha256 != old.sha256
    assert locked.versions == 0
    recording = await catalog.get_recording("CALL0001")
    assert isinstance(recording, RecordingDetail)
    assert recording.redactions[0].done_at is not None


async def test_a_deletion_ends_when_the_object_may_go(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage
) -> None:
    curator = Curating(catalog, tmp_path / "state", **tables(tmp_path, server, lockable=True, store="s3"))
    opened = await curator.record("CALL0001")
    await curator.work()
    locked = Locked(server, curator, (await Desk(curator, catalog_dsn).file("CALL0001")).path)
    locked.lock("ON")
    await catalog.deletions.begin(opened.recording_id, by="anna", reason="a mistake")
    await try_again(curator, catalog_dsn, "erase@host-a")
    locked.lock("OFF")
    await once_more(curator, catalog_dsn, "erase@host-a")
    assert locked.versions == 0
    assert await catalog.list_jobs() == []
