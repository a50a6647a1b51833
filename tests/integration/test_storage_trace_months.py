"""SIP messages by month in a real catalog: where they go, how an old month is given up, and what of it stays."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from uuid import UUID

import asyncpg
import pytest

from recorder.curator.retention import RetentionKeeper
from storage.catalog import Catalog
from storage.catalog.audit import AuditFilter
from storage.catalog.migrate import load_migrations
from storage.catalog.records import OpenedSegment, SegmentOpening, SipMessageTrace
from storage.exit_codes import ExitCode
from storage.retention import Policy
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import closing, opening

pytestmark = pytest.mark.integration

AUGUST, SEPTEMBER = datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
POLICY = Policy(trace_days=30)
NOW = datetime(2026, 10, 2, tzinfo=UTC)
"""August ended more than 30 days before, September did not."""


def message(at: datetime, text: bytes) -> SipMessageTrace:
    return SipMessageTrace(at=at, inbound=True, flow="udp 192.0.2.40:5060 192.0.2.30:5060", message=text)


async def session(catalog: Catalog, name: str, *at: datetime) -> tuple[SegmentOpening, OpenedSegment]:
    """A session with a message at each of some moments."""
    sample = opening(name, epoch=await catalog.acquire_lease(), at=at[0])
    opened = await catalog.open_segment(sample)
    said = [(sample.segment_id, message(moment, f"{name} {moment}".encode())) for moment in at]
    assert await catalog.add_traces(said, sample.epoch) == {sample.segment_id}
    return sample, opened


async def kept(catalog: Catalog, recording_id: UUID) -> list[datetime]:
    return [one.at for one in await catalog.read_trace(recording_id)]


async def months(dsn: str) -> list[str]:
    """Names of the tables that there are."""
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sip_messages'::regclass ORDER BY 1"
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_a_trace_over_the_end_of_a_month_is_read_as_one(catalog: Catalog, catalog_dsn: str) -> None:
    _, opened = await session(catalog, "CALL1", AUGUST, SEPTEMBER)
    assert await kept(catalog, opened.recording_id) == [AUGUST, SEPTEMBER]
    assert await months(catalog_dsn) == ["sip_messages_202608", "sip_messages_202609"]


async def test_frontends_that_need_a_new_month_at_once_make_it_once(catalog: Catalog, catalog_dsn: str) -> None:
    epoch = await catalog.acquire_lease()
    samples = [opening(f"CALL{number}", epoch=epoch, at=AUGUST) for number in range(8)]
    for sample in samples:
        await catalog.open_segment(sample)
    await asyncio.gather(
        *(catalog.add_traces([(sample.segment_id, message(AUGUST, b"INVITE"))], epoch) for sample in samples)
    )
    assert await months(catalog_dsn) == ["sip_messages_202608"]


async def test_an_old_month_goes_as_a_whole_and_is_told(catalog: Catalog, catalog_dsn: str) -> None:
    _, opened = await session(catalog, "CALL1", AUGUST, SEPTEMBER)
    assert await catalog.retention.old_traces(Policy(), now=NOW) == []
    assert await catalog.retention.old_traces(POLICY, now=SEPTEMBER + timedelta(days=30, seconds=-1)) == []
    (month,) = await catalog.retention.old_traces(POLICY, now=SEPTEMBER + timedelta(days=30))
    assert (month.month, month.held_sessions) == (date(2026, 8, 1), 0)
    assert month.size_bytes >= 16_384  # a page of messages and one of their index, at least
    assert await catalog.retention.forget_traces(month, by="retention") is None
    assert await months(catalog_dsn) == ["sip_messages_202609"]
    assert await kept(catalog, opened.recording_id) == [SEPTEMBER]
    (entry,) = await catalog.audit.latest(AuditFilter(action="forget-traces"), 2)
    assert (entry.subject, entry.reason) == ("2026-08", "SIP messages kept 30 days after their month")
    assert await catalog.retention.forget_traces(month, by="retention") == "nothing-to-forget"


async def test_messages_of_what_is_held_stay_until_it_is_released(catalog: Catalog) -> None:
    _, held = await session(catalog, "HELD1", AUGUST)
    _, other = await session(catalog, "OTHER1", AUGUST)
    (hold,) = [await catalog.holds.place(held.recording_id, reason="court", by="anna")]
    (month,) = await catalog.retention.old_traces(POLICY, now=NOW)
    assert month.held_sessions == 1
    assert await catalog.retention.forget_traces(month, by="retention") is None
    assert await kept(catalog, held.recording_id) == [AUGUST]
    assert await kept(catalog, other.recording_id) == []
    # Nothing is left that may go, and late messages find their month.
    assert await catalog.retention.old_traces(POLICY, now=NOW) == []
    assert await catalog.retention.forget_traces(month, by="retention") == "nothing-to-forget"
    await session(catalog, "LATE1", AUGUST)
    await catalog.holds.release(hold.hold_id or 0, reason="over", by="anna")
    (month,) = await catalog.retention.old_traces(POLICY, now=NOW)
    assert await catalog.retention.forget_traces(month, by="retention") is None
    assert await kept(catalog, held.recording_id) == []


async def test_who_reads_a_trace_is_not_disturbed(catalog: Catalog, catalog_dsn: str) -> None:
    _, opened = await session(catalog, "CALL1", AUGUST)
    (month,) = await catalog.retention.old_traces(POLICY, now=NOW)
    reader = await asyncpg.connect(catalog_dsn)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT FROM sip_messages")
            assert await catalog.retention.forget_traces(month, by="retention") == "busy"
        assert await kept(catalog, opened.recording_id) == [AUGUST]
    finally:
        await reader.close()
    assert await catalog.retention.forget_traces(month, by="retention") is None


async def test_curators_carry_it_out(catalog: Catalog, catalog_dsn: str) -> None:
    await session(catalog, "CALL1", datetime.now(UTC) - timedelta(days=100), datetime.now(UTC))
    keepers = [RetentionKeeper(catalog, POLICY, node=node) for node in "ab"]
    await asyncio.gather(*(keeper.keep() for keeper in keepers))
    assert await months(catalog_dsn) == [f"sip_messages_{datetime.now(UTC):%Y%m}"]


async def test_commands_say_what_goes_and_let_it_go(desk: Desk) -> None:
    sample, opened = await session(desk.catalog, "CALL1", AUGUST)
    await desk.catalog.close_segment(closing(sample))
    desk.context = dataclasses.replace(desk.context, retention=POLICY)
    (planned,) = (await desk.json("retention", "plan"))["traces"]
    assert (planned["month"], planned["held_sessions"], planned["refused"]) == ("2026-08", 0, None)
    assert len(await kept(desk.catalog, opened.recording_id)) == 1
    result = await desk.type("retention", "apply")
    assert result.exit_code == ExitCode.OK, result.output
    assert "SIP messages of 2026-08" in result.output
    assert await kept(desk.catalog, opened.recording_id) == []


async def test_messages_of_a_catalog_from_before_are_sorted_into_months(empty_dsn: str) -> None:
    connection = await asyncpg.connect(empty_dsn)
    segment = UUID(int=1)
    try:
        (number,) = [one.version for one in load_migrations() if one.name == "trace_months"]
        for migration in load_migrations()[: number - 1]:
            await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO recordings (id, record_identifier, door, state, started_at, parameters, warnings)"
            " VALUES ($1, 'ID', 'msr', 'recording', $2, '[]', '[]')",
            segment,
            AUGUST,
        )
        await connection.execute(
            "INSERT INTO segments (id, recording_id, ordinal, door, state, epoch, writer, host, capture_path,"
            " sip_call_id, local_tag, remote_tag, dialog_id, parameters, descriptor, opened_at)"
            " VALUES ($1, $1, 1, 'msr', 'open', 1, 'w', 'h', 'p', 'c', 'l', 'r', 'd', '[]', '{}', $2)",
            segment,
            AUGUST,
        )
        for at, text in ((SEPTEMBER, b"b"), (AUGUST, b"a"), (SEPTEMBER, b"c")):
            await connection.execute(
                "INSERT INTO sip_messages (segment_id, at, inbound, flow, message) VALUES ($1, $2, true, 'udp', $3)",
                *(segment, at, text),
            )
        statements = files("storage.catalog.migrations").joinpath(f"{number:04}_trace_months.sql").read_text("utf-8")
        await connection.execute(statements)
        rows = await connection.fetch("SELECT message, tableoid::regclass::text FROM sip_messages ORDER BY at, id")
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [
        (b"a", "sip_messages_202608"),
        (b"b", "sip_messages_202609"),
        (b"c", "sip_messages_202609"),
    ]
