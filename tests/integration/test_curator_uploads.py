"""Uploads against what happens meanwhile: no object stays that nothing claims, and no claim without its object."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from recorder.curator.work import JOBS, NODE
from storage.catalog import Catalog
from storage.catalog.deletions import ERASE
from storage.catalog.records import OpenedSegment
from storage.catalog.views import RecordingDetail
from tests.integration.test_curator_files import s3_tables
from tests.kit.curating import Curating
from tests.kit.object_storage import ObjectStorage, object_storage
from tests.kit.redacting import begin_redaction

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


@pytest.fixture
def curator(catalog: Catalog, tmp_path: Path, server: ObjectStorage) -> Curating:
    return Curating(catalog, tmp_path / "state", **s3_tables(server))


async def ready(curator: Curating) -> OpenedSegment:
    """A recording whose upload is queued."""
    opened = await curator.record("CALL0001")
    assert await curator.work(kinds=("finalise", "manifest")) == ["finalise", "manifest"]
    return opened


def meanwhile(
    curator: Curating, monkeypatch: pytest.MonkeyPatch, what: Callable[[], Awaitable[object]], *, before: bool = False
) -> None:
    """Let something happen during the first upload: before its bytes are in the other store, or just after."""
    remote, loop = curator.depot.remote, asyncio.get_running_loop()
    assert remote is not None
    put = remote.put
    happened: list[str] = []

    def interrupted(source: Path, path: str, *, size_bytes: int, sha256: bytes) -> None:
        first = not happened
        happened.append(path)
        if first and before:
            # An upload that has begun reads on from a file that lost its name.
            source = Path(shutil.copy(source, curator.state_dir / "opened"))
            asyncio.run_coroutine_threadsafe(what(), loop).result(30)  # type: ignore[arg-type]
        put(source, path, size_bytes=size_bytes, sha256=sha256)
        if first and not before:
            asyncio.run_coroutine_threadsafe(what(), loop).result(30)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "put", interrupted)


async def again(curator: Curating, dsn: str) -> list[str]:
    """Do what was given back, too, without its back-off."""
    done: list[str] = []
    for _ in range(5):
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("UPDATE jobs SET run_after = now() WHERE state = 'queued'")
        finally:
            await connection.close()
        done += await curator.work()
    return done


async def erase(curator: Curating) -> None:
    """Do the erase job of this host."""
    kind = ERASE + NODE
    job = await curator.catalog.claim_job("eraser", kinds=(kind.replace(NODE, curator.settings.node),))
    assert job is not None
    await JOBS[kind](curator.tools)(job)


def objects(curator: Curating) -> list[str]:
    return sorted(file.path for file in curator.depot.store("s3").list())


async def places(curator: Curating, opened: OpenedSegment) -> set[str]:
    found = await curator.catalog.get_recording(opened.recording_id)
    assert isinstance(found, RecordingDetail)
    return {file.store for file in found.files}


@pytest.mark.parametrize("before", [True, False])
async def test_what_is_deleted_during_its_upload_stays_in_no_store(
    curator: Curating, catalog_dsn: str, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    opened = await ready(curator)

    async def delete() -> None:
        await curator.catalog.deletions.begin(opened.recording_id, by="anna", reason="asked for")
        await erase(curator)
        await curator.work(kinds=("discard",))

    meanwhile(curator, monkeypatch, delete, before=before)
    await again(curator, catalog_dsn)
    assert objects(curator) == []
    assert [job.kind for job in await curator.catalog.list_jobs()] == []


async def test_a_deletion_that_has_begun_ends_an_upload(
    curator: Curating, catalog_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host that erases has been told where the files are: they must not go elsewhere meanwhile."""
    opened = await ready(curator)
    meanwhile(
        curator,
        monkeypatch,
        lambda: curator.catalog.deletions.begin(opened.recording_id, by="anna", reason="asked for"),
    )
    await again(curator, catalog_dsn)
    assert await places(curator, opened) == {"local"}
    assert objects(curator) == []


@pytest.mark.parametrize("during", [True, False])
async def test_a_file_is_uploaded_only_after_its_redaction(
    curator: Curating, catalog_dsn: str, monkeypatch: pytest.MonkeyPatch, during: bool
) -> None:
    opened = await ready(curator)

    async def redact() -> None:
        assert await begin_redaction(curator.catalog, opened.recording_id, start_s=0.1, end_s=0.2) is None

    if during:
        meanwhile(curator, monkeypatch, redact)
    else:
        await redact()
    await again(curator, catalog_dsn)
    assert await places(curator, opened) == {"local"}
    assert objects(curator) == [], "the stretch is in no other store"
    assert await curator.work(kinds=("redact",)) == ["redact"]
    await again(curator, catalog_dsn)
    assert await places(curator, opened) == {"s3"}
    (redaction,) = await curator.catalog.redactions.of(opened.recording_id)
    assert redaction.done_at is not None


async def test_an_object_that_somebody_removed_is_not_claimed(
    curator: Curating, catalog_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await ready(curator)

    async def remove() -> None:
        await curator.catalog.files.withdraw(opened.recording_id)
        await curator.work(kinds=("discard",))

    meanwhile(curator, monkeypatch, remove)
    await curator.work(kinds=("upload",))
    assert objects(curator) == []
    assert await places(curator, opened) == {"local"}
    await again(curator, catalog_dsn)
    assert await places(curator, opened) == {"s3"}
    assert len(objects(curator)) == 2, "audio and manifest"


async def test_who_lost_the_job_moves_nothing(curator: Curating) -> None:
    opened = await ready(curator)
    frozen = await curator.catalog.claim_job("frozen", kinds=("upload",), lease_s=0.0)
    successor = await curator.catalog.claim_job("successor", kinds=("upload",))
    assert frozen is not None
    assert successor is not None
    claim, *_ = await curator.catalog.files.in_store(opened.recording_id, "local")
    move = curator.catalog.files.move
    assert not await move(opened.recording_id, claim, source="local", target="s3", by="curator", job=successor), (
        "nothing intended"
    )
    await curator.catalog.files.intend(opened.recording_id, "s3", claim.path, claim.sha256)
    assert not await move(opened.recording_id, claim, source="local", target="s3", by="curator", job=frozen)
    assert await move(opened.recording_id, claim, source="local", target="s3", by="curator", job=successor)
