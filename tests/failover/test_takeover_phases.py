"""The active frontend dies, or is replaced as planned, at each phase of a dialog; dialog and audio survive."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.failover.chaos.faults import REPLACED_S, Target
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually

pytestmark = pytest.mark.failover

Strike = Callable[[Target], None]


def kill(target: Target) -> None:
    os.kill(target.active(), signal.SIGKILL)


def switch_over(target: Target) -> None:
    assert "error" not in target.command("switchover")


@pytest.fixture(params=[kill, switch_over], ids=["killed", "switchover"])
def strike(request: pytest.FixtureRequest) -> Strike:
    chosen: Strike = request.param
    return chosen


@pytest.fixture
def target(recorder: RunningRecorder) -> Target:
    found = Target(recorder)
    eventually(found.whole, limit_s=REPLACED_S, what="every process at work")
    return found


def test_between_2xx_and_ack(recorder: RunningRecorder, target: Target, tmp_path: Path, strike: Strike) -> None:
    """Pitfall 10: the 2xx is repeated by another process, byte for byte, until the ACK."""
    with Call(recorder) as call:
        call.client.send(invite := call.dialog.request("INVITE", call.offer()))
        answer = call.client.final("INVITE")
        call.dialog.learn(answer)
        call.aim(answer)
        call.media.start()
        strike(target)
        assert call.dialog.insist(invite, "INVITE", limit_s=REPLACED_S).raw == answer.raw
        call.client.send(call.dialog.request("ACK"))
        call.media.talk(0.5)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_during_the_clients_reinvite(recorder: RunningRecorder, target: Target, strike: Strike) -> None:
    """Pitfall 13: sent, and whoever answers answers for good: a second time the same."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        call.client.send(request := call.dialog.request("INVITE", call.offer(direction="inactive")))
        strike(target)
        first = call.dialog.insist(request, "INVITE", limit_s=REPLACED_S)
        assert first.status == 200
        assert call.dialog.insist(request, "INVITE", limit_s=REPLACED_S).raw == first.raw
        call.client.send(call.dialog.request("ACK"))
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
        assert entry["state"] == "complete"
        assert {gap["kind"] for gap in entry["gaps"]} <= {"paused", "silent"}, entry["gaps"]


def test_at_bye(recorder: RunningRecorder, target: Target, tmp_path: Path, strike: Strike) -> None:
    """Pitfall 11: the BYE is answered once and for all, and the recording is complete."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.5)
        call.media.stop()
        call.client.send(request := call.dialog.request("BYE"))
        strike(target)
        assert call.dialog.insist(request, "BYE", limit_s=REPLACED_S).status == 200
        call.assert_recorded(tmp_path)


def test_while_paused(recorder: RunningRecorder, target: Target, strike: Strike) -> None:
    """Pitfall 24: nothing of the pause is recorded although the client sends on; the end of the pause is heard."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        assert call.reinvite(direction="inactive").status == 200
        since = call.media.count + 1
        strike(target)
        call.media.talk(0.5)
        until = call.media.count - 1
        answer = call.dialog.insist(call.dialog.request("INVITE", call.offer()), "INVITE", limit_s=REPLACED_S)
        assert answer.status == 200
        call.client.send(call.dialog.request("ACK"))
        resumed = call.media.count + 1
        call.media.talk(0.5)
        call.hang_up()
        audio = call.recorder.export(call.finished()["id"], recorder.state_dir / "paused.wav").read_bytes()
        captures = b"".join(path.read_bytes() for path in (recorder.state_dir / "captures").rglob("*.tcap"))
        for sent in call.sent:
            assert not [frame for frame in sent[since:until] if frame and (frame in audio or frame in captures)]
            assert not [frame for frame in sent[resumed:] if frame and frame not in captures]
