"""A two- or three-host site on one machine: namespaces, one PostgreSQL, a recorder in each host, room for a client."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from recorder.control import ask
from recorder.errors import NotRunningError, SetupError
from recorder.ha.vault import make_key_file
from recorder.lab.certificates import LabAuthority
from recorder.lab.database import READY
from recorder.lab.network import INTERFACE, LabNetwork
from recorder.state_dir import StateDir
from storage.postgres import server

_NETWORK: Final = "10.77.0"
FLOATING: Final = f"{_NETWORK}.10"
CLIENT: Final = "client"
CLIENT_ADDRESS: Final = f"{_NETWORK}.100"
DATABASE: Final = "db"
_DATABASE_ADDRESS: Final = f"{_NETWORK}.1"
_PORT: Final = 5432
SIP_PORT: Final = 5060
_START_S: Final = 120.0
_STOP_S: Final = 60.0
_LOOK_S: Final = 0.1


_HIDE: Final = """
while [ "$1" != -- ]; do mount -t tmpfs -o size=4k,mode=0 none "$1" || exit 1; shift; done
shift; exec "$@"
"""
"""A host does not see the disks of others; `ip netns exec` has made a mount namespace of its own."""


class Host:
    """One host of the lab.

    Args:
        name: host-a, host-b, ...
        address: its own.
        directory: of the lab.

    """

    def __init__(self, name: str, address: str, directory: Path) -> None:
        self.name, self.address = name, address
        self.state_dir = StateDir(directory / name)
        self.config = directory / f"{name}.toml"
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def status(self) -> dict[str, Any]:
        """Return what `recorder-admin status` says; empty while no recorder runs."""
        try:
            return ask(self.state_dir, "status")
        except NotRunningError:
            return {}

    @property
    def frontend(self) -> str:
        """State of the frontend that its supervisor named: active, candidate, or empty."""
        states = {one["state"] for one in self.status().get("processes", []) if one["role"] == "frontend"}
        return next((state for state in ("active", "candidate") if state in states), "")


class Cluster:
    """A running lab; a context manager that leaves nothing behind.

    Args:
        directory: for everything; made by the caller.
        hosts: how many.
        settings: further settings of every host, by table and key.
        settings_of: the same of single hosts, by their name.

    Raises:
        SetupError: it cannot be made on this machine.

    """

    def __init__(
        self,
        directory: Path,
        *,
        hosts: int = 2,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        settings_of: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
    ) -> None:
        self.directory = directory
        self.dsn = f"postgresql://{server.SUPERUSER}@{_DATABASE_ADDRESS}:{_PORT}/{server.DATABASE}"
        names = [f"host-{letter}" for letter in "abcdefgh"[:hosts]]
        self.hosts = {name: Host(name, f"{_NETWORK}.{11 + at}", directory) for at, name in enumerate(names)}
        self._settings, self._settings_of = settings or {}, settings_of or {}
        self._database: subprocess.Popen[bytes] | None = None
        self._frozen: dict[str, list[int]] = {}
        self._key_file = directory / "site.key"
        self.network = LabNetwork(f"td{os.getpid()}")

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Make the hosts and start everything; returns once one host is active and the others stand by."""
        self.network.add(DATABASE, _DATABASE_ADDRESS)
        self.network.add(CLIENT, CLIENT_ADDRESS)
        for host in self.hosts.values():
            self.network.add(host.name, host.address)
        self._start_database()
        authority = LabAuthority(self.directory)
        make_key_file(self._key_file)
        for host in self.hosts.values():
            self._configure(host, authority)
            host.state_dir.root.mkdir(mode=0o700, exist_ok=True)
        for host in self.hosts.values():
            self.launch(host.name)
            # One after the other: the first becomes active, and the start of one at a time is quicker.
            self.wait(lambda host=host: bool(host.frontend), f"start of {host.name}")  # type: ignore[misc]
        self.wait(lambda: self.active() != "", "an active host")

    def launch(self, name: str) -> None:
        """Start the recorder of a host."""
        host = self.hosts[name]
        others = [str(other.state_dir.root) for other in self.hosts.values() if other is not host]
        command = ["sh", "-c", _HIDE, "sh", *others, "--", sys.executable, "-m", "recorder", "run"]
        command += ["--config", str(host.config)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RECORDER_")}
        with host.log.open("ab") as log:
            host.process = subprocess.Popen(  # noqa: S603
                self.network.command(name, ["setpriv", "--pdeathsig", "TERM", *command]),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment,
            )  # fmt: skip

    def active(self) -> str:
        """Return the name of the active host; empty when there is none."""
        return next((host.name for host in self.hosts.values() if host.frontend == "active"), "")

    def standby(self) -> str:
        """Return the name of a host that stands by; empty when there is none."""
        return next((host.name for host in self.hosts.values() if host.frontend == "candidate"), "")

    def pids(self, name: str, role: str = "") -> list[int]:
        """Return the processes of a host's recorder, or those of one role."""
        processes = self.hosts[name].status().get("processes", [])
        return [one["pid"] for one in processes if one["pid"] and role in {"", one["role"]}]

    def kill(self, name: str) -> None:
        """End every process of a host's recorder at once, as if the program had never been there."""
        host = self.hosts[name]
        for pid in self.pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if host.process:
            host.process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to every process of a host's recorder; SIGSTOP freezes the host, SIGCONT thaws it."""
        for pid in self._frozen.pop(name, None) or self.pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if number is signal.SIGSTOP:
                self._frozen.setdefault(name, []).append(pid)

    def close(self) -> None:
        """End everything and remove the namespaces."""
        for host in self.hosts.values():
            if host.process and host.process.poll() is None:
                host.process.send_signal(signal.SIGTERM)
        for host in self.hosts.values():
            _ended(host.process)
        if self._database:
            self._database.send_signal(signal.SIGTERM)
            _ended(self._database)
        self.network.close()

    def wait(self, condition: Callable[[], bool], what: str, *, limit_s: float = _START_S) -> None:
        """Wait for something.

        Raises:
            SetupError: it did not come.

        """
        deadline = time.monotonic() + limit_s
        while not condition():
            running = [host.process for host in self.hosts.values() if host.process]
            ended = [process for process in running if process.poll() not in {None, -9}]
            if time.monotonic() > deadline or ended:
                logs = "\n".join(_tail(host.log) for host in self.hosts.values())
                raise SetupError(f"not within {limit_s} s: {what}\n{logs}")
            time.sleep(_LOOK_S)

    def _start_database(self) -> None:
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "recorder.lab.database"]
        arguments = [str(self.directory / "postgres"), _DATABASE_ADDRESS, str(_PORT)]
        self._database = subprocess.Popen(  # noqa: S603
            self.network.command(DATABASE, [*command, *arguments]),
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        said = self._database.stdout
        if said is None or not select.select([said], [], [], _START_S)[0] or said.readline().strip() != READY.encode():
            raise SetupError("the PostgreSQL of the lab did not start")

    def _configure(self, host: Host, authority: LabAuthority) -> None:
        files = authority.sign(host.name)
        tables: dict[str, dict[str, object]] = {
            "sip": {"port": SIP_PORT},
            "media": {"advertised_host": host.address, "max_streams": 200, "min_free_mb": 1},
            "database": {"dsn": self.dsn},
            "checkpoints": {"key_file": str(self._key_file)},
            "recordings": {"root": str(self.directory / "recordings")},
            "http": {"port": 8080},
            "shutdown": {"drain_limit_s": 2.0},
            "ha": {
                "listen": f"{host.address}:5070",
                "certificate": str(files.certificate),
                "key": str(files.key),
                "ca": str(files.ca),
                "address": f"{FLOATING}/24",
                "interface": INTERFACE,
            },
        }
        for further in (self._settings, self._settings_of.get(host.name, {})):
            for table, values in further.items():
                tables.setdefault(table, {}).update(values)
        lines = [f'state_dir = "{host.state_dir.root}"', f'node = "{host.name}"']
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        host.config.write_text("\n".join(lines) + "\n")


def _ended(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _tail(path: Path, lines: int = 40) -> str:
    try:
        return "\n".join([f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-lines:]])
    except FileNotFoundError:
        return ""
