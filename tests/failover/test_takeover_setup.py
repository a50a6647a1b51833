"""Writer or frontend die between an INVITE and the 200 that promises the recording."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failover.chaos.faults import REPLACED_S, Target
from tests.failover.chaos.moves import whole
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually

pytestmark = pytest.mark.failover


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder whose 200 is late: on a machine with time to spare the replacement is there before it."""
    running = RunningRecorder(
        tmp_path_factory.mktemp("recorder") / "state", environment={"RECORDER_SIP_ANSWER_DELAY_MS": "1000"}
    )
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_its_replacement_takes_what_the_200_promises(recorder: RunningRecorder, tmp_path: Path) -> None:
    target = Target(recorder)
    whole(target)
    captures = recorder.state_dir / "captures"
    with Call(recorder) as call:
        call.client.send(call.dialog.request("INVITE", call.offer()))
        eventually(lambda: any(captures.rglob("*.tcap")), limit_s=REPLACED_S, what="the capture")
        for pid in target.pids("writer"):
            os.kill(pid, signal.SIGKILL)
        answer = call.client.final("INVITE")
        assert answer.status == 200
        call.dialog.learn(answer)
        call.aim(answer)
        call.client.send(call.dialog.request("ACK"))
        call.media.start()
        whole(target)
        call.media.talk(0.5)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_an_invite_that_has_had_its_100_is_answered_by_the_next_frontend(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """The client does not repeat it (RFC 3261 section 17.1.1.2): whoever is next has to know of it."""
    target = Target(recorder)
    whole(target)
    captures = set((recorder.state_dir / "captures").rglob("*.tcap"))
    with Call(recorder) as call:
        call.client.send(call.dialog.request("INVITE", call.offer()))
        assert call.client.receive().status == 100
        eventually(
            lambda: set((recorder.state_dir / "captures").rglob("*.tcap")) - captures,
            limit_s=REPLACED_S,
            what="the capture",
        )
        os.kill(target.active(), signal.SIGKILL)
        answer = call.client.final("INVITE", limit_s=REPLACED_S)
        assert answer.status == 200
        call.dialog.learn(answer)
        call.aim(answer)
        call.client.send(call.dialog.request("ACK"))
        call.media.start()
        call.media.talk(0.5)
        call.hang_up()
        call.assert_recorded(tmp_path)
