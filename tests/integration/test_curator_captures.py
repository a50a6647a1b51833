"""Curators of two hosts, one catalog, and captures that only one of them sees: nothing is published with less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail
from tests.kit.curating import Curating
from tests.unit.media.pipeline.recordings import sound, wav_channels

pytestmark = pytest.mark.integration


@pytest.fixture
def host(catalog: Catalog, tmp_path: Path) -> Callable[[str], Curating]:
    """A curator of a host of its own state directory; finished files are shared."""
    return lambda node: Curating(catalog, tmp_path / node, node=node, recordings={"root": str(tmp_path / "recordings")})


async def detail(catalog: Catalog, recording_id: object) -> RecordingDetail:
    found = await catalog.get_recording(str(recording_id))
    assert isinstance(found, RecordingDetail)
    return found


async def hurry(dsn: str, *, attempts: int | None = None) -> None:
    """Let the back-off pass."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE jobs SET run_after = now(), attempts = coalesce($1, attempts)", attempts)
    finally:
        await connection.close()


def hide(curator: Curating) -> Path:
    """Take the captures of a host out of sight, as they are for another one that does not share them."""
    return (curator.state_dir / "captures").rename(curator.state_dir / "elsewhere")


async def test_a_host_does_not_finalise_what_another_host_captured(
    host: Callable[[str], Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    one, other = host("host-a"), host("host-b")
    opened = await one.record("CALL0001")
    hidden = hide(one)
    assert await other.work() == ["finalise"]
    (job,) = await catalog.list_jobs()
    assert (job.kind, job.state, job.attempts) == ("finalise", "queued", 1)
    assert "host-a" in str(job.last_error)
    assert "elsewhere" not in str(job.last_error)
    found = await detail(catalog, opened.recording_id)
    assert (found.summary.state, found.files) == (RecordingState.FINALISING, ())

    hidden.rename(one.state_dir / "captures")
    await hurry(catalog_dsn)
    assert await one.work() == ["finalise", "manifest"]
    found = await detail(catalog, opened.recording_id)
    assert found.summary.state is RecordingState.COMPLETE
    (file,) = found.files
    assert wav_channels(one.depot.local.locate(file.path))[0].tobytes() == sound(4000, 1)


async def test_a_recording_whose_captures_nobody_sees_fails_and_loses_nothing(
    host: Callable[[str], Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    one, other = host("host-a"), host("host-b")
    opened = await one.record("CALL0001")
    hidden = hide(one)
    await hurry(catalog_dsn, attempts=7)
    await other.work()
    found = await detail(catalog, opened.recording_id)
    assert (found.summary.state, found.captures_kept) == (RecordingState.FAILED, True)
    (job,) = await catalog.list_jobs()
    assert job.state == "dead"

    hidden.rename(one.state_dir / "captures")
    assert await catalog.retry_job(job.job_id)
    assert await one.work() == ["finalise", "manifest"]
    assert (await detail(catalog, opened.recording_id)).summary.state is RecordingState.COMPLETE


async def test_a_further_session_on_another_host_does_not_cost_the_first_one(
    host: Callable[[str], Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    one, other = host("host-a"), host("host-b")
    opened = await one.record("CALL0001")
    await one.work()
    (file,) = (await detail(catalog, opened.recording_id)).files
    hidden = hide(one)
    await other.record("CALL0001", seed=7)
    assert await other.work() == ["finalise"]
    found = await detail(catalog, opened.recording_id)
    assert found.files == (file,)
    assert one.depot.local.locate(file.path).exists()

    hidden.rename(one.state_dir / "captures")
    await hurry(catalog_dsn)
    assert sorted(await one.work()) == ["discard", "finalise", "manifest"]
    found = await detail(catalog, opened.recording_id)
    assert found.summary.state is RecordingState.COMPLETE
    # As if one host had recorded both.
    alike = await one.record("CALL0002")
    await one.record("CALL0002", seed=7)
    await one.work()
    heard, expected = [
        wav_channels(one.depot.local.locate((await detail(catalog, each)).files[0].path))[0].tobytes()
        for each in (opened.recording_id, alike.recording_id)
    ]
    assert heard == expected != sound(4000, 7)


async def test_a_capture_that_its_own_host_has_lost_is_said_to_be_missing(
    host: Callable[[str], Curating], catalog: Catalog
) -> None:
    one = host("host-a")
    opened = await one.record("CALL0001")
    (capture,) = (one.state_dir / "captures").iterdir()
    capture.unlink()
    await one.record("CALL0001", seed=7)
    await one.work()
    found = await detail(catalog, opened.recording_id)
    assert found.summary.state is RecordingState.INTERRUPTED
    assert f"capture missing: {capture}" in found.warnings
    (file,) = found.files
    # It goes on without what its file never had.
    await one.record("CALL0001", seed=9)
    assert sorted(await one.work()) == ["discard", "finalise", "manifest"]
    assert (await detail(catalog, opened.recording_id)).files != (file,)


async def test_a_file_is_not_replaced_by_one_without_a_lost_capture_that_it_has(
    host: Callable[[str], Curating], catalog: Catalog
) -> None:
    one = host("host-a")
    opened = await one.record("CALL0001")
    await one.work()
    (file,) = (await detail(catalog, opened.recording_id)).files
    (capture,) = (one.state_dir / "captures").iterdir()
    capture.unlink()
    await one.record("CALL0001", seed=7)
    assert await one.work() == ["finalise"]
    (job,) = await catalog.list_jobs()
    assert str(capture) in str(job.last_error)
    assert (await detail(catalog, opened.recording_id)).files == (file,)
