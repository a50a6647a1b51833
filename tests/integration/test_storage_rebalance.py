"""Files between directories and the object store: a death loses nothing and leaves nothing; hosts mind their own."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rich.console import Console

from recorder.admin.storage_rebalance import Rebalance, RebalanceOptions
from recorder.curator.keeping import Keeping
from recorder.stores import directories, s3_options
from storage.catalog import Catalog
from storage.catalog.connection import Database
from storage.catalog.deletions import ERASE
from storage.catalog.records import OpenedSegment
from storage.catalog.views import RecordingDetail
from storage.cli.context import CliContext, CommandFailed
from storage.cli.recording_check import check_recording, orphans_of
from storage.errors import StoreFull
from storage.files import FileStore, Store
from storage.integrity import PublicKeys
from tests.kit.curating import Curating
from tests.kit.object_storage import ObjectStorage, object_storage
from tests.kit.recipients import make_recipient

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


def tables(folder: Path, server: ObjectStorage | None = None, *, lockable: bool = False, **more: Any) -> dict[str, Any]:
    """Settings with an archive, and with a bucket when a server is given."""
    archive = folder / "archive"
    archive.mkdir(exist_ok=True)
    found: dict[str, Any] = {"recordings": {"archives": {"archive": str(archive)}, **more}}
    if server is not None:
        reach = server.bucket(lockable=lockable)
        found["s3"] = {
            "bucket": reach.bucket,
            "endpoint": reach.endpoint,
            "access_key_id": reach.access_key_id,
            "secret_access_key": reach.secret_access_key,
            "timeout_s": 30.0,
        }
        if lockable:
            found["s3"]["lock"] = "governance"
    return found


class Office:
    """A recorder with its administrator."""

    def __init__(self, catalog: Catalog, dsn: str, folder: Path, **settings: Any) -> None:
        self.catalog = catalog
        self.curator = Curating(catalog, folder / "state", **settings)
        self._context = CliContext(
            dsn=dsn,
            files_root=self.curator.depot.local.root,
            directories=directories(self.curator.settings),
            state_dir=self.curator.state_dir,
            object_store=s3_options(self.curator.settings),
        )

    async def record(self, identifier: str) -> OpenedSegment:
        opened = await self.curator.record(identifier)
        await self.curator.work()
        return opened

    async def rebalance(self, source: str, target: str, *references: object, **options: Any) -> tuple[int, Any]:
        printed = io.StringIO()
        rebalance = Rebalance(self.catalog, self._context, Console(file=printed, width=200), by="anna@desk")
        code = await rebalance.run(
            RebalanceOptions(
                source=source, target=target, references=[str(one) for one in references], as_json=True, **options
            ),
            now=datetime.now(UTC),
        )
        return code, json.loads(printed.getvalue())

    async def faults(self, opened: OpenedSegment) -> list[str]:
        """What is wrong with a recording or with any store; jobs are done first."""
        await self.curator.work()
        found = await self.catalog.get_recording(opened.recording_id)
        assert isinstance(found, RecordingDetail)
        stores: dict[str, Store] = self.curator.depot.stores
        trusted = PublicKeys.read([self.curator.state_dir / "keys" / "public"])
        check = await check_recording(found, self.catalog, stores, trusted)
        faults = [str(fault) for fault in check.faults] + ([] if check.sealed else ["not sealed"])
        for store in stores.values():
            faults += [f"{store.name}:{path} is an orphan" async for path in orphans_of(self.catalog, store)]
        return faults + [f"{job.kind} is left: {job.last_error}" for job in await self.catalog.list_jobs()]

    async def where(self, opened: OpenedSegment) -> set[str]:
        """In which stores a recording has anything."""
        names = self.curator.depot.stores
        return {name for name in names if await self.catalog.files.in_store(opened.recording_id, name)}


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_recording_goes_round_all_stores_and_stays_what_it_was(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage, encrypted: bool
) -> None:
    more: dict[str, Any] = {"encrypt_to": [str(make_recipient(tmp_path, "x25519")[0])]} if encrypted else {}
    office = Office(catalog, catalog_dsn, tmp_path, **tables(tmp_path, server, **more))
    opened = await office.record("CALL0001")
    for source, target in (("local", "archive"), ("archive", "s3"), ("s3", "archive"), ("archive", "local")):
        code, told = await office.rebalance(source, target)
        assert (code, told["recordings"], told["files"], told["failed"]) == (0, 1, 2, [])
        assert await office.faults(opened) == []
        assert await office.where(opened) == {target}
        assert not list(office.curator.depot.stores[source].list()), "the former files are left"
    moves = [entry async for entry in catalog.audit.read() if entry.action == "move"]
    assert len(moves) == 8
    assert {entry.actor for entry in moves} == {"anna@desk"}


async def test_what_a_dry_run_says_and_a_limit_allows(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    office = Office(catalog, catalog_dsn, tmp_path, **tables(tmp_path))
    first, second = await office.record("CALL0001"), await office.record("CALL0002")
    _, whole = await office.rebalance("local", "archive", dry_run=True)
    assert (whole["recordings"], whole["files"]) == (2, 4)
    assert await office.where(first) == await office.where(second) == {"local"}
    _, none = await office.rebalance("local", "archive", started_to="2026-01-01")
    assert none["recordings"] == 0
    _, told = await office.rebalance("local", "archive", limit=str(whole["size_bytes"] * 2 // 3))
    assert told["recordings"] == 1
    moved = [one for one in (first, second) if await office.where(one) == {"archive"}]
    assert len(moved) == 1
    await office.curator.work(kinds=("discard",))
    _, back = await office.rebalance("archive", "local", moved[0].recording_id)
    assert back["recordings"] == 1
    assert await office.faults(first) == await office.faults(second) == []


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("nowhere", {}, "there are local, archive"),
        ("local", {}, "name two stores"),
        ("archive", {"limit": "many"}, "not a size"),
        ("gone", {}, "is its disk mounted"),
    ],
)
async def test_what_cannot_be_done_is_said(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, *, target: str, options: dict[str, Any], words: str
) -> None:
    settings = tables(tmp_path, archives={"archive": str(tmp_path / "archive"), "gone": str(tmp_path / "gone")})
    office = Office(catalog, catalog_dsn, tmp_path, **settings)
    await asyncio.to_thread(office.curator.depot.local.root.mkdir, parents=True)
    with pytest.raises(CommandFailed, match=words):
        await office.rebalance("local", target, **options)


class Death(BaseException):
    """The process ends here."""


async def test_it_may_die_at_any_step_and_goes_on(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each statement and each call of a store; then the same command again, and back."""
    office = Office(catalog, catalog_dsn, tmp_path, **tables(tmp_path))
    opened = await office.record("CALL0001")
    for fatal in range(1, 100):
        with monkeypatch.context() as patch:
            left = _mortal(patch, fatal)
            try:
                await office.rebalance("local", "archive")
            except Death:
                assert left() <= 0
        lived = left() > 0
        assert (await office.rebalance("local", "archive"))[0] == 0
        # A name that is just being removed is left for the next time; nothing is ever wrong.
        assert await office.faults(opened) == []
        await office.rebalance("local", "archive")
        assert await office.faults(opened) == []
        assert await office.where(opened) == {"archive"}
        assert (await office.rebalance("archive", "local"))[0] == 0
        assert await office.faults(opened) == []
        if lived:
            assert fatal > 15, "it has more steps than that"
            return
    pytest.fail("it never lived")


def _mortal(patch: pytest.MonkeyPatch, fatal: int) -> Callable[[], int]:
    """Die before (odd) or after (even) a step."""
    left = (fatal + 1) // 2

    def step(*, before: bool) -> None:
        nonlocal left
        if before:
            left -= 1
        if left == 0 and before == bool(fatal % 2):
            left -= 1
            raise Death

    def awaited(call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            step(before=True)
            result = await call(*arguments, **options)
            step(before=False)
            return result

        return wrapped

    def called(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            step(before=True)
            result = call(*arguments, **options)
            step(before=False)
            return result

        return wrapped

    for name in ("value", "rows"):
        patch.setattr(Database, name, awaited(getattr(Database, name)))
    for name in ("put", "stat"):
        patch.setattr(FileStore, name, called(getattr(FileStore, name)))
    return lambda: left


async def test_a_full_disk_ends_it_and_leaves_everything_where_it_was(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(catalog, catalog_dsn, tmp_path, **tables(tmp_path))
    opened = await office.record("CALL0001")

    def full(*_: Any, **__: Any) -> None:
        raise StoreFull("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "put", full)
        with pytest.raises(StoreFull):
            await office.rebalance("local", "archive")
    assert await office.where(opened) == {"local"}
    await catalog.files.withdraw(None)
    assert await office.faults(opened) == []


async def test_a_file_of_a_host_is_minded_by_that_host_alone(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage
) -> None:
    """Two hosts with disks of their own: what one rendered anew is removed, uploaded and erased where it is."""
    settings = tables(tmp_path, server, shared=False, store="s3")
    hosts = {
        name: Office(catalog, catalog_dsn, tmp_path / name, node=name, **settings) for name in ("host-a", "host-b")
    }
    a, b = (office.curator for office in hosts.values())
    opened = await a.record("CALL0001")
    assert await a.work(kinds=("finalise",)) == ["finalise"]
    first = stored(a)
    # A further session, and the other host renders it: the first one's file is superseded.
    await a.record("CALL0001", seed=7)
    assert await b.work(kinds=("finalise", "discard", "discard@host-b")) == ["finalise"]
    assert (stored(a), len(stored(b))) == (first, 1)
    assert await a.work(kinds=("discard", "discard@host-a")) == ["discard@host-a"]
    assert (stored(a), len(stored(b))) == ([], 1)
    # Stated by one, uploaded by both.
    assert await a.work(kinds=("manifest",)) == ["manifest"]
    assert sorted(job.kind for job in await catalog.list_jobs()) == ["upload@host-a", "upload@host-b"]
    assert set(await a.work(kinds=("upload@host-a", "discard@host-a"))) == {"upload@host-a", "discard@host-a"}
    assert set(await b.work(kinds=("upload@host-b", "discard@host-b"))) == {"upload@host-b", "discard@host-b"}
    assert stored(a) == stored(b) == []
    found = await catalog.get_recording(opened.recording_id)
    assert isinstance(found, RecordingDetail)
    assert {file.store for file in found.files} == {"s3"}


async def test_a_deletion_asks_every_host_that_has_files(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    settings = tables(tmp_path, shared=False)
    a, b = (Curating(catalog, tmp_path / name, node=name, **settings) for name in ("host-a", "host-b"))
    opened = await a.record("CALL0001")
    assert await b.work(kinds=("finalise",)) == ["finalise"]
    assert len(stored(b)) == 1
    await catalog.deletions.begin(opened.recording_id, by="anna", reason="asked for")
    assert await a.work(kinds=(ERASE + "host-a",)) == [ERASE + "host-a"]
    assert (await detail(catalog, opened)).summary.state == "deleting"
    assert await b.work(kinds=(ERASE + "host-b",)) == [ERASE + "host-b"]
    assert (await detail(catalog, opened)).summary.state == "deleted"
    assert stored(b) == []


async def test_objects_carry_the_holds_of_the_catalog(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage
) -> None:
    """Held before its upload or after it, and released."""
    settings = tables(tmp_path, server, lockable=True, store="s3")
    office = Office(catalog, catalog_dsn, tmp_path, **settings)
    curator = office.curator
    kinds = ("finalise", "manifest", "upload", "discard", "hold-objects")
    early, late = await curator.record("CALL0001"), await curator.record("CALL0002")
    held = await catalog.holds.place(early.recording_id, reason="case 1", by="anna")
    await curator.work(kinds=kinds)

    def standing() -> dict[str, str]:
        bucket = settings["s3"]["bucket"]
        return {
            file.path: server.client.get_object_legal_hold(Bucket=bucket, Key=file.path)["LegalHold"].get(
                "Status", "OFF"
            )
            for file in curator.depot.store("s3").list()
        }

    async def of(opened: OpenedSegment) -> set[str]:
        found = await asyncio.to_thread(standing)
        return {state for path, state in found.items() if opened.recording_id.hex in path}

    assert await of(early) == {"ON"}
    await catalog.holds.place(late.recording_id, reason="case 2", by="anna")
    assert await curator.work(kinds=kinds) == ["hold-objects"]
    assert await of(late) == {"ON"}
    assert held.hold_id is not None
    await catalog.holds.release(held.hold_id, reason="closed", by="anna")
    assert await curator.work(kinds=kinds) == ["hold-objects"]
    assert (await of(early), await of(late)) == ({"OFF"}, {"ON"})


async def test_a_name_is_not_used_again_while_a_stale_worker_may_remove_it(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    """A worker that was frozen before it removed a file, whose claim ran out and whose work another one did."""
    office = Office(catalog, catalog_dsn, tmp_path, **tables(tmp_path))
    opened = await office.record("CALL0001")
    await office.rebalance("local", "archive")
    frozen = await catalog.claim_job("frozen", kinds=("discard",), lease_s=0.0)
    assert frozen is not None
    assert await office.curator.work(kinds=("discard",)) == ["discard", "discard"]
    code, told = await office.rebalance("archive", "local")
    assert (code != 0, len(told["failed"])) == (True, 1)
    assert "is being removed" in told["failed"][0]["error"]
    connection = await asyncpg.connect(catalog_dsn)
    try:
        await connection.execute("UPDATE doomed_files SET gone_at = gone_at - interval '1 h'")
    finally:
        await connection.close()
    await Keeping(catalog, office.curator.depot).withdraw()
    assert (await office.rebalance("archive", "local"))[0] == 0
    assert await office.faults(opened) == []


async def detail(catalog: Catalog, opened: OpenedSegment) -> RecordingDetail:
    found = await catalog.get_recording(opened.recording_id)
    assert isinstance(found, RecordingDetail)
    return found


def stored(curator: Curating) -> list[str]:
    return sorted(file.path for file in curator.depot.local.list())
