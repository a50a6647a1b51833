"""Publication of rendered recordings on a real PostgreSQL: repeatable, complete, and never behind the captures."""

from __future__ import annotations

import dataclasses
from uuid import uuid4

import msgspec
import pytest

from storage.catalog import Catalog
from storage.catalog.records import (
    OpenedSegment,
    PublicationRefusal,
    RecordingState,
    RenderedGap,
    SegmentOpening,
    SegmentState,
)
from storage.catalog.views import RecordingDetail
from storage.errors import AlreadyPublished, StorageMisused
from tests.integration.storage_samples import closing, opening, rendered

pytestmark = pytest.mark.integration


async def closed_session(catalog: Catalog, identifier: str = "CALL0001") -> tuple[SegmentOpening, OpenedSegment]:
    sample = msgspec.structs.replace(
        opening(identifier, epoch=await catalog.acquire_lease()), warnings=("from the door",)
    )
    opened = await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample))
    return sample, opened


async def detail(catalog: Catalog, opened: OpenedSegment) -> RecordingDetail:
    found = await catalog.get_recording(opened.recording_id)
    assert isinstance(found, RecordingDetail)
    return found


async def test_a_rendering_becomes_the_recording(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    result = rendered(opened.recording_id, sample)
    publication = await catalog.publish(result)
    assert (publication.refused, publication.superseded) == (None, ())
    found = await detail(catalog, opened)
    assert (found.summary.state, found.summary.duration_s) == (RecordingState.COMPLETE, 59.5)
    assert found.summary.started_at == result.started_at
    (gap,) = found.summary.gaps
    assert (gap.party, gap.start_s, gap.duration_s, gap.kind, gap.cause) == (1, 3.5, 0.04, "lost", "network")
    (file,) = found.files
    expected = dataclasses.asdict(result.files[0])
    assert {name: getattr(file, name) for name in expected} == expected
    assert found.segments[0].state is SegmentState.FINALISED
    assert [stream.quality for stream in found.segments[0].streams] == [None, {"packets": 2973, "lost": 2}]
    assert found.warnings == ("from the door", "stream 1 began 0.3 s late")


async def test_publishing_again_changes_nothing(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    await catalog.publish(rendered(opened.recording_id, sample))
    before = await detail(catalog, opened)
    publication = await catalog.publish(rendered(opened.recording_id, sample))
    assert (publication.refused, publication.superseded) == (None, ())
    assert await detail(catalog, opened) == before


async def test_another_rendering_replaces_the_rows_and_names_the_old_file(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    first = rendered(opened.recording_id, sample)
    await catalog.publish(first)
    second = dataclasses.replace(rendered(opened.recording_id, sample, digest=b"\x02" * 32), gaps=(), warnings=())
    publication = await catalog.publish(second)
    assert publication.superseded == (("local", first.files[0].path),)
    found = await detail(catalog, opened)
    assert [file.path for file in found.files] == [second.files[0].path]
    assert (found.summary.gaps, found.warnings) == ((), ("from the door",))


async def test_the_job_is_completed_with_the_publication(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    job = await catalog.claim_job("curator")
    assert (await catalog.publish(rendered(opened.recording_id, sample), job=job)).refused is None
    assert [job.kind for job in await catalog.list_jobs()] == ["manifest"]


async def test_a_worker_that_lost_its_job_publishes_nothing(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    frozen = await catalog.claim_job("curator-1", lease_s=0.0)
    assert await catalog.claim_job("curator-2") is not None
    publication = await catalog.publish(rendered(opened.recording_id, sample), job=frozen)
    assert publication.refused is PublicationRefusal.JOB_LOST
    assert (await detail(catalog, opened)).summary.state is RecordingState.FINALISING


async def test_a_recording_that_goes_on_is_not_published(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    following = opening("CALL0001", epoch=sample.epoch)
    await catalog.open_segment(following)
    publication = await catalog.publish(rendered(opened.recording_id, sample))
    assert publication.refused is PublicationRefusal.REOPENED
    found = await detail(catalog, opened)
    assert (found.summary.state, found.files) == (RecordingState.RECORDING, ())


async def test_a_rendering_without_the_latest_segment_is_not_published(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    following = opening("CALL0001", epoch=sample.epoch)
    await catalog.open_segment(following)
    await catalog.close_segment(closing(following))
    assert (await catalog.publish(rendered(opened.recording_id, sample))).refused is PublicationRefusal.SEGMENTS_CHANGED
    assert (await catalog.publish(rendered(opened.recording_id, following, sample))).refused is None


async def test_a_finished_recording_goes_on_with_a_new_session(catalog: Catalog) -> None:
    """The same identifier after the end: stop and start by CTI, or the other Media Server."""
    sample, opened = await closed_session(catalog)
    await catalog.publish(rendered(opened.recording_id, sample), job=await catalog.claim_job("curator"))
    following = opening("CALL0001", epoch=sample.epoch)
    continued = await catalog.open_segment(following)
    assert (continued.ordinal, continued.continued) == (2, True)
    found = await detail(catalog, opened)
    assert found.summary.state is RecordingState.RECORDING
    assert len(found.files) == 1, "the finished part stays available"
    await catalog.close_segment(closing(following))
    again = await catalog.claim_job("curator")
    assert again is not None
    both = rendered(opened.recording_id, sample, following, digest=b"\x03" * 32)
    publication = await catalog.publish(both, job=again)
    assert (publication.refused, len(publication.superseded)) == (None, 1)


async def test_no_media_has_no_file(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    empty = dataclasses.replace(
        rendered(opened.recording_id, sample), state=RecordingState.NO_MEDIA, files=(), gaps=(), duration_s=0.0
    )
    await catalog.publish(empty)
    found = await detail(catalog, opened)
    assert (found.summary.state, found.summary.duration_s, found.files) == (RecordingState.NO_MEDIA, 0.0, ())


async def test_an_unknown_recording_is_a_lost_race(catalog: Catalog) -> None:
    sample, _ = await closed_session(catalog)
    publication = await catalog.publish(rendered(uuid4(), sample))
    assert publication.refused is PublicationRefusal.UNKNOWN_RECORDING


async def test_a_file_of_another_recording_is_not_taken_over(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    other, other_opened = await closed_session(catalog, "CALL0002")
    await catalog.publish(rendered(opened.recording_id, sample))
    thief = dataclasses.replace(
        rendered(other_opened.recording_id, other), files=rendered(opened.recording_id, sample).files
    )
    with pytest.raises(AlreadyPublished):
        await catalog.publish(thief)
    assert (await detail(catalog, other_opened)).summary.state is RecordingState.FINALISING
    assert len((await detail(catalog, opened)).files) == 1


async def test_an_impossible_gap_is_refused_as_a_whole(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    result = rendered(opened.recording_id, sample)
    impossible = dataclasses.replace(result.gaps[0], duration_s=0.0)
    with pytest.raises(StorageMisused, match="no duration"):
        await catalog.publish(dataclasses.replace(result, gaps=(impossible,)))
    found = await detail(catalog, opened)
    assert (found.summary.state, found.files) == (RecordingState.FINALISING, ())


async def test_what_a_rendering_starts_from(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    segments = await catalog.recording_segments(opened.recording_id)
    assert segments is not None
    assert (segments.record_identifier, segments.state) == ("CALL0001", RecordingState.FINALISING)
    (segment,) = segments.segments
    assert [capture.path for capture in segment.captures] == [sample.capture_path]
    assert [(stream.index, stream.party, stream.label) for stream in segment.streams] == [(0, 0, "1"), (1, 1, "2")]
    assert await catalog.recording_segments(uuid4()) is None


async def test_many_gaps_are_published_at_once(catalog: Catalog) -> None:
    sample, opened = await closed_session(catalog)
    result = rendered(opened.recording_id, sample)
    gaps = tuple(
        RenderedGap(party=number % 2, start_s=number * 0.02, duration_s=0.02, kind=result.gaps[0].kind, cause="network")
        for number in range(2000)
    )
    await catalog.publish(dataclasses.replace(result, gaps=gaps))
    assert len((await detail(catalog, opened)).summary.gaps) == 2000
