"""What a frontend leaves of its dialogs in a real PostgreSQL, for the next one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from storage.catalog import Catalog, sessions
from storage.catalog.records import (
    DialogCheckpoint,
    StreamOpening,
)
from storage.errors import StaleEpoch, StorageMisused
from tests.integration.storage_samples import START, closing, detail, opening

pytestmark = pytest.mark.integration


class TestDialogs:
    async def test_a_snapshot_comes_back_as_it_was(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        (dialog,) = await catalog.load_dialogs()
        assert (dialog.dialog_id, dialog.snapshot, dialog.epoch) == (sample.dialog_id, sample.dialog_snapshot, epoch)
        assert (dialog.segment_id, dialog.recording_id) == (sample.segment_id, opened.recording_id)
        assert dialog.ended_at is None

    async def test_a_checkpoint_replaces_the_snapshot(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        newer = await catalog.acquire_lease(holder="frontend-b")
        large = bytes(range(256)) * 250
        await catalog.save_dialog(
            DialogCheckpoint(
                epoch=newer, dialog_id=sample.dialog_id, segment_id=sample.segment_id, writer="writer-1", snapshot=large
            )
        )
        (dialog,) = await catalog.load_dialogs()
        assert (dialog.snapshot, dialog.epoch) == (large, newer)

    async def test_a_segment_that_moves_remembers_its_earlier_capture(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        moved = DialogCheckpoint(
            epoch=epoch,
            dialog_id=sample.dialog_id,
            segment_id=sample.segment_id,
            writer="writer-7",
            host="host-b",
            capture_path="captures/moved.tcap",
            snapshot=b"s",
        )
        await catalog.save_dialog(moved)
        await catalog.save_dialog(moved)
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert [(at.writer, at.host, at.path) for at in segment.captures] == [
            ("writer-1", "host-a", sample.capture_path),
            ("writer-7", "host-b", "captures/moved.tcap"),
        ]

    async def test_a_state_that_comes_behind_a_later_one_changes_nothing_but_its_capture_is_known(
        self, catalog: Catalog, epoch: int
    ) -> None:
        """Its statement was given up, and carried out when the server was back: behind all that came in its place."""
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)

        def state(number: int, *, by: int = epoch) -> DialogCheckpoint:
            return DialogCheckpoint(
                epoch=epoch,
                dialog_id=sample.dialog_id,
                segment_id=sample.segment_id,
                writer=f"writer-{number}",
                capture_path=f"captures/{number}.tcap",
                snapshot=b"%d" % number,
                made=(by, number),
                streams=(StreamOpening(index=0, party=0, label=f"label {number}"),),
            )

        for came in (state(3), state(2), state(2), state(9, by=epoch - 1), state(3)):
            await catalog.save_dialog(came)
        (dialog,) = await catalog.load_dialogs()
        assert (dialog.snapshot, dialog.writer, dialog.made) == (b"3", "writer-3", (epoch, 3))
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert [at.path for at in segment.captures] == [
            sample.capture_path,
            "captures/2.tcap",
            "captures/9.tcap",
            "captures/3.tcap",
        ]
        assert [stream.label for stream in segment.streams if stream.index == 0] == ["label 3"]

    async def test_a_state_that_comes_behind_the_end_leaves_the_answer_to_the_bye(
        self, catalog: Catalog, epoch: int
    ) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        await catalog.close_segment(msgspec.structs.replace(closing(sample), dialog_snapshot=b"with the 200 to BYE"))
        await catalog.save_dialog(
            DialogCheckpoint(
                epoch=epoch,
                dialog_id=sample.dialog_id,
                segment_id=sample.segment_id,
                writer="writer-1",
                snapshot=b"live",
                made=(epoch, 1),
            )
        )
        (kept,) = await catalog.load_dialogs(ended_within=timedelta(seconds=32))
        assert kept.snapshot == b"with the 200 to BYE"

    async def test_an_unknown_segment_is_refused(self, catalog: Catalog, epoch: int) -> None:
        with pytest.raises(StorageMisused, match="does not exist"):
            await catalog.save_dialog(
                DialogCheckpoint(epoch=epoch, dialog_id="d", segment_id=uuid4(), writer="w", snapshot=b"")
            )

    async def test_checkpoints_that_come_together_are_all_stored_and_each_has_its_own_outcome(
        self, catalog: Catalog, epoch: int
    ) -> None:
        samples = [opening(f"R{number}", epoch=epoch) for number in range(150)]
        for sample in samples:
            await catalog.open_segment(sample)

        def checkpoint(number: int, snapshot: bytes) -> DialogCheckpoint:
            sample = samples[number]
            return DialogCheckpoint(
                epoch=epoch, dialog_id=sample.dialog_id, segment_id=sample.segment_id, writer="w", snapshot=snapshot
            )

        unknown = DialogCheckpoint(epoch=epoch, dialog_id="d", segment_id=uuid4(), writer="w", snapshot=b"")
        wrong = msgspec.structs.replace(checkpoint(1, b"wrong"), writer="not \ud800 text")
        writes = [checkpoint(number, b"first") for number in range(150)]
        writes += [unknown, wrong, *(checkpoint(number, b"%d" % number) for number in range(150))]
        outcomes = await asyncio.gather(*map(catalog.save_dialog, writes), return_exceptions=True)
        assert [number for number, outcome in enumerate(outcomes) if outcome] == [150, 151]
        assert all(isinstance(outcome, StorageMisused) for outcome in outcomes[150:152])
        stored = {dialog.dialog_id: dialog.snapshot for dialog in await catalog.load_dialogs()}
        assert stored == {sample.dialog_id: b"%d" % number for number, sample in enumerate(samples)}

    async def test_checkpoints_of_a_replaced_holder_are_refused_beside_those_of_the_new_one(
        self, catalog: Catalog, epoch: int
    ) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        newer = await catalog.acquire_lease(holder="frontend-b")
        writes = [
            DialogCheckpoint(
                epoch=mine, dialog_id=sample.dialog_id, segment_id=sample.segment_id, writer="w", snapshot=snapshot
            )
            for mine, snapshot in [(epoch, b"old"), (newer, b"new"), (epoch, b"late")]
        ]
        outcomes = await asyncio.gather(*map(catalog.save_dialog, writes), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StaleEpoch, type(None), StaleEpoch]
        assert [dialog.snapshot for dialog in await catalog.load_dialogs()] == [b"new"]

    async def test_an_ended_dialog_is_kept_for_retransmissions_and_then_forgotten(
        self, catalog: Catalog, epoch: int
    ) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        await catalog.close_segment(msgspec.structs.replace(closing(sample), dialog_snapshot=b"with the 200 to BYE"))
        assert await catalog.load_dialogs() == []
        (kept,) = await catalog.load_dialogs(ended_within=timedelta(seconds=32))
        assert kept.snapshot == b"with the 200 to BYE"
        assert kept.ended_at is not None
        assert await catalog.forget_dialogs(kept.ended_at, epoch) == 0
        assert await catalog.forget_dialogs(kept.ended_at + timedelta(seconds=1), epoch) == 1
        assert await catalog.load_dialogs(ended_within=timedelta(days=1)) == []

    async def test_end_dialog(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        await catalog.end_dialog(sample.dialog_id, epoch)
        assert await catalog.load_dialogs() == []
        assert len(await catalog.open_segments()) == 1

    async def test_dialogs_are_loaded_in_pages_and_come_oldest_first(
        self, catalog: Catalog, epoch: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DIALOGS_AT_ONCE", 2)
        samples = [
            opening(f"call-{number}", epoch=epoch, at=START - timedelta(seconds=7 * number % 5)) for number in range(5)
        ]
        expected = sorted(samples, key=lambda sample: (sample.opened_at, sample.dialog_id))
        for count, sample in enumerate(samples):
            assert len(await catalog.load_dialogs()) == count
            await catalog.open_segment(sample)
        assert [dialog.dialog_id for dialog in await catalog.load_dialogs()] == [one.dialog_id for one in expected]

    async def test_live_dialogs_come_in_the_order_of_opening(self, catalog: Catalog, epoch: int) -> None:
        samples = [opening(f"CALL{minute}", epoch=epoch, at=START + timedelta(minutes=minute)) for minute in (3, 1, 2)]
        for sample in samples:
            await catalog.open_segment(sample)
        assert [dialog.record_identifier for dialog in await catalog.load_dialogs()] == ["CALL1", "CALL2", "CALL3"]
