"""An ordinary user runs the recorder: own state directory, embedded PostgreSQL, calls, and nothing left behind."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.kit.call import Call
from tests.kit.running import RunningRecorder, alive, descendants

pytestmark = pytest.mark.integration

USER: Final = "nobody"
READ_EVERYTHING: Final = ("", "dac_read_search", "dac_override")
"""What the user may need beyond its own rights to read a checkout below /root: first nothing, then as little as
possible. The last one lets it write everywhere as well and is the only one that common containers give away."""


def _prefix() -> list[str]:
    """Return the command that makes a process an ordinary user's, able to read this environment and no more."""
    if os.geteuid() != 0:
        return []
    for capability in READ_EVERYTHING:
        account = pwd.getpwnam(USER)
        prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        if capability:
            prefix += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
        # Through a shell: the first program that setpriv executes still has root's capabilities.
        probe = subprocess.run(
            [*prefix, "sh", "-c", f"{shlex.quote(sys.executable)} -c 'import recorder'"],
            capture_output=True,
            check=False,
        )
        if probe.returncode == 0:
            return prefix
    pytest.skip(f"the user {USER} cannot read {sys.executable} and the checkout here")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """One that runs as an ordinary user below a directory that belongs to that user."""
    prefix = _prefix()
    home = Path("/tmp") / f"recorder-of-{USER}-{os.getpid()}"
    home.mkdir(mode=0o700)
    if prefix:
        shutil.chown(home, USER)
    try:
        running = RunningRecorder(home / "state", environment={"HOME": str(home)}, prefix=prefix)
        running.log_path = tmp_path_factory.mktemp("user") / "recorder.log"
        with running:
            yield running
            assert running.stop() == 0, running.log_tail()
        running.assert_no_traceback()
    finally:
        shutil.rmtree(home)


def test_every_process_is_that_users(recorder: RunningRecorder) -> None:
    assert recorder.process
    expected = pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    for pid in (recorder.process.pid, *descendants(recorder.process.pid)):
        # Some of PostgreSQL's live for a moment only.
        with suppress(FileNotFoundError, ProcessLookupError):
            owner = Path(f"/proc/{pid}/status").read_text().partition("Uid:\t")[2].split()[:4]
            assert set(owner) == {str(expected)}, f"process {pid} runs as {owner}"


def test_a_call_is_recorded(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.8)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_nobody_else_can_read_what_it_keeps(recorder: RunningRecorder) -> None:
    """Captures, sockets and the catalog's access are closed to other users."""
    for name in ("captures", "run", "postgres"):
        mode = (recorder.state_dir / name).stat().st_mode & 0o777
        assert mode & 0o007 == 0, f"{name} has mode {mode:o}"


def test_it_ends_and_leaves_only_its_state(recorder: RunningRecorder) -> None:
    assert recorder.process
    family = [recorder.process.pid, *descendants(recorder.process.pid)]
    assert recorder.stop() == 0
    assert not [pid for pid in family if alive(pid)]
    below = {path.name for path in recorder.state_dir.parent.iterdir()}
    assert below == {"state"}
    recorder.start()
