"""A process dies while PostgreSQL is away: the next one goes on with what the frontends know."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.failover.chaos.faults import REPLACED_S, Target
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually

pytestmark = pytest.mark.failover

ANSWERED_S = 32.0
"""So long a client repeats its request."""


@pytest.fixture
def target(recorder: RunningRecorder) -> Target:
    found = Target(recorder)
    eventually(found.whole, limit_s=REPLACED_S, what="every process at work")
    return found


def kill_active(target: Target) -> None:
    before = target.active()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: target.active() != before, limit_s=ANSWERED_S, what="another active frontend")


def followed(target: Target) -> bool:
    """Whether there is somebody who knows of every dialog but the active frontend."""
    return any(one["state"] == "active" and one.get("standbys") for one in target.processes())


def test_calls_from_before_and_from_during_the_outage_go_on_in_the_next_frontend(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    with Call(recorder) as before, Call(recorder) as during, Call(recorder) as after:
        before.start()
        before.media.talk(0.5)
        with target.postgres_away():
            during.start()
            during.media.talk(0.5)
            kill_active(target)
            assert before.reinvite().status == 200
            after.start()
            before.media.talk(0.5)
            after.media.talk(0.5)
            before.hang_up()
        during.hang_up()
        after.hang_up()
        eventually(target.whole, limit_s=REPLACED_S, what="a catalog that is complete again", detail=recorder.log_tail)
        for call in (before, during, after):
            call.assert_recorded(tmp_path)


def test_the_last_answer_is_repeated_by_the_next_frontend(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.5)
        with target.postgres_away():
            call.media.stop()
            goodbye = call.dialog.request("BYE")
            call.client.send(goodbye)
            first = call.client.final("BYE", cseq=call.dialog.cseq, limit_s=ANSWERED_S)
            kill_active(target)
            call.client.send(goodbye)
            again = call.client.final("BYE", cseq=call.dialog.cseq, limit_s=ANSWERED_S)
            assert (first.status, again.text) == (200, first.text)
        eventually(target.whole, limit_s=REPLACED_S, what="a catalog that is complete again", detail=recorder.log_tail)
        call.assert_recorded(tmp_path)


def test_a_reinvite_that_has_had_its_100_is_answered_by_the_next_frontend(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """The client does not repeat it (RFC 3261 section 17.1.1.2)."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with target.postgres_away():
            # Its checkpoint waits for PostgreSQL, which gives time to die.
            call.client.send(call.dialog.request("INVITE", call.offer()))
            while (answer := call.client.fresh()).one("CSeq") != f"{call.dialog.cseq} INVITE":
                pass
            assert answer.status == 100
            os.kill(target.active(), signal.SIGKILL)
            assert call.client.final("INVITE", cseq=call.dialog.cseq, limit_s=ANSWERED_S).status == 200
            call.client.send(call.dialog.request("ACK"))
            call.media.talk(0.3)
        call.hang_up()
        eventually(target.whole, limit_s=REPLACED_S, what="a catalog that is complete again", detail=recorder.log_tail)
        call.assert_recorded(tmp_path)


def test_two_frontends_in_a_row(recorder: RunningRecorder, target: Target, tmp_path: Path) -> None:
    """The one that follows the first is followed itself."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with target.postgres_away():
            for _ in range(2):
                kill_active(target)
                eventually(lambda: followed(target), limit_s=REPLACED_S, what="a standby that follows")
            assert call.reinvite().status == 200
        call.hang_up()
        eventually(target.whole, limit_s=REPLACED_S, what="a catalog that is complete again", detail=recorder.log_tail)
        call.assert_recorded(tmp_path)


def test_a_writer_that_dies_over_a_pause_that_is_not_durable_yet_leaves_a_pause(
    recorder: RunningRecorder, target: Target
) -> None:
    """Its replacement is not to record what the dead one was told to leave out; the client sends all the same."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with target.postgres_away():
            # Its checkpoint waits for PostgreSQL, which gives time to die.
            call.client.send(call.dialog.request("INVITE", call.offer(direction="inactive")))
            eventually(lambda: b"reinvite" in captured(recorder), limit_s=ANSWERED_S, what="a pause in force")
            since = call.media.count + 1
            for writer in target.pids("writer"):
                os.kill(writer, signal.SIGKILL)
            assert call.client.final("INVITE", cseq=call.dialog.cseq, limit_s=ANSWERED_S).status == 200
            call.client.send(call.dialog.request("ACK"))
            call.media.talk(0.3)
        until = call.media.count - 1
        assert call.reinvite().status == 200
        call.media.talk(0.3)
        call.hang_up()
        entry = call.finished()
        assert {gap["cause"] for gap in entry["gaps"]} == {"paused"}, entry["gaps"]
        secret = [frame for sent in call.sent for frame in sent[since:until] if frame]
        captures = captured(recorder)
        assert not [frame for frame in secret if frame in captures]


def captured(recorder: RunningRecorder) -> bytes:
    """Return what all captures hold."""
    return b"".join(path.read_bytes() for path in (recorder.state_dir / "captures").rglob("*.tcap"))
