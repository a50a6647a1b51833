"""A frontend or a writer dies while media move to another writer; the client answers our re-INVITE as it likes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import pytest

from recorder.state_dir import StateDir
from tests.failover.chaos.faults import REPLACED_S, Target
from tests.failover.chaos.literal import acknowledged, number_of, offered, reply
from tests.failover.chaos.moves import draining, kill_active, moved, whole, writer_of
from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import Message

pytestmark = pytest.mark.failover

_KEPT: Final = "discarded capture holds media"


def assert_all_recorded(call: Call, directory: Path) -> None:
    entry = call.finished()
    assert entry["state"] == "complete", entry
    wav = call.exported(directory)
    for sent, channel in zip(call.sent, wav.channels, strict=True):
        heard = hear(channel, sent, silence=SILENCE[MU_LAW])
        assert (heard.missing, heard.stray) == ([], 0), entry["gaps"]


@pytest.fixture
def target(recorder: RunningRecorder) -> Target:
    found = Target(recorder)
    whole(found)
    return found


def another(call: Call, first: Message) -> Message:
    """Return the re-INVITE that follows the first one, which may have been repeated before it had its answer."""
    while number_of(again := offered(call, limit_s=REPLACED_S)) == number_of(first):
        pass
    assert number_of(again) > number_of(first)
    return again


def version_of(message: Message) -> int:
    """Return the version of the session description in a message."""
    return int(message.sdp.partition("o=")[2].split(" ")[2])


def test_glare_is_waited_out(recorder: RunningRecorder, target: Target, tmp_path: Path) -> None:
    """RFC 3261 section 14.1: 491, and the same offer later with a higher CSeq."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            reply(call, first, 491)
            again = another(call, first)
            reply(call, again, 200)
            moved(recorder, call)
            call.media.talk(0.5)
            call.hang_up()
        assert_all_recorded(call, tmp_path)


def test_the_answer_to_an_offer_that_overtakes_ours_has_a_version_of_its_own(
    recorder: RunningRecorder, target: Target
) -> None:
    """RFC 3264 section 8: one version has one content, also that of an offer which got 491."""
    with Call(recorder) as call:
        call.start()
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            reply(call, first, 491)
            answer = call.reinvite(direction="inactive")
            assert answer.status == 200
            again = another(call, first)
            versions = [version_of(one) for one in (first, answer, again)]
            assert versions == list(range(versions[0], versions[0] + 3))
            reply(call, again, 200)
            moved(recorder, call)
            call.hang_up()


def test_the_frontend_killed_before_the_answer_to_its_reinvite_is_followed_by_one_that_takes_it(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """Pitfall 12, answer under way: the 2xx that nobody acknowledged is repeated, and concludes the move."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            kill_active(target)
            reply(call, first, 200)
            assert acknowledged(call, first, limit_s=REPLACED_S)
            moved(recorder, call)
            call.media.talk(0.5)
            call.hang_up()
        assert_all_recorded(call, tmp_path)


def test_the_frontend_killed_while_its_reinvite_is_unanswered_is_followed_by_one_that_offers_again(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """Pitfall 12 (RFC 6141 section 5.5): a new re-INVITE with a higher CSeq and the same description."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            kill_active(target)
            again = another(call, first)
            assert again.body == first.body
            reply(call, again, 200)
            assert acknowledged(call, again)
            moved(recorder, call)
            call.media.talk(0.5)
            call.hang_up()
        assert_all_recorded(call, tmp_path)


def test_the_new_writer_killed_before_the_answer_costs_nothing(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """Two faults: the ports that were offered are adopted by its replacement, the client's media find somebody."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        leaving = writer_of(recorder, call)
        with draining(target, leaving):
            first = offered(call)
            (victim,) = [one["pid"] for one in target.processes() if one["role"] == "writer" and one["name"] != leaving]
            os.kill(victim, signal.SIGKILL)
            reply(call, first, 200)
            call.media.talk(1.0)
            moved(recorder, call)
            whole(target)
            call.media.talk(0.5)
            call.hang_up()
        assert_all_recorded(call, tmp_path)


def test_a_move_of_a_paused_session_records_nothing_of_the_pause(recorder: RunningRecorder, target: Target) -> None:
    """Pitfall 24, twice: the pause comes while our offer waits, and the frontend dies before it is answered."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            reply(call, first, 491)
            assert call.reinvite(direction="inactive").status == 200
            # It sends on: what leaks belongs to nobody.
            paused_from = call.media.count + 1
            kill_active(target)
            again = another(call, first)
            assert "a=inactive" in again.sdp
            assert "a=recvonly" not in again.sdp
            reply(call, again, 200)
            call.media.talk(1.0)
            paused_until = call.media.count - 1
            whole(target)
            call.hang_up()
        secret = [frame for sent in call.sent for frame in sent[paused_from:paused_until] if frame]
        files = [path for path in StateDir(recorder.state_dir).captures.rglob("*.tcap")]
        mine = [data for data in (path.read_bytes() for path in files) if call.dialog.call_id.encode() in data]
        assert mine
        assert not [frame for frame in secret if any(frame in data for data in mine)]


@pytest.mark.parametrize("answer", [None, 480], ids=["bye", "refused"])
def test_media_that_came_to_the_new_writer_are_of_the_recording_when_the_move_is_given_up(
    recorder: RunningRecorder, target: Target, tmp_path: Path, answer: int | None
) -> None:
    """The client sends where our offer says, and its 200 is never heard: what it sent there exists nowhere else."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        targets = [stream.target for stream in call.media.streams]
        kept = recorder.log().count(_KEPT)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            call.aim(first)
            call.media.talk(0.5)
            if answer:
                for stream, target_before in zip(call.media.streams, targets, strict=True):
                    stream.target = target_before
                call.media.talk(0.2)
                reply(call, first, answer)
                eventually(
                    lambda: recorder.log().count(_KEPT) > kept,
                    limit_s=REPLACED_S,
                    what="the end of the move",
                    detail=recorder.log_tail,
                )
                call.media.talk(0.2)
            call.hang_up()
        assert_all_recorded(call, tmp_path)


def test_a_client_that_refuses_goes_on_being_recorded_where_it_was(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """The last test of this module: that a client refuses is remembered by its address."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            reply(call, offered(call), 488)
            call.media.talk(0.5)
            call.hang_up()
        assert_all_recorded(call, tmp_path)
