"""Legal holds on a real PostgreSQL: nothing of a held recording goes away, whoever tries; commands as typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from storage.catalog import Catalog
from storage.catalog.records import OpenedSegment, SegmentOpening
from storage.errors import StorageMisused
from storage.exit_codes import ExitCode
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import closing, opening, rendered
from tests.kit.seeking import seek_copies

pytestmark = pytest.mark.integration

HELD = "TD004"


@pytest.fixture
async def psql(catalog_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A person at psql, as the owner of the database."""
    connection = await asyncpg.connect(catalog_dsn)
    yield connection
    await connection.close()


async def finished(catalog: Catalog, identifier: str = "CALL0001") -> tuple[SegmentOpening, OpenedSegment]:
    sample = opening(identifier, epoch=await catalog.acquire_lease())
    opened = await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample))
    await catalog.publish(rendered(opened.recording_id, sample))
    return sample, opened


class TestGuards:
    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM files",
            "DELETE FROM segments",
            "DELETE FROM recordings",
            "DELETE FROM legal_holds",
            "TRUNCATE files",
            "TRUNCATE recordings CASCADE",
            "TRUNCATE segments CASCADE",
            "TRUNCATE legal_holds",
        ],
    )
    async def test_no_statement_removes_what_is_held(
        self, catalog: Catalog, psql: asyncpg.Connection[asyncpg.Record], statement: str
    ) -> None:
        _, opened = await finished(catalog)
        await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        for role in ("origin", "replica"):
            await psql.execute(f"SET session_replication_role = {role}")
            with pytest.raises(asyncpg.PostgresError, match="under legal hold") as refusal:
                await psql.execute(statement)
            assert refusal.value.sqlstate == HELD
        assert await psql.fetchval("SELECT count(*) FROM files") == 1

    async def test_a_file_cannot_be_given_away(
        self, catalog: Catalog, psql: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        _, opened = await finished(catalog)
        _, other = await finished(catalog, "CALL0002")
        await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        with pytest.raises(asyncpg.PostgresError, match="under legal hold"):
            await psql.execute(
                "UPDATE files SET recording_id = $1 WHERE recording_id = $2", other.recording_id, opened.recording_id
            )

    async def test_what_is_not_held_can_go(self, catalog: Catalog, psql: asyncpg.Connection[asyncpg.Record]) -> None:
        _, opened = await finished(catalog)
        _, other = await finished(catalog, "CALL0002")
        await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        await psql.execute("DELETE FROM files WHERE recording_id = $1", other.recording_id)
        assert await psql.fetchval("SELECT array_agg(recording_id) FROM files") == [opened.recording_id]

    async def test_after_the_last_release_it_can_go(
        self, catalog: Catalog, psql: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        _, opened = await finished(catalog)
        one = await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        two = await catalog.holds.place(opened.recording_id, reason="complaint", by="ben")
        assert one.hold_id is not None
        assert two.hold_id is not None
        assert await catalog.holds.release(one.hold_id, reason="closed", by="anna")
        assert await catalog.holds.held_among([opened.recording_id]) == {opened.recording_id}
        with pytest.raises(asyncpg.PostgresError, match="under legal hold"):
            await psql.execute("DELETE FROM files")
        assert await catalog.holds.release(two.hold_id, reason="settled", by="ben")
        assert not await catalog.holds.release(two.hold_id, reason="again", by="ben")
        await psql.execute("DELETE FROM files")

    async def test_a_hold_waits_for_a_removal_under_way_and_is_then_too_late_for_the_row(
        self, catalog: Catalog, psql: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        _, opened = await finished(catalog)
        removal = psql.transaction()
        await removal.start()
        await psql.execute("DELETE FROM files WHERE recording_id = $1", opened.recording_id)
        holding = asyncio.ensure_future(catalog.holds.place(opened.recording_id, reason="court order", by="anna"))
        while not await psql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        assert not holding.done()
        await removal.commit()
        assert (await holding).placed

    async def test_a_held_recording_that_goes_on_keeps_its_earlier_file(self, catalog: Catalog) -> None:
        sample, opened = await finished(catalog)
        await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        further = opening("CALL0001", epoch=sample.epoch)
        await catalog.open_segment(further)
        await catalog.close_segment(closing(further))
        again = rendered(opened.recording_id, sample, further, digest=b"\x02" * 32)
        publication = await catalog.publish(again)
        assert (publication.refused, publication.superseded) == (None, ())
        found = await catalog.get_recording(opened.recording_id)
        assert {(file.kind, file.path) for file in getattr(found, "files", ())} == {
            ("master", again.files[0].path),
            ("superseded", rendered(opened.recording_id, sample).files[0].path),
        }

    async def test_once_released_the_next_rendering_lets_the_earlier_file_go(self, catalog: Catalog) -> None:
        sample, opened = await finished(catalog)
        hold = await catalog.holds.place(opened.recording_id, reason="court order", by="anna")
        second = rendered(opened.recording_id, sample, digest=b"\x02" * 32)
        await catalog.publish(second)
        assert await catalog.holds.release(hold.hold_id or 0, reason="closed", by="anna")
        publication = await catalog.publish(second)
        assert publication.superseded == (("local", rendered(opened.recording_id, sample).files[0].path),)


class TestHolds:
    async def test_asking_twice_is_one_hold_and_another_reason_is_another(self, catalog: Catalog) -> None:
        _, opened = await finished(catalog)
        one = await catalog.holds.place(opened.recording_id, reason="court order", by="anna", matter="4711")
        same = await catalog.holds.place(opened.recording_id, reason="court order", by="ben", matter="4711")
        other = await catalog.holds.place(opened.recording_id, reason="complaint", by="ben", matter="4711")
        assert (one.placed, same.placed, other.placed) == (True, False, True)
        assert same.hold_id == one.hold_id != other.hold_id

    async def test_who_why_and_when_are_kept_after_release(self, catalog: Catalog) -> None:
        _, opened = await finished(catalog)
        placed = await catalog.holds.place(opened.recording_id, reason="court order", by="anna", matter="4711")
        await catalog.holds.release(placed.hold_id or 0, reason="case closed", by="ben")
        (hold,) = await catalog.holds.of([opened.recording_id])
        assert (hold.matter, hold.reason, hold.placed_by) == ("4711", "court order", "anna")
        assert (hold.release_reason, hold.released_by, hold.standing) == ("case closed", "ben", False)
        assert hold.released_at is not None
        assert hold.placed_at <= hold.released_at

    async def test_hold_and_release_are_entered_into_the_audit_log(self, catalog: Catalog) -> None:
        _, opened = await finished(catalog)
        placed = await catalog.holds.place(opened.recording_id, reason="court order", by="anna", matter="4711")
        await catalog.holds.place(opened.recording_id, reason="court order", by="anna", matter="4711")
        await catalog.holds.release(placed.hold_id or 0, reason="case closed", by="ben")
        entries = [entry async for entry in catalog.audit.read() if entry.action in ("hold", "release")]
        assert [(entry.actor, entry.action, entry.subject, entry.reason) for entry in entries] == [
            ("anna", "hold", str(opened.recording_id), "court order"),
            ("ben", "release", str(opened.recording_id), "case closed"),
        ]
        assert json.loads(entries[0].details) == {"hold": placed.hold_id, "case": "4711"}

    async def test_an_unknown_recording_is_told(self, catalog: Catalog) -> None:
        assert (await catalog.holds.place(uuid4(), reason="x", by="anna")).refused == "unknown-recording"

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
    async def test_a_reason_is_needed_and_bounded(self, catalog: Catalog, reason: str) -> None:
        _, opened = await finished(catalog)
        with pytest.raises(StorageMisused, match="reason"):
            await catalog.holds.place(opened.recording_id, reason=reason, by="anna")


class TestCommands:
    async def test_hold_and_release_by_id(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        (held,) = await desk.json("recordings", "hold", opened.recording_id.hex[:8], "--reason", "court order")
        assert (held["id"], held["result"]) == (str(opened.recording_id), "held")
        shown = await desk.json("recordings", "show", "CALL0001")
        assert [(hold["hold"], hold["reason"]) for hold in shown["holds"]] == [(held["hold"], "court order")]
        assert "LEGAL HOLD" in (await desk.type("recordings", "show", "CALL0001")).stdout
        released = await desk.json("recordings", "release", "CALL0001", "--reason", "closed")
        assert [hold["result"] for hold in released["holds"]] == ["released"]
        assert released["still_held"] == []
        assert "LEGAL HOLD" not in (await desk.type("recordings", "show", "CALL0001")).stdout

    async def test_hold_by_filter(self, desk: Desk) -> None:
        for number in range(3):
            await desk.finish(f"CALL000{number}")
        held = await desk.json(
            *("recordings", "hold", "--record-identifier", "CALL*", "--case", "4711", "--reason", "order")
        )
        assert [facts["result"] for facts in held] == ["held"] * 3
        standing = await desk.json("recordings", "holds", "--case", "4711")
        assert sorted(hold["record_identifier"] for hold in standing) == ["CALL0000", "CALL0001", "CALL0002"]
        assert await desk.json("recordings", "holds", "--case", "other") == []
        released = await desk.json(
            *("recordings", "release", "--from", "2026-11-22", "--case", "4711", "--reason", "over")
        )
        assert len(released["holds"]) == 3

    async def test_a_dry_run_changes_nothing(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        (told,) = await desk.json("recordings", "hold", "CALL0001", "--reason", "order", "--dry-run")
        assert told["result"] == "would-hold"
        assert await desk.catalog.holds.held_among([opened.recording_id]) == set()
        await desk.json("recordings", "hold", "CALL0001", "--reason", "order")
        told = await desk.json("recordings", "release", "CALL0001", "--reason", "over", "--dry-run")
        assert told["still_held"] == [str(opened.recording_id)]
        assert await desk.catalog.holds.held_among([opened.recording_id]) == {opened.recording_id}

    async def test_a_hold_that_comes_while_captures_are_erased_says_so(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        while job := await desk.catalog.claim_job("curator", kinds=("finalise", "manifest")):
            await desk.catalog.complete_job(job)
        await seek_copies(desk.catalog)
        await desk.catalog.deletions.begin_capture_erasure(opened.recording_id, by="retention", reason="7 days")
        told = await desk.type("recordings", "hold", "CALL0001", "--reason", "court order")
        assert told.exit_code == ExitCode.OK
        assert "some may be gone" in told.output
        (facts,) = await desk.json("recordings", "hold", "CALL0001", "--reason", "court order")
        assert (facts["result"], facts["captures"]) == ("held-already", "erasing")

    async def test_release_never_chooses_between_several_holds(self, desk: Desk) -> None:
        opened, _ = await desk.finish()
        await desk.json("recordings", "hold", "CALL0001", "--reason", "court order", "--case", "4711")
        await desk.json("recordings", "hold", "CALL0001", "--reason", "complaint")
        refused = await desk.type("recordings", "release", "CALL0001", "--reason", "over")
        assert refused.exit_code == ExitCode.USAGE
        assert "several holds" in refused.stderr
        part = await desk.json("recordings", "release", "CALL0001", "--reason", "over", "--case", "4711")
        assert part["still_held"] == [str(opened.recording_id)]
        await desk.json("recordings", "hold", "CALL0001", "--reason", "third")
        everything = await desk.json("recordings", "release", "CALL0001", "--reason", "over", "--all")
        assert (len(everything["holds"]), everything["still_held"]) == (2, [])

    async def test_a_released_hold_is_not_found(self, desk: Desk) -> None:
        await desk.finish()
        result = await desk.type("recordings", "release", "CALL0001", "--reason", "over")
        assert result.exit_code == ExitCode.NOT_FOUND

    async def test_everything_is_never_meant_by_accident(self, desk: Desk) -> None:
        await desk.finish()
        result = await desk.type("recordings", "hold", "--reason", "order")
        assert result.exit_code == ExitCode.USAGE
        assert "which recordings?" in result.stderr
        both = await desk.type("recordings", "hold", "CALL0001", "--dn", "1", "--reason", "order")
        assert both.exit_code == ExitCode.USAGE

    async def test_a_hold_outlives_a_recording_that_goes_on(self, desk: Desk) -> None:
        sample, opened = await desk.record()
        await desk.json("recordings", "hold", "CALL0001", "--reason", "order")
        await desk.catalog.close_segment(msgspec.structs.replace(closing(sample)))
        await desk.catalog.publish(rendered(opened.recording_id, sample))
        assert len(await desk.json("recordings", "holds")) == 1
