"""A process that waits for a core is told from one that stands still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from recorder.supervisor import starvation
from recorder.supervisor.starvation import Doubt, Watched, ran_s, waited_s
from tests.kit.running import eventually

SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
SECONDS = 1.0


@contextmanager
def spinning(count: int) -> Iterator[list[int]]:
    """Have so many processes, equals, want the same core for ever."""
    core = str(min(os.sched_getaffinity(0)))
    processes = [subprocess.Popen([sys.executable, "-c", SPIN, core]) for _ in range(count)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_what_a_process_waits_for_a_core_is_not_its_silence() -> None:
    with spinning(4) as processes:
        eventually(lambda: min(map(waited_s, processes)) > 0.2, limit_s=60, what="all of them to want the core")
        began = time.monotonic()
        watched = [Watched(process) for process in processes]
        time.sleep(SECONDS)
        # A quarter of it each, less where others want the core as well.
        assert min(one.seconds for one in watched) < (time.monotonic() - began) / 2


def test_the_silence_of_a_process_that_stands_still_is_all_its_own() -> None:
    with spinning(1) as (process,):
        os.kill(process, signal.SIGSTOP)
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
        began = time.monotonic()
        watched = Watched(process)
        time.sleep(SECONDS / 4)
        passed = time.monotonic() - began
        assert watched.seconds >= passed * 0.9


def test_a_process_that_is_gone_has_waited_for_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert waited_s(gone.pid) == 0.0


def test_one_word_about_a_writer_is_not_enough() -> None:
    doubt = Doubt(0.05)
    assert not doubt.confirmed(0)
    time.sleep(0.06)
    assert doubt.confirmed(0)


def test_a_doubt_that_is_not_repeated_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starvation, "_FORGOTTEN_S", 0.05)
    doubt = Doubt(0.02)
    assert not doubt.confirmed(0)
    time.sleep(0.1)
    assert not doubt.confirmed(0)


def test_what_a_process_has_run_grows_while_it_runs_and_only_then() -> None:
    with spinning(1) as (process,):
        eventually(lambda: ran_s(process) > 0.1, limit_s=60, what="a tenth of a second of its own")
        os.kill(process, signal.SIGSTOP)
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
        ran = ran_s(process)
        time.sleep(0.1)
        assert ran_s(process) == ran
    assert ran_s(process) == 0
