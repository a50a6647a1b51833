"""Media moves of a running recorder: who has a call, how it is made to move, and that it has moved."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.failover.chaos.faults import REPLACED_S, Target
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually


def writer_of(recorder: RunningRecorder, call: Call) -> str:
    """Name of the writer that has the call, from what the recorder logged about it."""

    def lines() -> list[str]:
        return [line for line in recorder.log().splitlines() if call.dialog.call_id in line and " recording " in line]

    eventually(lambda: bool(lines()), limit_s=REPLACED_S, what="the call in the log", detail=recorder.log_tail)
    line = lines()[-1]
    return line.partition("writer=")[2].split()[0]


@contextmanager
def draining(target: Target, writer: str) -> Iterator[None]:
    """Drain a writer, and use it again afterwards."""
    assert "error" not in target.command("drain-writer", writer=writer, draining=True)
    try:
        yield
    finally:
        target.command("drain-writer", writer=writer, draining=False)


def moved(recorder: RunningRecorder, call: Call) -> None:
    def probe() -> bool:
        lines = recorder.log().splitlines()
        return any("media moved" in line and call.identifier in line and "not moved" not in line for line in lines)

    eventually(probe, limit_s=REPLACED_S, what="the move", detail=recorder.log_tail)


def whole(target: Target) -> None:
    eventually(target.whole, limit_s=REPLACED_S, what="every process at work")


def kill_active(target: Target) -> None:
    before = target.active()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: target.active() != before, limit_s=REPLACED_S, what="another active frontend")
