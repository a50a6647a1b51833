"""A process that gives way really leaves the core to others, whatever sessions they have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from storage.priority import give_way

SPIN = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
sys.stdin.readline()
end = time.process_time() + float(sys.argv[2])
while time.process_time() < end:
    pass
"""
SECONDS = 0.5
"""Of CPU time, so that it does not matter how busy the core is with others."""


def spinning(seconds: float) -> subprocess.Popen[str]:
    """Start a process with a session of its own, as the supervisor does. It wants a core once its input ends."""
    core = str(min(os.sched_getaffinity(0)))
    return subprocess.Popen(
        [sys.executable, "-c", SPIN, core, str(seconds)], stdin=subprocess.PIPE, text=True, start_new_session=True
    )


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()


def used(process: subprocess.Popen[str]) -> float:
    """Return the CPU seconds that a process has used."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def test_a_process_that_gives_way_leaves_the_core_to_another_session() -> None:
    behind, ahead = spinning(60 * SECONDS), spinning(SECONDS)
    try:
        assert give_way(behind.pid, 19)
        before = used(behind)
        begin(behind)
        begin(ahead)
        ahead.wait(timeout=120)
        # Its start is among it. Equals would have had as much as the other one.
        assert used(behind) - before < SECONDS / 2
    finally:
        for process in (behind, ahead):
            process.kill()
            process.communicate()


def test_a_process_that_has_gone_is_no_error() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert give_way(gone.pid, 19)


def test_the_session_of_another_process_keeps_its_priority() -> None:
    """A process of somebody's terminal does not take the terminal down with it."""
    session = Path("/proc/self/autogroup")
    before = session.read_text() if session.exists() else ""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert give_way(child.pid, 19)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
        assert not before or session.read_text() == before
    finally:
        child.communicate(b"\n", timeout=60)
