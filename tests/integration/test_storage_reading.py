"""Listings and look-ups on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from storage.catalog import Catalog
from storage.catalog.records import Door, RecordingState
from storage.catalog.views import Ambiguous, RecordingDetail, RecordingFilter
from storage.errors import StorageMisused
from tests.integration.storage_samples import START, closing, opening, with_facts

pytestmark = pytest.mark.integration


@pytest.fixture
async def listed(catalog: Catalog) -> Catalog:
    """Four recordings, one minute apart: A0, A1 by MSR, B2 by SIPREC and closed, C%3."""
    epoch = await catalog.acquire_lease()
    samples = [
        with_facts(opening("A0", epoch=epoch), dn="100", other_dn="200", ani="900", dnis="100", call_uuid="U0"),
        with_facts(opening("A1", epoch=epoch), dn="101", other_dn="100", ani="901", dnis="101", call_uuid="U1"),
        msgspec.structs.replace(
            with_facts(opening("B2", epoch=epoch), dn=None, other_dn=None, ani="902", dnis="100", call_uuid=None),
            door=Door.SIPREC,
        ),
        with_facts(opening("C%3", epoch=epoch), dn="103", other_dn="203", ani="903", dnis="103", call_uuid="U3"),
    ]
    for minute, sample in enumerate(samples):
        await catalog.open_segment(msgspec.structs.replace(sample, opened_at=START + timedelta(minutes=minute)))
    await catalog.close_segment(closing(samples[2]))
    return catalog


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["C%3", "B2", "A1", "A0"]),
        ({"started_from": START + timedelta(minutes=1)}, ["C%3", "B2", "A1"]),
        ({"started_to": START + timedelta(minutes=1)}, ["A0"]),
        ({"started_from": START, "started_to": START + timedelta(minutes=2)}, ["A1", "A0"]),
        ({"record_identifier": "A1"}, ["A1"]),
        ({"record_identifier": "A"}, []),
        ({"record_identifier": "A*"}, ["A1", "A0"]),
        ({"record_identifier": "*"}, ["C%3", "B2", "A1", "A0"]),
        ({"record_identifier": "C%*"}, ["C%3"]),
        ({"record_identifier": "%*"}, []),
        ({"call_uuid": "U1"}, ["A1"]),
        ({"dn": "100"}, ["A1", "A0"]),
        ({"dn": "203"}, ["C%3"]),
        ({"ani": "902"}, ["B2"]),
        ({"dnis": "100"}, ["B2", "A0"]),
        ({"state": RecordingState.FINALISING}, ["B2"]),
        ({"state": RecordingState.COMPLETE}, []),
        ({"door": Door.SIPREC}, ["B2"]),
        ({"dn": "100", "ani": "901"}, ["A1"]),
        ({"limit": 2}, ["C%3", "B2"]),
        ({"dn": "' OR true --"}, []),
    ],
)
async def test_filters(listed: Catalog, wanted: dict[str, Any], expected: list[str]) -> None:
    found = await listed.list_recordings(RecordingFilter(**wanted))
    assert [recording.record_identifier for recording in found] == expected


async def test_pages_follow_each_other_without_overlap(listed: Catalog) -> None:
    seen = []
    after = None
    while page := await listed.list_recordings(RecordingFilter(limit=1, after=after)):
        seen.append(page[0].record_identifier)
        after = page[-1].key
    assert seen == ["C%3", "B2", "A1", "A0"]


async def test_recordings_of_one_moment_are_paged_by_id(catalog: Catalog) -> None:
    epoch = await catalog.acquire_lease()
    for number in range(5):
        await catalog.open_segment(opening(f"SAME{number}", epoch=epoch))
    first = await catalog.list_recordings(RecordingFilter(limit=3))
    rest = await catalog.list_recordings(RecordingFilter(limit=3, after=first[-1].key))
    assert len({recording.recording_id for recording in (*first, *rest)}) == 5


@pytest.mark.parametrize("limit", [0, -1, 10_001])
async def test_an_impossible_page_is_refused(catalog: Catalog, limit: int) -> None:
    with pytest.raises(StorageMisused, match="limit"):
        await catalog.list_recordings(RecordingFilter(limit=limit))


async def test_call_ids_are_in_the_order_of_the_sessions(catalog: Catalog) -> None:
    epoch = await catalog.acquire_lease()
    samples = [opening("ONE", epoch=epoch) for _ in range(3)]
    for sample in samples:
        await catalog.open_segment(sample)
    (found,) = await catalog.list_recordings(RecordingFilter())
    assert found.sip_call_ids == tuple(sample.sip_call_id for sample in samples)


class TestOne:
    """`get_recording` takes whatever a person has at hand."""

    async def test_by_id_in_any_form(self, catalog: Catalog) -> None:
        opened = await catalog.open_segment(opening(epoch=await catalog.acquire_lease()))
        recording = opened.recording_id
        for reference in (recording, str(recording), recording.hex, str(recording).upper(), recording.hex[:8]):
            found = await catalog.get_recording(reference)
            assert isinstance(found, RecordingDetail)
            assert found.summary.recording_id == recording

    async def test_by_record_identifier(self, catalog: Catalog) -> None:
        await catalog.open_segment(opening("CALL 7/é", epoch=await catalog.acquire_lease()))
        found = await catalog.get_recording("CALL 7/é")
        assert isinstance(found, RecordingDetail)
        assert found.summary.record_identifier == "CALL 7/é"

    async def test_an_identifier_wins_over_the_beginning_of_an_id(self, catalog: Catalog) -> None:
        epoch = await catalog.acquire_lease()
        first = await catalog.open_segment(opening("FIRST", epoch=epoch))
        beginning = first.recording_id.hex[:6]
        await catalog.open_segment(opening(beginning, epoch=epoch))
        found = await catalog.get_recording(beginning)
        assert isinstance(found, RecordingDetail)
        assert found.summary.record_identifier == beginning

    @pytest.mark.parametrize("reference", ["", "nothing", "abc", "0000-0000", "f" * 33, "zzzzzzzz", UUID(int=1)])
    async def test_nothing_fits(self, catalog: Catalog, reference: str | UUID) -> None:
        await catalog.open_segment(opening(epoch=await catalog.acquire_lease()))
        assert await catalog.get_recording(reference) is None

    async def test_several_fit(self, catalog: Catalog, catalog_dsn: str) -> None:
        epoch = await catalog.acquire_lease()
        for number in range(2):
            await catalog.open_segment(opening(f"CALL{number}", epoch=epoch))
        ids = [UUID(int=0xABCD << 112 | number) for number in range(2)]
        connection = await asyncpg.connect(catalog_dsn)
        await connection.execute("ALTER TABLE segments DROP CONSTRAINT segments_recording_fkey")
        await connection.execute("DELETE FROM segments")
        for number, recording in enumerate(ids):
            await connection.execute(
                "UPDATE recordings SET id = $1 WHERE record_identifier = $2", recording, f"CALL{number}"
            )
        await connection.close()
        assert await catalog.get_recording("abcd") == Ambiguous(prefix="abcd", candidates=tuple(ids))
        assert isinstance(await catalog.get_recording(str(ids[0])), RecordingDetail)
