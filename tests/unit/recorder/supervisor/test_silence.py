"""Which frontend is taken for frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from recorder.supervisor import choice
from recorder.supervisor.child import Child
from recorder.supervisor.choice import ActiveChoice
from recorder.supervisor.starvation import Watched
from tests.kit.running import alive

SILENT_S = 0.4


@pytest.fixture
def active(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """An active frontend that reports when the test says so."""
    monkeypatch.setattr(choice, "_SILENT_S", SILENT_S)
    child = Child("frontend", "frontend-a", on_exit=lambda *_: None, on_message=lambda *_: None)
    with subprocess.Popen(["sleep", "600"]) as process:
        child.pid = process.pid
        child.state = "active"
        yield child
        process.kill()


def watching(active: Child) -> asyncio.Future[None]:
    chosen = ActiveChoice(lambda: [active], lambda: False)
    chosen.named = active
    active.heard = Watched(0)
    return asyncio.ensure_future(chosen.replace_silent())


async def test_a_frontend_that_is_silent_is_killed(active: Child) -> None:
    watch = watching(active)
    assert active.pid
    ended = await asyncio.to_thread(os.waitid, os.P_PID, active.pid, os.WEXITED | os.WNOWAIT)
    assert ended
    assert ended.si_status == signal.SIGKILL
    watch.cancel()


async def test_a_machine_that_stood_still_is_no_fault_of_the_frontend(active: Child) -> None:
    watch = watching(active)
    await asyncio.sleep(0)
    assert active.pid
    for _ in range(2):
        # Nobody runs meanwhile; the report is the first thing after it.
        time.sleep(3 * SILENT_S)  # noqa: ASYNC251
        await asyncio.sleep(0.001)
        active.heard = Watched(0)
        await asyncio.sleep(0)
        assert alive(active.pid)
    watch.cancel()
