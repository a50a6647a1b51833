"""Writes of the frontend on a real PostgreSQL: one recording for each identifier, and no write of a stale holder."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from storage.catalog import Catalog, sessions
from storage.catalog.records import (
    CallFacts,
    DialogCheckpoint,
    Door,
    MetadataRevision,
    OpeningMetadata,
    RecordingState,
    SegmentState,
    SipMessageTrace,
    StreamOpening,
    StreamsChange,
)
from storage.catalog.views import RecordingDetail, RecordingFilter
from storage.errors import StaleEpoch, StorageMisused
from tests.integration.storage_samples import START, closing, opening, rows, with_facts

pytestmark = pytest.mark.integration


async def detail(catalog: Catalog, recording: UUID) -> RecordingDetail:
    found = await catalog.get_recording(recording)
    assert isinstance(found, RecordingDetail)
    return found


@pytest.fixture
async def epoch(catalog: Catalog) -> int:
    return await catalog.acquire_lease(holder="frontend-a")


class TestOpening:
    async def test_a_new_identifier_opens_a_recording(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        assert (opened.segment_id, opened.ordinal, opened.continued) == (sample.segment_id, 1, False)
        found = await detail(catalog, opened.recording_id)
        assert found.summary.state is RecordingState.RECORDING
        assert found.summary.record_identifier == sample.record_identifier
        assert found.summary.started_at == START
        assert found.summary.call_uuid == "CALL0001"
        assert found.summary.sip_call_ids == (sample.sip_call_id,)
        assert found.parameters == sample.parameters
        (segment,) = found.segments
        assert (segment.state, segment.writer, segment.descriptor) == (
            SegmentState.OPEN,
            "writer-1",
            sample.descriptor,
        )
        assert [stream.label for stream in segment.streams] == ["1", "2"]
        assert segment.streams[0].payload_types == {"0": {"name": "PCMU", "clock_rate": 8000}}
        assert segment.streams[1].participant == {"aor": "sip:5550111@192.0.2.7"}

    async def test_a_known_identifier_continues_its_recording(self, catalog: Catalog, epoch: int) -> None:
        first = opening(epoch=epoch)
        second = opening(epoch=epoch, at=START + timedelta(minutes=5))
        one = await catalog.open_segment(first)
        two = await catalog.open_segment(second)
        assert two.recording_id == one.recording_id
        assert (two.ordinal, two.continued) == (2, True)
        found = await detail(catalog, one.recording_id)
        assert found.summary.started_at == START
        assert [segment.segment_id for segment in found.segments] == [first.segment_id, second.segment_id]

    async def test_the_first_facts_are_kept_and_missing_ones_filled(self, catalog: Catalog, epoch: int) -> None:
        first = with_facts(opening(epoch=epoch), agent_id=None, dn="5550100")
        second = with_facts(opening(epoch=epoch), agent_id="7001", dn="5550999")
        opened = await catalog.open_segment(first)
        await catalog.open_segment(second)
        summary = (await detail(catalog, opened.recording_id)).summary
        assert (summary.agent_id, summary.dn) == ("7001", "5550100")

    async def test_the_same_segment_again_changes_nothing(self, catalog: Catalog, epoch: int) -> None:
        sample = msgspec.structs.replace(opening(epoch=epoch), warnings=("no label",))
        first = await catalog.open_segment(sample)
        assert await catalog.open_segment(sample) == first
        found = await detail(catalog, first.recording_id)
        assert len(found.segments) == 1
        assert found.warnings == ("no label",)

    async def test_a_repeated_opening_does_not_reopen_what_was_closed(self, catalog: Catalog, epoch: int) -> None:
        """A write whose outcome was unknown is repeated later, from the journal, say."""
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        await catalog.close_segment(closing(sample))
        await catalog.open_segment(sample)
        found = await detail(catalog, opened.recording_id)
        assert found.summary.state is RecordingState.FINALISING
        assert found.segments[0].state is SegmentState.CLOSED
        assert await catalog.load_dialogs() == []

    async def test_twenty_at_once_make_one_recording_and_twenty_ordinals(self, catalog: Catalog, epoch: int) -> None:
        opened = await asyncio.gather(*(catalog.open_segment(opening(epoch=epoch)) for _ in range(20)))
        assert len({one.recording_id for one in opened}) == 1
        assert sorted(one.ordinal for one in opened) == list(range(1, 21))
        assert sum(not one.continued for one in opened) == 1

    async def test_the_same_segment_from_many_tasks_is_opened_once(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await asyncio.gather(*(catalog.open_segment(sample) for _ in range(8)))
        assert len(set(opened)) == 1
        assert len((await detail(catalog, opened[0].recording_id)).segments) == 1

    async def test_a_segment_id_cannot_serve_two_recordings(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        with pytest.raises(StorageMisused, match="already used by another recording"):
            await catalog.open_segment(msgspec.structs.replace(sample, record_identifier="OTHER"))
        assert len(await catalog.list_recordings(RecordingFilter())) == 1

    @pytest.mark.parametrize(
        "identifier", ["", "a\0b", b"\xff\xfe".decode("utf-8", "surrogateescape"), "x" * 60_000, "'; DROP TABLE leases"]
    )
    async def test_a_strange_identifier_is_recorded_and_found(
        self, catalog: Catalog, epoch: int, identifier: str
    ) -> None:
        sample = msgspec.structs.replace(
            with_facts(opening(epoch=epoch), call_uuid=identifier, dn=identifier, agent_id=identifier),
            record_identifier=identifier,
            parameters=((identifier, identifier),),
            descriptor={identifier: [identifier]},
            sip_call_id=identifier,
            dialog_id=identifier,
            local_tag=identifier,
            remote_tag=identifier,
            warnings=(identifier,),
        )
        opened = await catalog.open_segment(sample)
        (found,) = await catalog.list_recordings(RecordingFilter(record_identifier=identifier, dn=identifier))
        assert found.recording_id == opened.recording_id
        assert (
            await catalog.open_segment(msgspec.structs.replace(opening(epoch=epoch), record_identifier=identifier))
        ).continued


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


class TestStreams:
    async def test_streams_are_replaced_and_removed_ones_kept(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        change = StreamsChange(
            epoch=epoch,
            segment_id=sample.segment_id,
            streams=(StreamOpening(index=1, party=1, label="B"), StreamOpening(index=2, party=0, label="C")),
            call=CallFacts(agent_id="7001", dn="overruled"),
            warnings=("label changed",),
        )
        await catalog.change_streams(change)
        found = await detail(catalog, opened.recording_id)
        assert [(stream.index, stream.label) for stream in found.segments[0].streams] == [(0, "1"), (1, "B"), (2, "C")]
        assert found.segments[0].streams[1].participant == {"aor": "sip:5550111@192.0.2.7"}
        assert (found.summary.agent_id, found.summary.dn) == ("7001", "5550100")
        assert found.warnings == ("label changed",)

    async def test_a_dialog_is_saved_with_its_streams(self, catalog: Catalog, epoch: int) -> None:
        samples = [opening(name, epoch=epoch) for name in ("LEFT", "CHANGED")]
        opened = [await catalog.open_segment(sample) for sample in samples]
        changed = [None, (StreamOpening(index=1, party=1, label="B\0"), StreamOpening(index=2, party=0, label="C"))]
        writes = [
            DialogCheckpoint(
                epoch=epoch,
                dialog_id=sample.dialog_id,
                segment_id=sample.segment_id,
                writer="writer-1",
                snapshot=b"s",
                streams=streams,
            )
            for sample, streams in zip(samples, changed, strict=True)
        ]
        unknown = msgspec.structs.replace(writes[1], segment_id=uuid4())
        outcomes = await asyncio.gather(*map(catalog.save_dialog, [*writes, unknown]), return_exceptions=True)
        assert outcomes[:2] == [None, None]
        assert isinstance(outcomes[2], StorageMisused)
        labels = []
        for one in opened:
            (segment,) = (await detail(catalog, one.recording_id)).segments
            labels.append([(stream.index, stream.label) for stream in segment.streams])
        assert labels == [[(0, "1"), (1, "2")], [(0, "1"), (1, "B\N{REPLACEMENT CHARACTER}0000"), (2, "C")]]

    async def test_an_unknown_segment_is_refused(self, catalog: Catalog, epoch: int) -> None:
        with pytest.raises(StorageMisused, match="does not exist"):
            await catalog.change_streams(StreamsChange(epoch=epoch, segment_id=uuid4(), streams=()))


class TestClosing:
    async def test_the_last_segment_sends_the_recording_to_its_curator(self, catalog: Catalog, epoch: int) -> None:
        first, second = opening(epoch=epoch), opening(epoch=epoch)
        opened = await catalog.open_segment(first)
        await catalog.open_segment(second)
        closed = await catalog.close_segment(closing(first))
        assert (closed.recording_id, closed.open_segments, closed.changed) == (opened.recording_id, 1, True)
        assert (await detail(catalog, opened.recording_id)).summary.state is RecordingState.RECORDING
        assert await catalog.list_jobs() == []
        closed = await catalog.close_segment(closing(second, after_s=90))
        assert closed.open_segments == 0
        found = (await detail(catalog, opened.recording_id)).summary
        assert found.state is RecordingState.FINALISING
        assert found.ended_at == START + timedelta(seconds=90)
        (job,) = await catalog.list_jobs()
        assert (job.kind, job.payload) == ("finalise", {"recording_id": str(opened.recording_id)})

    async def test_closing_again_changes_nothing(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        await catalog.close_segment(closing(sample))
        job = await catalog.claim_job("curator")
        assert job is not None
        assert await catalog.complete_job(job)
        again = await catalog.close_segment(msgspec.structs.replace(closing(sample), cause="other", interrupted=True))
        assert (again.changed, again.open_segments) == (False, 0)
        assert await catalog.list_jobs() == []
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert (segment.end_cause, segment.interrupted) == ("bye", False)

    async def test_two_that_close_at_once_queue_one_job(self, catalog: Catalog, epoch: int) -> None:
        samples = [opening(epoch=epoch) for _ in range(8)]
        for sample in samples:
            await catalog.open_segment(sample)
        closed = await asyncio.gather(*(catalog.close_segment(closing(sample)) for sample in samples))
        assert sorted(one.open_segments for one in closed) == list(range(8))
        assert len(await catalog.list_jobs()) == 1

    async def test_an_interrupted_segment_is_marked(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        assert [row.segment_id for row in await catalog.open_segments(host="host-a")] == [sample.segment_id]
        assert await catalog.open_segments(host="host-b") == []
        await catalog.mark_interrupted(sample.segment_id, epoch, at=START + timedelta(seconds=7), cause="crash")
        assert await catalog.open_segments() == []
        recorded = await catalog.recording_segments(opened.recording_id)
        assert recorded is not None
        (segment,) = recorded.segments
        assert (segment.state, segment.interrupted, segment.end_cause) == (SegmentState.INTERRUPTED, True, "crash")
        assert segment.closed_at == START + timedelta(seconds=7)

    async def test_a_clock_that_went_back_does_not_refuse_the_end(self, catalog: Catalog, epoch: int) -> None:
        sample = opening(epoch=epoch)
        opened = await catalog.open_segment(sample)
        await catalog.close_segment(closing(sample, after_s=-5))
        assert (await detail(catalog, opened.recording_id)).segments[0].closed_at == START

    async def test_the_times_of_the_client_stand_beside_ours(self, catalog: Catalog, epoch: int) -> None:
        theirs = START - timedelta(days=365)
        sample = msgspec.structs.replace(opening(epoch=epoch), parameters=(("dn", "1"), ("Date", theirs.isoformat())))
        opened = await catalog.open_segment(sample)
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert (segment.opened_at, segment.client_opened_at, segment.client_closed_at) == (START, theirs, None)
        said = theirs + timedelta(seconds=59)
        await catalog.close_segment(msgspec.structs.replace(closing(sample), client_closed_at=said))
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert (segment.closed_at, segment.client_closed_at) == (START + timedelta(seconds=60), said)

    async def test_a_header_field_that_a_profile_keeps_is_no_time(self, catalog: Catalog, epoch: int) -> None:
        kept = (("Date", "Tue, 15 Jan 2030 12:00:00 GMT"), ("Date", ""))
        opened = await catalog.open_segment(msgspec.structs.replace(opening(epoch=epoch), parameters=kept))
        (segment,) = (await detail(catalog, opened.recording_id)).segments
        assert (segment.client_opened_at, segment.client_closed_at) == (None, None)

    async def test_an_unknown_segment_is_refused(self, catalog: Catalog, epoch: int) -> None:
        with pytest.raises(StorageMisused, match="does not exist"):
            await catalog.close_segment(closing(opening(epoch=epoch)))


class TestDocuments:
    async def test_metadata_is_kept_or_only_its_digest(self, catalog: Catalog, catalog_dsn: str, epoch: int) -> None:
        sample = msgspec.structs.replace(opening(epoch=epoch), door=Door.SIPREC)
        await catalog.open_segment(sample)
        revision = MetadataRevision(
            epoch=epoch,
            segment_id=sample.segment_id,
            received_at=START,
            content_type="application/rs-metadata+xml",
            body=b"<recording/>\x00\xff",
        )
        await catalog.add_metadata(revision)
        await catalog.add_metadata(revision)
        await catalog.add_metadata(msgspec.structs.replace(revision, body=b"secret", keep_body=False))
        stored = await rows(catalog_dsn, "SELECT body, sha256 FROM metadata_revisions ORDER BY id")
        assert [row["body"] for row in stored] == [b"<recording/>\x00\xff", None]
        assert len({row["sha256"] for row in stored}) == 2

    async def test_the_first_metadata_come_with_the_segment_and_are_kept_once(
        self, catalog: Catalog, catalog_dsn: str, epoch: int
    ) -> None:
        metadata = OpeningMetadata(content_type="application/rs-metadata+xml", body=b"<recording/>\x00\xff")
        sample = msgspec.structs.replace(opening(epoch=epoch), door=Door.SIPREC, metadata=metadata)
        opened = await catalog.open_segment(sample)
        assert await catalog.open_segment(sample) == opened
        (document,) = await catalog.read_metadata(opened.recording_id)
        assert document.body == metadata.body
        (row,) = await rows(catalog_dsn, "SELECT segment_id, received_at, content_type FROM metadata_revisions")
        assert tuple(row) == (sample.segment_id, sample.opened_at, metadata.content_type)

    async def test_sip_messages_are_kept_byte_for_byte(self, catalog: Catalog, catalog_dsn: str, epoch: int) -> None:
        sample = opening(epoch=epoch)
        await catalog.open_segment(sample)
        messages = [
            SipMessageTrace(at=START, inbound=True, flow="udp 192.0.2.30:5060", message=b"INVITE\xff"),
            SipMessageTrace(at=START + timedelta(milliseconds=3), inbound=False, flow="udp", message=b"SIP/2.0 200 OK"),
        ]
        await catalog.add_traces([(sample.segment_id, message) for message in messages], epoch)
        stored = await rows(catalog_dsn, "SELECT inbound, message FROM sip_messages ORDER BY at")
        assert [tuple(row) for row in stored] == [(True, b"INVITE\xff"), (False, b"SIP/2.0 200 OK")]

    async def test_documents_of_an_unknown_segment_are_refused(self, catalog: Catalog, epoch: int) -> None:
        with pytest.raises(StorageMisused, match="segment does not exist"):
            await catalog.add_metadata(
                MetadataRevision(epoch=epoch, segment_id=uuid4(), received_at=START, content_type="a/b", body=b"")
            )
