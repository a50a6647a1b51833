"""The fork server killed and frozen in mid call: nothing is lost, and replacements go on being started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failover.test_recorder_processes import REPLACED_S, kill, lost_frames, replaced
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, alive, descendants, eventually

pytestmark = pytest.mark.failover


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder whose parent ignores the ends of its children, and leaves that to it."""
    running = RunningRecorder(tmp_path_factory.mktemp("forks") / "state", prefix=("env", "--ignore-signal=CHLD"))
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def fork_server(recorder: RunningRecorder) -> int:
    """Wait until there is one that runs."""

    def found() -> int | None:
        assert recorder.process
        for pid in descendants(recorder.process.pid):
            if alive(pid) and b"recorder.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    return eventually(found, limit_s=REPLACED_S, what="a fork server", detail=recorder.log_tail)


def test_processes_say_what_they_are_and_are_children_of_the_supervisor(recorder: RunningRecorder) -> None:
    assert recorder.process
    children = set(Path(f"/proc/{recorder.process.pid}/task/{recorder.process.pid}/children").read_text().split())
    for process in recorder.status()["processes"][1:]:
        told = Path(f"/proc/{process['pid']}/cmdline").read_bytes().rstrip(b"\0 ").decode()
        assert told == f"recorder: {process['role']} {process['name']}"
        assert str(process["pid"]) in children
    assert len(os.listdir(f"/proc/{fork_server(recorder)}/task")) == 1


def test_the_fork_server_killed_in_mid_call_costs_nothing_and_another_one_starts_replacements(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.5)
        dead = fork_server(recorder)
        os.kill(dead, signal.SIGKILL)
        eventually(lambda: not alive(dead) and fork_server(recorder), limit_s=REPLACED_S, what="another fork server")
        call.media.talk(0.5)
        assert not any(one["restarts"] for one in recorder.status()["processes"])
        replaced(recorder, kill(recorder, "writer") | kill(recorder, "frontend"))
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
        assert entry["state"] == "complete"
        assert max(map(len, lost_frames(call, tmp_path))) <= 1, entry["gaps"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_fork_server_lost_together_with_all_writers_costs_no_more_than_the_writers(
    recorder: RunningRecorder, tmp_path: Path, number: signal.Signals
) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.5)
        lost = fork_server(recorder)
        os.kill(lost, number)
        replaced(recorder, kill(recorder, "writer"))
        assert fork_server(recorder) != lost
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
        assert entry["state"] == "complete"
        assert max(map(len, lost_frames(call, tmp_path))) <= 1, entry["gaps"]
