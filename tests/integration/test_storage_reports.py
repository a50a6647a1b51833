"""Reports as an auditor types them, against a real catalog."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from storage.catalog import Catalog
from storage.catalog.ledger import LedgerInterval, LedgerKind, PartyLedger, account
from storage.catalog.records import Door, RecordingState
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.exit_codes import ExitCode
from tests.integration.storage_samples import START, closing, opening, rendered, with_facts

pytestmark = pytest.mark.integration

DAYS = ("--from", "2026-11-22", "--to", "2026-11-24")


def lossy(*gaps: tuple[LedgerKind, str, float]) -> tuple[PartyLedger, ...]:
    """Two parties of 60 s; the left one has these gaps of so many seconds one after the other."""
    pieces, at = [LedgerInterval(0, 480_000, LedgerKind.RECORDED, "received", "segment 1")], 8000
    for kind, cause, seconds in gaps:
        pieces.append(LedgerInterval(at, at + round(seconds * 8000), kind, cause, "segment 1"))
        at += round(seconds * 8000) + 800
    return account(0, 8000, 480_000, pieces), account(1, 8000, 480_000, pieces[:1])


class Auditor:
    def __init__(self, catalog: Catalog, context: CliContext) -> None:
        self.catalog = catalog
        self.context = context

    async def type(self, *words: str) -> Result:
        app = typer.Typer()
        app.add_typer(GROUPS["report"].app(), name="report")
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["report", *words], obj=self.context))

    async def json(self, *words: str) -> Any:
        result = await self.type(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def csv(self, *words: str) -> list[dict[str, str]]:
        result = await self.type(*words, "--csv")
        assert result.exit_code == 0, result.output
        return list(csv.DictReader(io.StringIO(result.stdout)))

    async def record(self, identifier: str, *, hours: float = 0.0, door: Door = Door.MSR, agent: str = "a1") -> Any:
        at = START + timedelta(hours=hours)
        sample = with_facts(opening(identifier, epoch=await self.catalog.acquire_lease(), at=at), agent_id=agent)
        sample = msgspec.structs.replace(sample, door=door)
        return sample, await self.catalog.open_segment(sample)

    async def finish(
        self,
        identifier: str,
        *gaps: tuple[LedgerKind, str, float],
        state: RecordingState = RecordingState.COMPLETE,
        **facts: Any,
    ) -> None:
        sample, opened = await self.record(identifier, **facts)
        await self.catalog.close_segment(closing(sample))
        result = dataclasses.replace(
            rendered(opened.recording_id, sample), state=state, duration_s=60.0, ledger=lossy(*gaps)
        )
        if state is RecordingState.NO_MEDIA:
            result = dataclasses.replace(result, files=(), gaps=(), streams=(), ledger=(), duration_s=0.0)
        await self.catalog.publish(result)


@pytest.fixture
async def auditor(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> Auditor:
    """Three days: losses of two causes, a session without media, an interrupted, a failed and a live one."""
    auditor = Auditor(catalog, CliContext(dsn=catalog_dsn, files_root=tmp_path, state_dir=tmp_path))
    await auditor.finish("GOOD", (LedgerKind.SILENT, "comfort-noise", 2.0))
    await auditor.finish("LOSSY", (LedgerKind.LOST, "network", 0.5), (LedgerKind.LOST, "kernel-drop", 1.5), agent="a2")
    await auditor.finish("MUTE", state=RecordingState.NO_MEDIA, hours=24)
    await auditor.finish(
        "CRASHED",
        (LedgerKind.LOST, "writer-failover", 4.0),
        state=RecordingState.INTERRUPTED,
        hours=24.005,
        door=Door.SIPREC,
    )
    await auditor.record("LIVE", hours=48)
    sample, _ = await auditor.record("BROKEN", hours=48.001)
    await catalog.close_segment(closing(sample))
    job = await catalog.claim_job("curator")
    assert job is not None
    while job is not None:
        await catalog.fail_job(job, "ValueError: no", retry=False)
        job = await catalog.claim_job("curator")
    return auditor


async def test_what_did_we_lose_and_why(auditor: Auditor) -> None:
    report = await auditor.json("completeness", *DAYS)
    assert (report["from"], report["to"], report["recordings"]) == ("2026-11-22", "2026-11-24", 6)
    assert report["outcomes"] == {
        "recording": 1, "finalising": 0, "complete": 2, "interrupted": 1, "no-media": 1, "failed": 1,
        "deleting": 0, "deleted": 0,
    }  # fmt: skip
    assert report["seconds"] == {"recorded": 352.0, "silent": 2.0, "paused": 0.0, "lost": 6.0}
    lost = [(one["cause"], one["seconds"], one["recordings"]) for one in report["causes"] if one["kind"] == "lost"]
    assert lost == [("writer-failover", 4.0, 1), ("kernel-drop", 1.5, 1), ("network", 0.5, 1)]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", [("2026-11-22", 2, 2.0), ("2026-11-23", 2, 4.0), ("2026-11-24", 2, 0.0)]),
        ("door", [("msr", 5, 2.0), ("siprec", 1, 4.0)]),
        ("agent", [("a1", 5, 4.0), ("a2", 1, 2.0)]),
    ],
)
async def test_broken_down(auditor: Auditor, by: str, groups: list[tuple[str, int, float]]) -> None:
    report = await auditor.json("completeness", *DAYS, "--by", by)
    assert [(one[by], one["recordings"], one["seconds"]["lost"]) for one in report["groups"]] == groups
    text = (await auditor.type("completeness", *DAYS, "--by", by)).output
    assert all(group in text for group, *_ in groups)


async def test_people_read_the_worst_cause_first(auditor: Auditor) -> None:
    result = await auditor.type("completeness", *DAYS, "--by", "cause")
    assert result.exit_code == 0
    assert "6 recordings: 1 recording, 2 complete, 1 interrupted, 1 no-media, 1 failed" in result.output
    assert result.output.index("writer-failover") < result.output.index("kernel-drop") < result.output.index("network")


async def test_csv_carries_outcomes_and_causes(auditor: Auditor) -> None:
    rows = await auditor.csv("completeness", *DAYS, "--by", "day")
    assert {"group": "2026-11-23", "kind": "lost", "cause": "writer-failover", "seconds": "4.0", "intervals": "1",
            "recordings": "1"} in rows  # fmt: skip
    assert {"group": "2026-11-23", "kind": "outcome", "cause": "no-media", "seconds": "59.96", "intervals": "",
            "recordings": "1"} in rows  # fmt: skip


async def test_a_quiet_range_says_so(auditor: Auditor) -> None:
    result = await auditor.type("completeness", "--from", "2020-01-01", "--to", "2020-01-02")
    assert (result.exit_code, "0 recordings: none" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "2026-11-24", "--to", "2026-11-22"), "after --to"),
        (("--from", "soon"), "is not a time"),
        (("--from", "2026-11-22", "--json", "--csv"), "not both"),
    ],
)
async def test_bad_input_is_told(auditor: Auditor, words: tuple[str, ...], message: str) -> None:
    result = await auditor.type("completeness", *words)
    assert result.exit_code == ExitCode.USAGE
    assert message in result.output


class TestExpected:
    """The list of another system against the catalog."""

    async def test_each_call_gets_its_verdict(self, auditor: Auditor, tmp_path: Path) -> None:
        path = tmp_path / "cdr.csv"
        path.write_text(
            "\ufeffRecord Identifier,CallUUID,DN,Start Time\n"
            "GOOD,,,\n"
            ",LOSSY,,\n"
            ",,5550111,2026-11-23T09:30:05Z\n"
            ",,5550111,2026-11-24 09:30:00\n"
            "BROKEN,,,2026-11-24T09:30:00Z\n"
            "NEVER,,,\n"
            ",,999,2026-11-22T09:30:00+00:00\n"
            "\n"
            "OTHERDAY,,,2026-12-01\n"
        )
        report = await auditor.json("completeness", *DAYS, "--expected", str(path))
        verdicts = {call["line"]: (call["verdict"], call["reason"]) for call in report["calls"]}
        assert verdicts[2] == ("confirmed", "")
        assert verdicts[3] == ("to-review", "2.000 s lost")
        assert verdicts[4] == ("to-review", "interrupted, 4.000 s lost")
        assert verdicts[5] == ("to-review", "not finalised yet")
        assert verdicts[6] == ("session-without-recording", "failed")
        assert verdicts[7][0] == verdicts[8][0] == "missing"
        assert len(verdicts) == 7
        assert (report["confirmed"], report["missing"], report["session-without-recording"]) == (1, 2, 1)
        text = (await auditor.type("completeness", *DAYS, "--expected", str(path))).output
        assert "NEVER" in text
        assert "GOOD" not in text
        assert len(await auditor.csv("completeness", *DAYS, "--expected", str(path))) == 7

    async def test_a_session_without_media_is_no_recording(self, auditor: Auditor, tmp_path: Path) -> None:
        path = tmp_path / "cdr.csv"
        path.write_text("record_id\nMUTE\n")
        report = await auditor.json("completeness", *DAYS, "--expected", str(path))
        assert report["calls"][0]["verdict"] == "session-without-recording"
        assert report["calls"][0]["reason"] == "no-media"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"name,shoe_size\nA,44\n", "the header has neither"),
            (b"dn,start\n5550100,\n", "line 2: without an identifier a call needs started_at"),
            (b"dn,start\n5550100,yesterday-ish\n", "line 2: 'yesterday-ish' is not a time"),
            (b"\xff\xfe\x00", "cannot be read as CSV"),
        ],
    )
    async def test_a_bad_list_is_told_with_its_line(
        self, auditor: Auditor, tmp_path: Path, content: bytes, message: str
    ) -> None:
        path = tmp_path / "cdr.csv"
        path.write_bytes(content)
        result = await auditor.type("completeness", *DAYS, "--expected", str(path))
        assert result.exit_code == ExitCode.USAGE
        assert message in result.output


async def test_usage_counts_calls_hours_peaks_and_bytes(auditor: Auditor) -> None:
    report = await auditor.json("usage", *DAYS)
    assert report["days"] == [
        {"day": "2026-11-22", "recordings": 2, "hours": 0.0333, "peak_sessions": 2, "size_bytes": 2 * 952_058},
        {"day": "2026-11-23", "recordings": 2, "hours": 0.0333, "peak_sessions": 2, "size_bytes": 952_058},
        {"day": "2026-11-24", "recordings": 2, "hours": 0.0, "peak_sessions": 2, "size_bytes": 0},
    ]
    assert len(await auditor.csv("usage", *DAYS)) == 3
    assert "2026-11-23" in (await auditor.type("usage", *DAYS)).output


async def test_a_session_that_goes_over_midnight_counts_on_both_days(catalog: Catalog) -> None:
    at = START.replace(hour=23, minute=59)
    sample = opening("NIGHT", epoch=await catalog.acquire_lease(), at=at)
    await catalog.open_segment(sample)
    await catalog.close_segment(closing(sample, after_s=3600))
    peaks = await catalog.reports.peaks(at.date(), at.date() + timedelta(days=3))
    assert list(peaks.values()) == [1, 1, 0]
