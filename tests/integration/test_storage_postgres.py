"""The embedded PostgreSQL: starts anywhere, survives kill -9, leaves nothing behind."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC240 - the tests look at /proc, and start and await processes of others

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from storage.catalog import Catalog, migrate
from storage.errors import CatalogUnreachable, EmbeddedPostgresFailed
from storage.postgres import EmbeddedPostgres
from storage.postgres.sockets import SHORT_BASE
from tests.integration.storage_samples import opening
from tests.kit.running import descendants, kill_if_there

pytestmark = pytest.mark.integration

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another account")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", run_dir=tmp_path / "run")
    yield server
    await server.stop()


async def value(server: EmbeddedPostgres, statement: str) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def pid_of(server: EmbeddedPostgres) -> int:
    assert server.process is not None
    return server.process.pid


def processes_of(data_dir: Path) -> list[int]:
    """Processes that work in the data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == data_dir:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def until_gone(data_dir: Path) -> None:
    async with asyncio.timeout(120):
        while processes_of(data_dir):
            await asyncio.sleep(0.02)


async def test_a_cluster_is_made_for_durability_on_a_private_socket(server: EmbeddedPostgres) -> None:
    await server.start()
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "jit": "off",
    }
    assert {name: await value(server, f"SHOW {name}") for name in wanted} == wanted
    assert await value(server, "SELECT datlocprovider::text || datlocale FROM pg_database LIMIT 1") == "bC.UTF-8"
    assert server.data_dir.stat().st_mode & 0o777 == 0o700


async def test_data_survive_stop_and_start(server: EmbeddedPostgres) -> None:
    await server.start()
    await value(server, "CREATE TABLE kept AS SELECT 7 AS number")
    await server.stop()
    await server.start()
    assert await value(server, "SELECT number FROM kept") == 7


async def test_nothing_is_left_behind(server: EmbeddedPostgres, tmp_path: Path) -> None:
    before = set(SHORT_BASE.glob("tandem-pg-*"))
    await server.start()
    await server.stop()
    assert processes_of(server.data_dir) == []
    assert [entry for entry in tmp_path.rglob("*") if entry.is_socket()] == []
    assert set(SHORT_BASE.glob("tandem-pg-*")) <= before
    assert server.process is None
    with pytest.raises(EmbeddedPostgresFailed, match="start"):
        _ = server.dsn


async def test_stop_without_start_is_harmless(server: EmbeddedPostgres) -> None:
    await server.stop()


async def test_after_kill_9_it_starts_again_with_every_committed_row(server: EmbeddedPostgres) -> None:
    await server.start()
    await migrate(server.dsn)
    async with await Catalog.connect(server.dsn) as catalog:
        epoch = await catalog.acquire_lease()
        samples = [opening(f"CALL{number}", epoch=epoch) for number in range(50)]
        for sample in samples:
            await catalog.open_segment(sample)
        process = server.process
        assert process is not None
        process.kill()
        await process.wait()
        # Orphaned server processes live until they notice: wait for them, so that nothing answers any more.
        await until_gone(server.data_dir)
        with pytest.raises(CatalogUnreachable):
            await catalog.open_segment(opening("LATE", epoch=epoch))
        await server.start()
        # The same pool goes on: connections are made anew.
        assert {row.segment_id for row in await catalog.open_segments()} == {sample.segment_id for sample in samples}
        assert await catalog.acquire_lease() == epoch + 1


async def test_a_zombie_of_the_former_server_does_not_keep_it_from_starting(server: EmbeddedPostgres) -> None:
    await server.start()
    await server.stop()
    # Where nobody reaps orphans (PID 1 of many containers), a killed server stays in the process table.
    # It is the server's own account: PostgreSQL takes no notice of other people's processes.
    account = server.data_dir.stat().st_uid
    zombie = subprocess.Popen(["/bin/true"], user=account if os.geteuid() == 0 else None)
    while Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        await asyncio.sleep(0.01)
    (server.data_dir / "postmaster.pid").write_text(f"{zombie.pid}\n{server.data_dir}\n")
    await server.start()
    assert await value(server, "SELECT 1") == 1
    zombie.wait()


async def test_a_write_that_was_cut_off_can_be_repeated(server: EmbeddedPostgres) -> None:
    """The server dies while many writes are under way: each is in or not, and repeating it makes it in exactly once."""
    await server.start()
    await migrate(server.dsn)
    async with await Catalog.connect(server.dsn) as catalog:
        epoch = await catalog.acquire_lease()
        samples = [opening(f"CALL{number}", epoch=epoch) for number in range(300)]
        writes = [asyncio.ensure_future(catalog.open_segment(sample)) for sample in samples]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pid_of(server), signal.SIGKILL)
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert any(isinstance(result, CatalogUnreachable) for result in results)
        assert all(not isinstance(result, Exception) or isinstance(result, CatalogUnreachable) for result in results)
        await server.start()
        for sample, result in zip(samples, results, strict=True):
            again = await catalog.open_segment(sample)
            assert again.ordinal == 1
            assert isinstance(result, BaseException) or again.recording_id == result.recording_id
        assert len(await catalog.open_segments()) == len(samples)


async def test_a_long_state_directory_gets_a_short_socket_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = EmbeddedPostgres(deep / "postgres")
    await server.start()
    try:
        assert await value(server, "SELECT 1") == 1
        (directory,) = SHORT_BASE.glob(server.dsn.partition("host=%2Ftmp%2F")[2].partition("&")[0])
        assert directory.stat().st_mode & 0o007 == 0
        # A crash of the recorder leaves the directory; the next start reclaims it.
        left = pid_of(server)
        os.kill(left, signal.SIGKILL)
        assert server.process is not None
        await server.process.wait()
        await server.start()
        assert not directory.exists()
    finally:
        await server.stop()


async def test_a_strange_state_directory_works(tmp_path: Path) -> None:
    strange = tmp_path / 'a "b", c%20 é'
    strange.mkdir()
    server = EmbeddedPostgres(strange / "postgres", run_dir=strange / "run")
    await server.start()
    try:
        assert await value(server, "SELECT 1") == 1
    finally:
        await server.stop()


async def test_a_second_recorder_on_the_same_data_is_refused(server: EmbeddedPostgres) -> None:
    await server.start()
    second = EmbeddedPostgres(server.data_dir, run_dir=server.data_dir.parent / "other")
    with pytest.raises(EmbeddedPostgresFailed, match=f"pid {pid_of(server)}.*another recorder"):
        await second.start()
    assert await value(server, "SELECT 1") == 1


async def test_a_directory_with_other_contents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letter.txt").write_text("mine")
    with pytest.raises(EmbeddedPostgresFailed, match="not empty"):
        await EmbeddedPostgres(tmp_path / "postgres").start()
    assert (tmp_path / "postgres" / "letter.txt").read_text() == "mine"


async def test_another_major_version_is_explained(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedPostgresFailed, match=r"made by PostgreSQL 9\.6, the installed one is 18"):
        await EmbeddedPostgres(tmp_path / "postgres").start()


async def test_an_interrupted_initdb_is_done_again(server: EmbeddedPostgres) -> None:
    half = server.data_dir.with_name(f"{server.data_dir.name}.initdb")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    await server.start()
    assert await value(server, "SELECT 1") == 1
    assert not half.exists()


async def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    await server.start()
    await server.stop()
    with (server.data_dir / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = plenty\n")
    with pytest.raises(EmbeddedPostgresFailed, match="shared_buffers"):
        await server.start()
    assert processes_of(server.data_dir) == []


RECORDER = """
import asyncio, sys
from pathlib import Path
from storage.postgres import EmbeddedPostgres

async def main() -> None:
    await EmbeddedPostgres(Path(sys.argv[1]), run_dir=Path(sys.argv[2])).start()
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def start_recorder(server: EmbeddedPostgres) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, server.data_dir, server.data_dir.parent / "run"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


async def test_it_ends_with_its_recorder(server: EmbeddedPostgres) -> None:
    with start_recorder(server) as recorder:
        assert processes_of(server.data_dir)
        recorder.kill()
    await until_gone(server.data_dir)
    await server.start()
    assert "shut down cleanly" not in (server.data_dir / "postmaster.pid").read_text()
    assert await value(server, "SELECT 1") == 1


async def test_a_recorder_restarted_at_once_waits_for_the_old_server(server: EmbeddedPostgres) -> None:
    with start_recorder(server) as recorder:
        recorder.kill()
    await server.start()
    assert await value(server, "SELECT 1") == 1


async def test_an_interrupt_at_the_terminal_does_not_reach_it(server: EmbeddedPostgres) -> None:
    """It stops after the recorder's own processes, not before them."""
    await server.start()
    assert os.getpgid(pid_of(server)) != os.getpgid(0)


class TestAsRoot:
    """PostgreSQL refuses to run as root: it becomes another account, and still reaches its files."""

    pytestmark = AS_ROOT

    @pytest.fixture
    def closed_directory(self) -> Iterator[Path]:
        """A directory that nobody but root may enter, as /root and pytest's own are."""
        directory = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/var/tmp"))
        assert directory.stat().st_mode & 0o777 == 0o700
        yield directory
        shutil.rmtree(directory)

    async def test_below_a_closed_directory(self, closed_directory: Path) -> None:
        server = EmbeddedPostgres(closed_directory / "postgres", run_dir=closed_directory / "run")
        await server.start()
        try:
            owner = Path(f"/proc/{pid_of(server)}").stat().st_uid
            assert owner == server.data_dir.stat().st_uid != 0
            assert await value(server, "SELECT 1") == 1
        finally:
            await server.stop()
        assert closed_directory.stat().st_mode & 0o777 == 0o700
        assert closed_directory.stat().st_uid == 0

    async def test_it_keeps_no_capability_that_it_does_not_need(self, closed_directory: Path) -> None:
        server = EmbeddedPostgres(closed_directory / "postgres", run_dir=closed_directory / "run")
        await server.start()
        try:
            status = Path(f"/proc/{pid_of(server)}/status").read_text()
        finally:
            await server.stop()
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert int(sets["CapEff"], 16) == int(sets["CapPrm"], 16) == 1 << 2

    async def test_below_an_open_directory_it_keeps_none_at_all(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/var/tmp"))
        directory.chmod(0o755)
        server = EmbeddedPostgres(directory / "postgres", run_dir=directory / "run")
        try:
            await server.start()
            status = Path(f"/proc/{pid_of(server)}/status").read_text()
        finally:
            await server.stop()
            shutil.rmtree(directory)
        assert "CapEff:\t0000000000000000" in status

    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
    async def test_with_the_capabilities_of_a_default_container(self, closed_directory: Path) -> None:
        """Docker's default set lacks CAP_DAC_READ_SEARCH."""
        kept = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,setfcap"
        process = subprocess.Popen(
            [
                *("setpriv", "--bounding-set", "-all," + ",".join(f"+{name}" for name in kept.split(","))),
                *(sys.executable, "-c", RECORDER, closed_directory / "postgres", closed_directory / "run"),
            ],
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            (server,) = [
                pid
                for pid in processes_of(closed_directory / "postgres")
                if b"-D\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            status = Path(f"/proc/{server}/status").read_text()
            process.kill()
        await until_gone(closed_directory / "postgres")
        assert f"CapEff:\t{1 << 1:016x}" in status

    async def test_an_existing_cluster_keeps_its_account(self, closed_directory: Path) -> None:
        server = EmbeddedPostgres(closed_directory / "postgres", run_dir=closed_directory / "run")
        await server.start()
        await server.stop()
        other = pwd.getpwnam("games")
        for entry in [server.data_dir, *server.data_dir.rglob("*")]:
            os.lchown(entry, other.pw_uid, other.pw_gid)
        await server.start()
        try:
            assert Path(f"/proc/{pid_of(server)}").stat().st_uid == other.pw_uid
        finally:
            await server.stop()


async def test_whoever_waits_no_longer_goes_on_at_once_although_the_server_is_frozen(server: EmbeddedPostgres) -> None:
    """The driver cancels a statement by a second connection, which such a server does not answer either."""
    await server.start()
    await migrate(server.dsn)
    async with await Catalog.connect(server.dsn, max_size=1, timeout_s=60) as catalog:
        await catalog.sites.see("frontend")
        frozen = [pid_of(server), *descendants(pid_of(server))]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            # The outer limit ends a wait that would last as long as the server is frozen.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20), asyncio.timeout(0.1):
                    await catalog.sites.see("frontend")
            assert time.monotonic() - began < 10
        finally:
            for pid in frozen:
                kill_if_there(pid, signal.SIGCONT)
        assert await catalog.sites.see("frontend") is None
