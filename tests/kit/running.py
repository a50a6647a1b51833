"""A recorder that runs as a user would run it: its own processes, sockets, PostgreSQL and state directory."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from typer.testing import CliRunner, Result

from recorder.admin.app import app

BIN: Final = Path(sys.executable).parent
START_LIMIT_S: Final = 180.0
FINISHED_LIMIT_S: Final = 120.0
"""For the curator to finish a recording: it takes only the processor time that nobody else wants."""
_PORTS: Final = range(61_000, 65_500)
"""Above those that the system gives out by itself: nobody takes one between its choice and its use."""
_NEXT_PORTS: Final = itertools.count(random.SystemRandom().randrange(len(_PORTS)))
_ONE_AT_A_TIME: Final = threading.Lock()
"""The runner of commands replaces sys.stdout."""
T = TypeVar("T")


def free_port() -> int:
    """Return a port that is free for UDP and TCP now, and another one each time."""
    for number in itertools.islice(_NEXT_PORTS, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free for UDP and TCP alike")


def eventually(
    probe: Callable[[], T | None], *, limit_s: float, what: str, detail: Callable[[], str] = lambda: ""
) -> T:
    """Return the first result of `probe` that is neither None nor False; `detail` is told when there is none.

    The last look begins after the limit: a machine that stands still for long gets another one.
    """
    deadline = time.monotonic() + limit_s
    while True:
        began = time.monotonic()
        result = probe()
        if result is not None and result is not False:
            return result
        if began > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}\n{detail()}")
        time.sleep(0.05)


class RunningRecorder:
    """Start with `start`, end with `stop`; use as a context manager to be sure."""

    def __init__(
        self, state_dir: Path, *, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.state_dir = state_dir
        self._prefix = prefix
        self.sip_port = free_port()
        self.http_port = free_port()
        self.log_path = state_dir.parent / f"{state_dir.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.started_from: Path | None = None
        """The directory that it is started from; None: that of the tests."""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECORDER_")},
            "RECORDER_MEDIA_MAX_STREAMS": "60",
            "RECORDER_MEDIA_MIN_FREE_MB": "1",
            "RECORDER_MEDIA_PORT_COOLDOWN_S": "0.5",
            "RECORDER_SHUTDOWN_DRAIN_LIMIT_S": "2",
            **(environment or {}),
        }

    def __enter__(self) -> RunningRecorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> float:
        """Start it and wait until it is able to record; returns the seconds that took."""
        began = time.monotonic()
        self.launch()
        eventually(self._ready, limit_s=START_LIMIT_S, what="recorder ready", detail=self.log_tail)
        return time.monotonic() - began

    def launch(self) -> None:
        """Start it and do not wait."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                # Ends with the tests, however those end.
                [*self._prefix, "setpriv", "--pdeathsig", "TERM", *self.run_command()],
                env=self.environment, cwd=self.started_from, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @contextmanager
    def stopped_at_exit(self) -> Iterator[RunningRecorder]:
        """For tests that start it themselves: stop it afterwards if it runs."""
        try:
            yield self
        finally:
            self.stop()

    def run_command(self) -> list[str]:
        """Return the command that starts this recorder."""
        return [
            str(BIN / "recorder"), "run", "--state-dir", str(self.state_dir),
            "--sip-port", str(self.sip_port), "--http-port", str(self.http_port),
        ]  # fmt: skip

    def refused(self) -> subprocess.CompletedProcess[str]:
        """Run a recorder that is expected to give up at once; returns how it ended and what it said."""
        return subprocess.run(
            self.run_command(),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"recorder ended with {self.process.returncode}; log:\n{self.log_tail()}")
        answer = self.admin("status", "--local", check=False)
        return bool(answer) and answer.get("state") == "running"

    def stop(self, *, limit_s: float = 90.0) -> int | None:
        """Send SIGTERM and wait for the end; returns the exit code, None if it was not running."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise AssertionError(f"recorder did not end within {limit_s} s; log:\n{self.log_tail()}") from None

    def kill_everything(self) -> None:
        """End every process of the recorder with SIGKILL, as a power cut would."""
        assert self.process is not None
        pids = [self.process.pid, *descendants(self.process.pid)]
        for pid in pids:
            kill_if_there(pid, signal.SIGKILL)
        self.process.wait()
        for pid in pids:
            eventually(lambda pid=pid: not alive(pid), limit_s=30, what=f"end of process {pid}")  # type: ignore[misc]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run recorder-admin against this recorder, in a process of its own as people do."""
        return subprocess.run(
            [BIN / "recorder-admin", "--state-dir", str(self.state_dir), *arguments],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def invoke(self, *arguments: str) -> Result:
        """Run recorder-admin in this process: the same program without the start of Python, half a second a time."""
        changes = {name: None for name in os.environ if name.startswith("RECORDER_")}
        with _ONE_AT_A_TIME:
            return CliRunner().invoke(
                app,
                ["--state-dir", str(self.state_dir), *arguments],
                env={**changes, **self.environment},
                catch_exceptions=False,
            )

    def admin(self, *arguments: str, check: bool = True) -> Any:
        """Run recorder-admin with --json and return what it printed."""
        done = self.invoke(*arguments, "--json")
        if check:
            assert done.exit_code == 0, f"recorder-admin {arguments}: {done.exit_code}\n{done.stdout}{done.stderr}"
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def status(self) -> Any:
        """Return `recorder-admin status --local --json`: it waits for no catalog, whatever a test did to it."""
        return self.admin("status", "--local")

    def pids(self, role: str) -> list[int]:
        """Return the process ids of a role."""
        return [one["pid"] for one in self.status()["processes"] if one["role"] == role]

    def recordings(self, *filters: str) -> list[dict[str, Any]]:
        """Return `recorder-admin recordings list --json`."""
        listed: list[dict[str, Any]] = self.admin("recordings", "list", *filters)
        return listed

    def finished(self, identifier: str, *, limit_s: float = FINISHED_LIMIT_S) -> dict[str, Any]:
        """Wait until a recording is finalised and return its entry in the list."""
        return eventually(
            lambda: self.finished_now(identifier),
            limit_s=limit_s, what=f"{identifier} finalised", detail=self.log_tail,
        )  # fmt: skip

    def finished_now(self, identifier: str) -> dict[str, Any] | None:
        """Return the entry of a recording if it is finalised."""
        found = self.recordings("--record-identifier", identifier)
        return found[0] if found and found[0]["state"] not in {"recording", "finalising"} else None

    def export(self, recording_id: str, target: Path) -> Path:
        """Export a recording's audio and return its path."""
        done = self.invoke("recordings", "export", recording_id, "--out", str(target), "--force")
        assert done.exit_code == 0, done.stdout + done.stderr
        return target

    def log_tail(self, lines: int = 60) -> str:
        """Return the end of the recorder's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def http(self, path: str) -> tuple[int, str, str]:
        """Return status, content type and text of a page of the HTTP interface."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def log(self) -> str:
        """Return everything logged so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def assert_no_traceback(self) -> None:
        """Fail if anything was logged that is a defect of ours: an exception trace, a future that nobody awaited."""
        text = self.log()
        for sign in ("Traceback (most recent call last)", "never retrieved", "never awaited", "was destroyed but it"):
            at = text.find(sign)
            assert at < 0, f"a defect in the log:\n{text[max(at - 600, 0) : at + 3000]}"

    def simulate(self, *arguments: str, limit_s: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run `recorder simulate` against this recorder."""
        return subprocess.run(
            [BIN / "recorder", "simulate", "--target", f"udp:127.0.0.1:{self.sip_port}",
             "--state-dir", str(self.state_dir), *arguments],
            env=self.environment, capture_output=True, text=True, timeout=limit_s, check=False,
        )  # fmt: skip


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return f"{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]}" != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """Return all processes below one, nearest first."""
    found: list[int] = []
    waiting: Sequence[int] = [pid]
    while waiting:
        children = [
            int(child)
            for parent in waiting
            for task in Path(f"/proc/{parent}/task").glob("*/children")
            for child in task.read_text().split()
        ]
        found.extend(children)
        waiting = children
    return found


def kill_if_there(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
