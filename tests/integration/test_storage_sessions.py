"""Sessions that a frontend opens, changes and closes, on a real PostgreSQL: one recording for each identifier."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from storage.catalog import Catalog
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
from storage.catalog.views import RecordingFilter
from storage.errors import StorageMisused
from tests.integration.storage_samples import START, closing, detail, opening, rows, with_facts

pytestmark = pytest.mark.integration


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
