"""The audit log on a real PostgreSQL: concurrent writers, refused changes, forged rows, anchors, exports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import typer
from typer.testing import CliRunner, Result

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry, AuditFilter
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.errors import StorageMisused
from storage.exit_codes import ExitCode
from storage.integrity import ChainCheck, digest_of

pytestmark = pytest.mark.integration

# What somebody does who owns the database.
UNGUARD = "ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only"


def entry(number: int = 1, **changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "actor": "ann@desk",
        "action": "export",
        "subject": f"recording-{number}",
        "reason": "case 17 \N{GREEK SMALL LETTER BETA}",
        "details": {"out": "/x", "n": number, "list": [1.5, None, True]},
    }
    return AuditEntry(**{**values, **changes})


async def broken(catalog: Catalog) -> list[int]:
    head = await catalog.audit.head()
    check = ChainCheck()
    async for read in catalog.audit.read():
        check.feed(read)
    check.ends_at(head.number, head.digest)
    return [fault.number for fault in check.faults]


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_sql_and_python_digest_alike(catalog: Catalog) -> None:
    await catalog.audit.append(entry(reason="nul \x00, lone \ud800, \N{REPLACEMENT CHARACTER}, 日本"))
    await catalog.audit.append(entry(subject="", reason="", details={}))
    entries = [read async for read in catalog.audit.read()]
    assert [read.digest for read in entries] == [digest_of(read) for read in entries]
    assert await broken(catalog) == []


async def test_concurrent_writers_make_one_chain(catalog_dsn: str) -> None:
    catalogs = [await Catalog.connect(catalog_dsn, max_size=4) for _ in range(3)]
    try:
        numbers = await asyncio.gather(
            *(catalog.audit.append(entry(number)) for number in range(60) for catalog in catalogs)
        )
        assert sorted(numbers) == list(range(1, 181))
        assert await broken(catalogs[0]) == []
    finally:
        for catalog in catalogs:
            await catalog.close()


async def test_an_entry_is_appended_once(catalog: Catalog) -> None:
    once = entry(entry_id=uuid4())
    assert [await catalog.audit.append(once) for _ in range(3)] == [1, 1, 1]
    assert (await catalog.audit.head()).number == 1


async def test_a_transaction_that_fails_leaves_no_hole(catalog: Catalog, catalog_dsn: str) -> None:
    await catalog.audit.append(entry(1))
    connection = await asyncpg.connect(catalog_dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetchval("SELECT append_audit_v1(NULL, 'x', 'delete', '', '', '{}')")
        await transaction.rollback()
    finally:
        await connection.close()
    assert await catalog.audit.append(entry(2)) == 2
    assert await broken(catalog) == []


async def test_an_action_is_a_word(catalog: Catalog) -> None:
    with pytest.raises(StorageMisused, match="not a word"):
        await catalog.audit.append(entry(action="Not a word"))


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log", "DELETE FROM audit_head"],
)
async def test_entries_are_never_changed(catalog: Catalog, catalog_dsn: str, statement: str) -> None:
    await catalog.audit.append(entry())
    with pytest.raises(asyncpg.PostgresError, match="never changed"):
        await execute(catalog_dsn, statement)


@pytest.mark.parametrize(
    ("forgery", "where"),
    [
        ("UPDATE audit_log SET reason = reason || '.' WHERE number = 4", [4]),
        ("UPDATE audit_log SET details = replace(details, '/x', '/y') WHERE number = 4", [4]),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE number = 4", [4]),
        ("UPDATE audit_log SET digest = set_byte(digest, 7, get_byte(digest, 7) # 1) WHERE number = 4", [4, 5]),
        ("DELETE FROM audit_log WHERE number = 4", [5]),
        ("DELETE FROM audit_log WHERE number > 8", [8]),
    ],
)
async def test_a_forged_row_is_found(catalog: Catalog, catalog_dsn: str, forgery: str, where: list[int]) -> None:
    for number in range(10):
        await catalog.audit.append(entry(number))
    await execute(catalog_dsn, UNGUARD, forgery)
    assert await broken(catalog) == where


async def test_the_latest_entries_by_filter(catalog: Catalog) -> None:
    for number in range(10):
        await catalog.audit.append(entry(number, action="hold" if number % 2 else "export"))
    found = await catalog.audit.latest(AuditFilter(action="hold"), 2)
    assert [read.subject for read in found] == ["recording-7", "recording-9"]
    assert [read.number async for read in catalog.audit.read(AuditFilter(subject="recording-3"))] == [4]
    assert [read.number async for read in catalog.audit.read(after=8)] == [9, 10]


class Desk:
    def __init__(self, context: CliContext) -> None:
        self._context = context
        self._app = typer.Typer()
        self._app.add_typer(GROUPS["audit"].app(), name="audit")

    async def type(self, *words: str) -> Result:
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(self._app, ["audit", *words], obj=self._context, catch_exceptions=False)
        )


@pytest.fixture
def desk(catalog_dsn: str, tmp_path: Path) -> Desk:
    return Desk(CliContext(dsn=catalog_dsn, files_root=tmp_path / "recordings", state_dir=tmp_path))


async def test_an_anchor_shows_that_the_whole_chain_was_written_anew(
    catalog: Catalog, catalog_dsn: str, desk: Desk, tmp_path: Path
) -> None:
    await catalog.audit.append(entry(1, reason="the truth"))
    assert (await desk.type("anchor", "--out", str(tmp_path / "none" / "a.json"))).exit_code == ExitCode.REFUSED
    anchored = await desk.type("anchor", "--out", str(tmp_path), "--reason", "daily", "--json")
    assert anchored.exit_code == ExitCode.OK, anchored.output
    anchor = json.loads(anchored.stdout)["out"]
    await catalog.audit.append(entry(3))
    assert (await desk.type("verify", "--anchor", anchor)).exit_code == ExitCode.OK

    await execute(
        catalog_dsn,
        UNGUARD,
        "DELETE FROM audit_log",
        "UPDATE audit_head SET number = 0, digest = sha256('tandem-audit/1')",
    )
    for number in range(1, 4):
        await catalog.audit.append(entry(number, reason="a lie"))
    assert (await desk.type("verify")).exit_code == ExitCode.OK  # a chain alone cannot tell
    verified = await desk.type("verify", "--anchor", anchor, "--json")
    assert verified.exit_code == ExitCode.INTEGRITY
    assert [fault["number"] for fault in json.loads(verified.stdout)["faults"]] == [2]


async def test_a_log_that_ends_before_its_anchor_is_found(
    catalog: Catalog, catalog_dsn: str, desk: Desk, tmp_path: Path
) -> None:
    await catalog.audit.append(entry(1))
    anchor = tmp_path / "anchor.json"
    assert (await desk.type("anchor", "--out", str(anchor))).exit_code == ExitCode.OK
    await execute(
        catalog_dsn,
        UNGUARD,
        "DELETE FROM audit_log WHERE number = 2",
        "UPDATE audit_head SET (number, digest) = (SELECT number, digest FROM audit_log WHERE number = 1)",
    )
    assert (await desk.type("verify")).exit_code == ExitCode.OK
    assert (await desk.type("verify", "--anchor", str(anchor))).exit_code == ExitCode.INTEGRITY


async def test_an_exported_log_is_checked_without_the_catalog(catalog: Catalog, desk: Desk, tmp_path: Path) -> None:
    for number in range(5):
        await catalog.audit.append(entry(number))
    anchor, log = tmp_path / "anchor.json", tmp_path / "log.jsonl"
    assert (await desk.type("anchor", "--out", str(anchor))).exit_code == ExitCode.OK
    assert (await desk.type("export", "--out", str(log))).exit_code == ExitCode.OK
    key = str(tmp_path / "keys" / "public")
    words = ("verify", "--file", str(log), "--anchor", str(anchor), "--key", key)
    assert (await desk.type(*words)).exit_code == ExitCode.OK

    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"recording-3", b"recording-4"))
    assert (await desk.type(*words)).exit_code == ExitCode.INTEGRITY
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert (await desk.type(*words)).exit_code == ExitCode.INTEGRITY
    refused = await desk.type("export", "--out", str(log))
    assert refused.exit_code == ExitCode.REFUSED


async def test_the_listing_says_who_what_and_why(catalog: Catalog, desk: Desk) -> None:
    await catalog.audit.append(entry(7, reason="case \x1b[31m"))
    listed = await desk.type("list", "--action", "export")
    assert "ann@desk" in listed.stdout
    assert "recording-7" in listed.stdout
    assert "\x1b" not in listed.stdout
    as_json = json.loads((await desk.type("list", "--json")).stdout)
    assert as_json[0]["details"] == {"out": "/x", "n": 7, "list": [1.5, None, True]}
