"""The lease in a real PostgreSQL: no write of a stale holder."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.records import (
    DialogCheckpoint,
    MetadataRevision,
    StreamsChange,
)
from storage.catalog.views import RecordingFilter
from storage.errors import StaleEpoch
from tests.integration.storage_samples import START, closing, detail, opening

pytestmark = pytest.mark.integration


class TestLease:
    async def test_each_acquisition_raises_the_epoch(self, catalog: Catalog) -> None:
        assert [await catalog.acquire_lease(holder=holder) for holder in "aba"] == [1, 2, 3]

    async def test_leases_do_not_meet(self, catalog: Catalog) -> None:
        await catalog.acquire_lease("one")
        assert await catalog.acquire_lease("two") == 1

    async def test_acquisitions_at_once_give_different_epochs(self, catalog: Catalog) -> None:
        epochs = await asyncio.gather(*(catalog.acquire_lease(holder=str(number)) for number in range(20)))
        assert sorted(epochs) == list(range(1, 21))

    async def test_no_write_without_an_acquired_lease(self, catalog: Catalog) -> None:
        with pytest.raises(StaleEpoch):
            await catalog.open_segment(opening(epoch=1))

    async def test_every_write_of_a_replaced_holder_is_refused(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        before = await detail(catalog, opened.recording_id)
        await catalog.acquire_lease(holder="frontend-b")
        checkpoint = DialogCheckpoint(
            epoch=epoch, dialog_id=sample.dialog_id, segment_id=sample.segment_id, writer="w", snapshot=b"new"
        )
        revision = MetadataRevision(
            epoch=epoch, segment_id=sample.segment_id, received_at=START, content_type="a/b", body=b"x"
        )
        stale = [
            catalog.open_segment(opening("OTHER", epoch=epoch)),
            catalog.change_streams(StreamsChange(epoch=epoch, segment_id=sample.segment_id, streams=())),
            catalog.save_dialog(checkpoint),
            catalog.end_dialog(sample.dialog_id, epoch),
            catalog.forget_dialogs(datetime.now(UTC), epoch),
            catalog.close_segment(closing(sample)),
            catalog.mark_interrupted(sample.segment_id, epoch, at=START, cause="crash"),
            catalog.add_metadata(revision),
            catalog.add_traces([], epoch),
        ]
        for write in stale:
            with pytest.raises(StaleEpoch, match="epoch 1 of lease 'frontend'"):
                await write
        assert await detail(catalog, opened.recording_id) == before
        assert [dialog.snapshot for dialog in await catalog.load_dialogs()] == [sample.dialog_snapshot]
        assert len(await catalog.list_recordings(RecordingFilter())) == 1

    async def test_an_acquisition_waits_for_writes_under_way(
        self, catalog: Catalog, catalog_dsn: str, epoch: int
    ) -> None:
        """Otherwise the new holder could load dialogs and miss one that its predecessor still commits."""
        connection = await asyncpg.connect(catalog_dsn)
        try:
            async with connection.transaction():
                await connection.execute("SELECT require_lease_v1('frontend', $1)", epoch)
                acquisition = asyncio.ensure_future(catalog.acquire_lease(holder="frontend-b"))
                done, _ = await asyncio.wait([acquisition], timeout=0.2)
                assert not done
            assert await acquisition == epoch + 1
        finally:
            await connection.close()

    async def test_a_write_that_waited_for_an_acquisition_sees_the_new_epoch(
        self, catalog: Catalog, catalog_dsn: str, epoch: int
    ) -> None:
        connection = await asyncpg.connect(catalog_dsn)
        try:
            async with connection.transaction():
                await connection.execute("SELECT acquire_lease_v1('frontend', 'frontend-b')")
                write = asyncio.ensure_future(catalog.open_segment(opening(epoch=epoch)))
                done, _ = await asyncio.wait([write], timeout=0.2)
                assert not done
            with pytest.raises(StaleEpoch):
                await write
        finally:
            await connection.close()
