"""One call, one recording: real duplicate sessions become one healed master; different calls never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.copies import call_uuid, copy_of_call, decided, master_of, pair_of
from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import frames_of
from tests.kit.running import RunningRecorder, eventually
from tests.kit.wav import read_g711

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    running = RunningRecorder(
        tmp_path_factory.mktemp("copies") / "state", environment={"RECORDER_CURATOR_PROCESSES": "2"}
    )
    with running:
        yield running
    running.assert_no_traceback()


def test_two_copies_with_different_losses_become_one_whole_master(recorder: RunningRecorder, tmp_path: Path) -> None:
    uuid = call_uuid()
    audio = [frames_of(f"{uuid}/{party}", 1000) for party in range(2)]
    with copy_of_call(recorder, uuid, 1, audio) as one, copy_of_call(recorder, uuid, 2, audio) as other:
        one.media.streams[0].lose = frozenset(range(50, 80))
        other.media.streams[0].lose = frozenset(range(100, 120))
        other.media.streams[1].lose = frozenset({7, 60, 61, 62})
        for call in (one, other):
            call.place()
        pair = eventually(
            lambda: pair_of(recorder, one.identifier, other.identifier), limit_s=10, what="a candidate while recorded"
        )
        assert pair["state"] == "candidate"
        assert pair["key"] == "call"
        for call in (one, other):
            call.media.start()
        for call in (one, other):
            call.media.talk(4.0)
        for call in (one, other):
            call.hang_up()
        pair = decided(recorder, one.identifier, other.identifier)
        assert pair["state"] == "confirmed", pair
        master = master_of(recorder, one.identifier, other.identifier)
        assert master["role"] == "master"
        assert master["gaps"] == []
        whole = max(one.sent[0], other.sent[0], key=len)
        sent = [audio[party][: len(whole)] for party in range(2)]
        assert_bit_exact(read_g711(recorder.export(master["id"], tmp_path / "master.wav")), *sent)
        listed = recorder.recordings("--call-uuid", uuid)
        assert [entry["id"] for entry in listed] == [master["id"]]
        everything = recorder.recordings("--call-uuid", uuid, "--copies")
        assert {entry["role"] for entry in everything} == {"copy", "master"}


@pytest.mark.parametrize("door", ["msr", "siprec"])
def test_the_simulator_sends_calls_twice_and_finds_them_whole(recorder: RunningRecorder, door: str) -> None:
    done = recorder.simulate(
        "--door", door, "--calls", "2", "--seconds", "8", "--duplicate", "--copy-loss", "2s", "--loss", "2",
        "--seed", "7", "--verify",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr + recorder.log_tail()
    assert "2 of 2 pairs of copies healed to what was sent" in done.stdout
