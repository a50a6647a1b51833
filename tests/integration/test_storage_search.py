"""Search by any metadata on a real PostgreSQL: parameters, parties, agents, annotations, figures, over months."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from storage.catalog import Catalog
from storage.catalog.ledger import LedgerInterval, LedgerKind, account
from storage.catalog.records import Door, RecordingState, StreamOpening, StreamsChange
from storage.catalog.search import _FIRST_LOOKS, _windows
from storage.catalog.views import RecordingDetail, RecordingFilter
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.exit_codes import ExitCode
from tests.integration.storage_samples import START, closing, opening, rendered, with_facts

pytestmark = pytest.mark.integration


async def record(
    catalog: Catalog,
    identifier: str,
    *,
    at: datetime = START,
    parameters: tuple[tuple[str, str], ...] = (),
    participant: dict[str, object] | None = None,
    **facts: str | None,
) -> UUID:
    sample = with_facts(opening(identifier, epoch=await catalog.acquire_lease(), at=at), **facts)
    sample = msgspec.structs.replace(
        sample,
        parameters=parameters,
        streams=(StreamOpening(index=0, party=0), StreamOpening(index=1, party=1, participant=participant)),
    )
    return (await catalog.open_segment(sample)).recording_id


async def found(catalog: Catalog, **wanted: Any) -> list[str]:
    return [one.record_identifier for one in await catalog.list_recordings(RecordingFilter(**wanted))]


@pytest.fixture
async def searched(catalog: Catalog) -> Catalog:
    """Three recordings, the newest last."""
    await record(
        catalog, "A", at=START - timedelta(days=400), agent_id="1001", dn="100", other_dn="200",
        parameters=(("X-Case", "4711"), ("GVP-Tenant-Id", "[Environment].record"), ("note", "it's \\ a:* & 'b'")),
        participant={"name": "Jane Doe", "aor": "sip:jane@example.test", "dn": "200"},
    )  # fmt: skip
    await record(
        catalog, "B", at=START - timedelta(days=35), agent_id="1002", dn="101", other_dn="100", ani="0049301",
        parameters=(("X-Case", "4712"),),
        participant={"aor": "tel:+4930", "dn": "+4930", "others": [{"name": "Max Müller", "aor": "sip:max"}]},
    )  # fmt: skip
    await record(catalog, "C", agent_id="1001", dn="102", other_dn=None, parameters=(("x-case", "471"),))
    return catalog


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"where": (("x-case", "4711"),)}, ["A"]),
        ({"where": (("X-CASE", "471"),)}, ["C"]),
        ({"where": (("X-Case", "471*"),)}, ["C", "B", "A"]),
        ({"where": (("gvp-tenant-id", "[environment].RECORD"),)}, ["A"]),
        ({"where": (("note", "it's \\ a:* & 'b'"),)}, ["A"]),
        ({"where": (("note", "it's \\*"),)}, ["A"]),
        ({"where": (("note", "' | 'a'"),)}, []),
        ({"where": (("x-case", "4712"), ("dn", "100"))}, ["B"]),
        ({"agent": "1001"}, ["C", "A"]),
        ({"agent": "10*"}, ["C", "B", "A"]),
        ({"dn": "100"}, ["B", "A"]),
        ({"dn": "+4930"}, ["B"]),
        ({"participant": "jane doe"}, ["A"]),
        ({"participant": "JANE*"}, ["A"]),
        ({"participant": "sip:jane@example.test"}, ["A"]),
        ({"participant": "max mü*"}, ["B"]),
        ({"ani": "00493*"}, ["B"]),
        ({"agent": "1001", "started_from": START - timedelta(days=1)}, ["C"]),
        ({"agent": "1001", "started_to": START}, ["A"]),
        ({"agent": "1001", "limit": 1}, ["C"]),
        ({"agent": "1001", "record_identifier": "A"}, ["A"]),
        ({"agent": "1001", "door": Door.MSR}, ["C", "A"]),
        ({"agent": "1001", "door": Door.SIPREC}, []),
        ({"agent": "1001", "where": (("x-case", "4711"),), "door": Door.MSR}, ["A"]),
        ({"agent": "1001", "where": (("x-case", "4711"),), "door": Door.SIPREC}, []),
        ({"agent": "nobody"}, []),
    ],
)
async def test_terms(searched: Catalog, wanted: dict[str, Any], expected: list[str]) -> None:
    assert await found(searched, **wanted) == expected


async def test_pages_of_a_search_follow_each_other_over_the_months(catalog: Catalog) -> None:
    expected = []
    for number in range(12):
        await record(catalog, f"R{number}", at=START - timedelta(days=17 * number), agent_id="7")
        await record(catalog, f"S{number}", at=START - timedelta(days=17 * number), agent_id="8")
        expected.append(f"R{number}")
    seen: list[str] = []
    after = None
    while page := await catalog.list_recordings(RecordingFilter(agent="7", limit=5, after=after)):
        seen += [one.record_identifier for one in page]
        after = page[-1].key
    assert seen == expected


async def test_what_metadata_bring_later_is_found(catalog: Catalog) -> None:
    sample = opening("LATE", epoch=await catalog.acquire_lease())
    await catalog.open_segment(sample)
    assert await found(catalog, participant="Late Guest") == []
    await catalog.change_streams(
        StreamsChange(
            epoch=sample.epoch,
            segment_id=sample.segment_id,
            streams=(StreamOpening(index=2, party=1, participant={"name": "Late Guest"}),),
        )
    )
    assert await found(catalog, participant="late guest") == ["LATE"]


async def test_a_recording_that_begins_at_another_time_once_rendered_is_found_once(catalog: Catalog) -> None:
    sample = with_facts(
        opening("A", epoch=await catalog.acquire_lease(), at=START.replace(day=1, hour=0, minute=0)), dn="5"
    )
    opened = await catalog.open_segment(sample)
    assert await found(catalog, dn="5") == ["A"]
    await catalog.close_segment(closing(sample))
    early = dataclasses.replace(
        rendered(opened.recording_id, sample), started_at=sample.opened_at - timedelta(seconds=1)
    )
    await catalog.publish(early)
    assert await found(catalog, dn="5") == ["A"]


async def test_length_and_loss(catalog: Catalog) -> None:
    for number, (seconds, lost) in enumerate([(5.0, 0), (60.0, 800), (7200.0, 80_000)]):
        sample = opening(f"R{number}", epoch=await catalog.acquire_lease(), at=START + timedelta(hours=number))
        opened = await catalog.open_segment(sample)
        await catalog.close_segment(closing(sample))
        frames = round(seconds * 8000)
        ledger = account(0, 8000, frames, [LedgerInterval(8000, 8000 + lost, LedgerKind.LOST, "network")])
        await catalog.publish(
            dataclasses.replace(rendered(opened.recording_id, sample), duration_s=seconds, ledger=(ledger,))
        )
    assert await found(catalog, longer_s=60.0) == ["R2", "R1"]
    assert await found(catalog, shorter_s=60.0) == ["R0"]
    assert await found(catalog, lost_more_s=0.0) == ["R2", "R1"]
    assert await found(catalog, lost_more_s=0.1) == ["R2"]
    assert await found(catalog, lost_more_s=0.05, dn="5550111", shorter_s=100.0) == ["R1"]


async def test_an_outcome_is_found_with_terms_from_when_it_is_known(catalog: Catalog, catalog_dsn: str) -> None:
    await record(catalog, "B", agent_id="1001", parameters=(("lost", "lost"), ("state", "interrupted")))
    sample = with_facts(opening("A", epoch=await catalog.acquire_lease()), agent_id="1001")
    opened = await catalog.open_segment(sample)
    interrupted = {"agent": "1001", "state": RecordingState.INTERRUPTED}
    assert set(await found(catalog, agent="1001")) == {"A", "B"}
    assert await found(catalog, **interrupted) == []
    await catalog.close_segment(closing(sample))
    connection = await asyncpg.connect(catalog_dsn)
    # Whatever sets them, be it alone.
    await connection.execute("UPDATE recordings SET state = 'interrupted' WHERE id = $1", opened.recording_id)
    assert await found(catalog, **interrupted) == ["A"]
    await connection.execute("UPDATE recordings SET lost_s = 2 WHERE id = $1", opened.recording_id)
    assert await found(catalog, **interrupted, lost_more_s=1.0) == ["A"]
    assert await found(catalog, agent="1001", lost_more_s=3.0) == []
    await connection.execute("UPDATE recordings SET state = 'complete', lost_s = 0 WHERE id = $1", opened.recording_id)
    await connection.close()
    assert await found(catalog, **interrupted) == []
    assert await found(catalog, agent="1001", lost_more_s=0.0) == []


async def test_a_deleted_recording_is_not_found_and_leaves_no_terms(catalog: Catalog, catalog_dsn: str) -> None:
    await record(catalog, "A", agent_id="1")
    assert await found(catalog, agent="1") == ["A"]
    connection = await asyncpg.connect(catalog_dsn)
    for statement in ("DELETE FROM dialogs", "DELETE FROM segments", "DELETE FROM recordings"):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT count(*) FROM recording_search") == 0
    await connection.close()
    assert await found(catalog, agent="1") == []


async def test_a_tombstone_is_not_found_by_what_was_known(catalog: Catalog, catalog_dsn: str) -> None:
    recording = await record(catalog, "A", agent_id="1", parameters=(("x", "secret"),), participant={"name": "Jane"})
    await catalog.annotate(recording, [("note", "Jane called")], by="test")
    assert await found(catalog, where=(("x", "secret"),)) == ["A"]
    connection = await asyncpg.connect(catalog_dsn)
    await connection.execute("UPDATE segments SET state = 'closed', closed_at = opened_at")
    await connection.execute("UPDATE recordings SET sealed_at = now()")
    await connection.execute("SELECT forget_content_v1($1, '{}')", recording)
    await catalog.index_pending()
    assert await connection.fetchval("SELECT terms::text FROM recording_search") == "'door=msr'"
    assert await connection.fetchval("SELECT count(*) FROM annotations") == 0
    await connection.close()


async def test_many_that_index_at_once_lose_nothing(catalog: Catalog) -> None:
    for number in range(40):
        await record(catalog, f"R{number}", at=START - timedelta(days=number), agent_id="1")
    await asyncio.gather(*(catalog.index_pending() for _ in range(4)))
    assert len(await found(catalog, agent="1")) == 40


def day(year: int, month: int, number: int = 1, hour: int = 0) -> datetime:
    return datetime(year, month, number, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("oldest", "newest", "bounds"),
    [
        # Bounds of the windows, the newest first.
        (day(2026, 11, 22), day(2026, 11, 22), [(2026, 12), (2026, 11, 21)]),
        (day(2026, 11, 21), day(2026, 11, 22), [(2026, 12), (2026, 11, 21)]),
        (day(2026, 11, 2), day(2026, 11, 22, 6), [(2026, 12), (2026, 11, 21, 6), (2026, 11, 14, 6), (2026, 11)]),
        (day(2026, 10, 31), day(2026, 12, 1), [(2027, 1), (2026, 11, 30), (2026, 11, 23), (2026, 11), (2026, 10)]),
        (day(2026, 9, 30), day(2026, 11, 9), [(2026, 12), (2026, 11, 8), (2026, 11), (2026, 10), (2026, 9)]),
        (day(2025, 1), day(2025, 12, 31), [(2026, 1), (2025, 12, 30), (2025, 12, 23), (2025, 12), (2025, 10), (2025, 6),
                                           (2025, 1)]),
    ],
)  # fmt: skip
def test_windows_grow_and_leave_nothing_out(oldest: datetime, newest: datetime, bounds: list[tuple[int, ...]]) -> None:
    expected = [day(*bound) for bound in bounds]
    assert list(_windows(oldest, newest, _FIRST_LOOKS)) == list(zip(expected[1:], expected, strict=False))


def test_without_first_looks_windows_are_whole_months() -> None:
    found = list(_windows(day(2026, 9, 30), day(2026, 11, 22), ()))
    assert found == [(day(2026, 11), day(2026, 12)), (day(2026, 9), day(2026, 11))]


class TestDesk:
    """As a person types it."""

    @pytest.fixture
    async def type(self, searched: Catalog, catalog_dsn: str, tmp_path: Any) -> Any:
        app = typer.Typer()
        app.add_typer(GROUPS["recordings"].app(), name="recordings")
        context = CliContext(dsn=catalog_dsn, files_root=tmp_path, state_dir=tmp_path)

        async def typed(*words: str) -> Result:
            return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["recordings", *words], obj=context))

        return typed

    async def test_an_annotation_is_added_found_and_never_overwrites(self, type: Any, searched: Catalog) -> None:
        for value, added in (("open", 1), ("closed", 1), ("open", 0)):
            result = await type("annotate", "A", f"X-Case={value}", "--reason", "ticket 12")
            assert result.exit_code == 0, result.output
            assert f"{added} of 1 added" in result.output
        assert await found(searched, where=(("x-case", "4711"), ("x-case", "open"), ("x-case", "closed"))) == ["A"]
        recording = await searched.get_recording("A")
        assert isinstance(recording, RecordingDetail)
        assert [(one.name, one.value, one.reason) for one in recording.annotations] == [
            ("X-Case", "open", "ticket 12"),
            ("X-Case", "closed", "ticket 12"),
        ]
        assert ("X-Case", "4711") in recording.parameters
        assert "X-Case = closed" in (await type("show", "A")).output
        assert [entry.action async for entry in searched.audit.read()] == ["annotate", "annotate"]

    async def test_filters_and_pages(self, type: Any) -> None:
        result = await type("list", "--where", "x-case=471*", "--limit", "2")
        assert "There may be more: --after" in result.output
        last = result.output.split("--after ")[1].split()[0]
        result = await type("list", "--where", "x-case=471*", "--after", last)
        (line,) = result.output.splitlines()[1:]
        assert "2025-10-18" in line

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("list", "--where", "case"), "is not NAME=VALUE"),
            (("list", "--longer-than", "long"), "is not a length of time"),
            (("annotate", "A", "case"), "is not NAME=VALUE"),
            (("annotate", "A", f"{'n' * 65}=1"), "longer than 64"),
        ],
    )
    async def test_bad_input_is_told(self, type: Any, words: tuple[str, ...], message: str) -> None:
        result = await type(*words)
        assert result.exit_code == ExitCode.USAGE
        assert message in result.output
