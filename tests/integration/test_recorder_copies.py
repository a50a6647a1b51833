"""One call, one recording: real duplicate sessions become one healed master; different calls never do."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress, expand
from tests.kit.call import Call
from tests.kit.copies import call_uuid, copy_of_call, decided, looked_at, master_of, pair_of
from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import FRAME_S, frames_of, frames_of_audio
from tests.kit.running import FINISHED_LIMIT_S, RunningRecorder, eventually
from tests.kit.wav import read_g711
from tests.unit.media.healing.copies import Codes, music, silence, talk

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    running = RunningRecorder(
        tmp_path_factory.mktemp("copies") / "state",
        environment={"RECORDER_CURATOR_PROCESSES": "2", "RECORDER_MEDIA_MAX_STREAMS": "100"},
    )
    with running:
        yield running
    running.assert_no_traceback()


def test_two_copies_with_different_losses_become_one_whole_master(recorder: RunningRecorder, tmp_path: Path) -> None:
    uuid = call_uuid()
    audio = [frames_of(f"{uuid}/{party}", 2000) for party in range(2)]
    with copy_of_call(recorder, uuid, 1, audio) as one, copy_of_call(recorder, uuid, 2, audio) as other:
        one.media.streams[0].lose = frozenset(range(50, 80))
        other.media.streams[0].lose = frozenset(range(100, 120))
        other.media.streams[1].lose = frozenset({7, 60, 61, 62})
        for call in (one, other):
            call.place()
        pair = eventually(
            lambda: pair_of(recorder, one.identifier, other.identifier),
            limit_s=FINISHED_LIMIT_S,
            what="a candidate while recorded",
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


def spoken(*parties: Codes) -> list[list[bytes]]:
    """Audio of parties as frames."""
    return [frames_of_audio(party.tobytes()) for party in parties]


def noise(uuid: str, parties: int = 2) -> list[list[bytes]]:
    return [frames_of(f"{uuid}/{party}", 2000) for party in range(parties)]


def hold(calls: Sequence[Call], seconds: float) -> None:
    """Place calls, let all of them talk for so long, and end them."""
    for call in calls:
        call.place()
    for call in calls:
        call.media.start()
    for call in calls:
        call.media.talk(seconds)
    for call in calls:
        call.hang_up()
    for call in calls:
        call.finished()


def test_swapped_parties_other_starts_and_other_laws_are_copies(recorder: RunningRecorder, tmp_path: Path) -> None:
    exact, mixed = call_uuid(), call_uuid()
    audio = noise(exact)
    late = [party[50:] for party in reversed(audio)]
    mu_law = spoken(talk(0, 12), talk(1, 12))
    a_law = [[_to_a_law(frame) for frame in party] for party in mu_law]
    with ExitStack() as stack:
        first = stack.enter_context(copy_of_call(recorder, exact, 1, audio))
        swapped = stack.enter_context(copy_of_call(recorder, exact, 2, late, dn="5550111", other_dn="5550100"))
        one = stack.enter_context(copy_of_call(recorder, mixed, 1, mu_law))
        other = stack.enter_context(copy_of_call(recorder, mixed, 2, a_law, payload_type=8))
        for call in (first, swapped, one, other):
            call.place()
        first.media.streams[1].lose = frozenset(range(80, 110))
        for call in (first, one, other):
            call.media.start()
        first.media.talk(1.0)
        swapped.media.start()
        one.media.talk(9.0)
        for call in (first, swapped, one, other):
            call.hang_up()
        pair = decided(recorder, first.identifier, swapped.identifier)
        assert pair["state"] == "confirmed", pair
        assert "parties in the other order" in pair["reason"]
        pair = decided(recorder, one.identifier, other.identifier)
        assert pair["state"] == "confirmed", pair
        assert "alike" in pair["reason"]
        master = master_of(recorder, first.identifier, swapped.identifier)
        assert master["gaps"] == []
        length = max(len(first.sent[0]), 50 + len(swapped.sent[0]))
        sent = [party[:length] for party in audio]
        assert_bit_exact(read_g711(recorder.export(master["id"], tmp_path / "exact.wav")), *sent)
        alike = master_of(recorder, one.identifier, other.identifier)
        assert alike["files"][0]["format"] == "wav-pcm16"
        assert alike["gaps"] == []
        assert abs(alike["duration_s"] - max(len(one.sent[0]), len(other.sent[0])) * FRAME_S) < 0.5


def test_a_copy_with_a_failover_inside_is_healed_and_healed_again(recorder: RunningRecorder, tmp_path: Path) -> None:
    uuid = call_uuid()
    audio = noise(uuid)
    with copy_of_call(recorder, uuid, 1, audio) as whole, copy_of_call(recorder, uuid, 2, audio) as broken:
        whole.media.streams[0].lose = frozenset(range(20, 40))
        for call in (whole, broken):
            call.place()
        for call in (whole, broken):
            call.media.start()
        broken.media.talk(1.5)
        broken.hang_up()
        with copy_of_call(recorder, uuid, 2, audio) as resumed:
            resumed.place()
            resumed_at = whole.media.count + 10
            for stream, party in zip(resumed.media.streams, audio, strict=True):
                stream.frames = party[resumed_at:]
            whole.media.wait_for(resumed_at)
            resumed.media.start()
            whole.media.talk(2.5)
            for call in (whole, resumed):
                call.hang_up()
        master = master_of(recorder, whole.identifier, broken.identifier)
        assert master["gaps"] == []
        sent = [party[: max(len(whole.sent[0]), resumed_at + len(resumed.sent[0]))] for party in audio]
        assert_bit_exact(read_g711(recorder.export(master["id"], tmp_path / "once.wav")), *sent)
        # A further copy joins late, by what goes on of it: the master is made again under its id.
        length = master["duration_s"]
        with copy_of_call(recorder, uuid, 1, [party[len(sent[0]) :] for party in audio]) as more:
            more.start()
            more.media.talk(1.0)
            more.hang_up()

            def longer() -> bool:
                shown = recorder.admin("recordings", "show", master["id"])
                return bool(shown["duration_s"] > length + 0.9)

            eventually(longer, limit_s=FINISHED_LIMIT_S, what="the master healed again", detail=recorder.log_tail)


def test_different_calls_are_never_merged(recorder: RunningRecorder) -> None:
    """Whatever they have in common: keys, an agent, an announcement, music, silence."""
    same_agent, named, quiet, apart, transferred = (call_uuid() for _ in range(5))
    conn_id = secrets.token_hex(8)
    announcement, tune = talk(1, 8, at=20), music(8)
    hush = silence(8)
    with ExitStack() as stack:

        def add(uuid: str, number: int, audio: list[list[bytes]], **options: Any) -> Call:
            return stack.enter_context(copy_of_call(recorder, uuid, number, audio, **options))

        never = {
            "the agent is the same, the customer is not": (
                add(same_agent, 1, spoken(talk(0, 8), talk(1, 8))),
                add(same_agent, 2, spoken(talk(0, 8), talk(1, 8, at=30))),
            ),
            "two calls under one name": (
                add(named, 1, spoken(talk(0, 8), talk(1, 8))),
                add(named, 2, spoken(talk(0, 8, at=30), talk(1, 8, at=30))),
            ),
            "both silent": (add(quiet, 1, spoken(hush, hush)), add(quiet, 2, spoken(hush, hush))),
            "the same announcement in two calls of one agent": (
                add(call_uuid(), 1, spoken(hush, announcement), conn_id=conn_id),
                add(call_uuid(), 2, spoken(hush, announcement), conn_id=conn_id),
            ),
            "the same music in both": (add(apart, 1, spoken(tune, hush)), add(apart, 2, spoken(tune, hush))),
            "transferred: another party is recorded": (
                add(transferred, 1, spoken(talk(0, 8), talk(1, 8))),
                add(transferred, 2, spoken(talk(0, 8), talk(1, 8)), record_dn="5550177", dn="5550177"),
            ),
        }
        hold([call for pair in never.values() for call in pair], 6.0)
        verdicts = {what: _settled(recorder, *pair) for what, pair in never.items()}
        assert verdicts == {
            "the agent is the same, the customer is not": "rejected",
            "two calls under one name": "rejected",
            "both silent": "undecided",
            "the same announcement in two calls of one agent": "undecided",
            "the same music in both": "undecided",
            "transferred: another party is recorded": "never paired",
        }
        for call in (call for pair in never.values() for call in pair):
            entry = call.finished()
            assert (entry["role"], entry["master_id"]) == ("recording", None)


def test_one_after_the_other_and_party_by_party_are_no_copies(recorder: RunningRecorder) -> None:
    sequential, by_party = call_uuid(), call_uuid()
    audio = noise(sequential)
    with ExitStack() as stack:
        left = stack.enter_context(copy_of_call(recorder, by_party, 1, [audio[0]], dn="5550100", other_dn=""))
        right = stack.enter_context(copy_of_call(recorder, by_party, 2, [audio[1]], dn="5550111", other_dn=""))
        before = stack.enter_context(copy_of_call(recorder, sequential, 1, audio))
        after = stack.enter_context(copy_of_call(recorder, sequential, 2, audio))
        hold([left, right, before], 2.5)
        hold([after], 2.5)
        assert _settled(recorder, left, right) == "never paired"
        assert _settled(recorder, before, after) == "never paired"
        explained = recorder.command("copies", "explain", left.identifier, right.identifier)
        assert "they are of other parties" in explained.stdout
        explained = recorder.command("copies", "explain", before.identifier, after.identifier)
        assert "one had ended before the other began" in explained.stdout


def test_an_operators_word_stays(recorder: RunningRecorder) -> None:
    uuid = call_uuid()
    audio = noise(uuid)
    with copy_of_call(recorder, uuid, 1, audio) as one, copy_of_call(recorder, uuid, 2, audio) as other:
        hold([one, other], 3.0)
        master = master_of(recorder, one.identifier, other.identifier)
        explained = recorder.command("copies", "explain", one.identifier, other.identifier).stdout
        assert "copies of one call" in explained
        assert "equal sample by sample" in explained

        rehearsed = recorder.admin("copies", "split", one.identifier, "--reason", "two calls", "--dry-run")
        assert rehearsed["done"] is False
        assert pair_of(recorder, one.identifier, other.identifier)["state"] == "confirmed"  # type: ignore[index]
        recorder.admin("copies", "split", one.identifier, "--reason", "two calls, ticket 4711")
        eventually(lambda: _roles(recorder, uuid) == {"recording"}, limit_s=60, what="both are recordings again")
        assert recorder.admin("recordings", "show", master["id"])["role"] == "withdrawn"
        pair = pair_of(recorder, one.identifier, other.identifier)
        assert pair
        assert (pair["state"], pair["decided_by"], pair["reason"]) == ("rejected", "operator", "two calls, ticket 4711")

        refused = recorder.command("copies", "merge", one.identifier, other.identifier, "--reason", "one call")
        assert refused.returncode == 7
        assert "an operator separated them" in refused.stderr
        recorder.admin("copies", "merge", one.identifier, other.identifier, "--reason", "one call", "--force")
        again = master_of(recorder, one.identifier, other.identifier)
        assert again["id"] == master["id"]
        entries = recorder.admin("audit", "list", "--limit", "20")
        actions = [entry["action"] for entry in (entries if isinstance(entries, list) else entries["entries"])]
        assert {"copies-split", "copies-merge"} <= set(actions)
        named = recorder.command("copies", "split", again["id"], "--reason", "x")
        assert named.returncode == 2
        assert "name its copies" in named.stderr


def test_curators_killed_while_they_pair_and_heal_leave_one_master(recorder: RunningRecorder, tmp_path: Path) -> None:
    uuids = [call_uuid() for _ in range(3)]
    audio = {uuid: noise(uuid) for uuid in uuids}
    with ExitStack() as stack:
        calls = [
            [stack.enter_context(copy_of_call(recorder, uuid, number, audio[uuid])) for number in (1, 2)]
            for uuid in uuids
        ]
        for one, other in calls:
            one.media.streams[0].lose = frozenset(range(30, 60))
            other.media.streams[1].lose = frozenset(range(40, 50))
        hold([call for pair in calls for call in pair], 3.0)
        for _ in range(4):
            _kill_a_curator_at_work(recorder)
        for uuid, (one, other) in zip(uuids, calls, strict=True):
            master = master_of(recorder, one.identifier, other.identifier)
            length = max(len(one.sent[0]), len(other.sent[0]))
            sent = [party[:length] for party in audio[uuid]]
            assert_bit_exact(read_g711(recorder.export(master["id"], tmp_path / f"{uuid}.wav")), *sent)
            entries = recorder.recordings("--call-uuid", uuid, "--copies")
            assert sorted(entry["role"] for entry in entries) == ["copy", "copy", "master"]
    _nothing_orphaned(recorder)


def _kill_a_curator_at_work(recorder: RunningRecorder) -> None:
    """Kill -9 a curator, if possible while a job about copies is its own."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        jobs: list[dict[str, Any]] = recorder.admin("jobs", "list")
        if not jobs:
            break
        if any(job["state"] == "running" and job["kind"] in {"pair", "heal"} for job in jobs):
            break
    for pid in recorder.pids("curator"):
        if pid:
            os.kill(pid, signal.SIGKILL)


def _nothing_orphaned(recorder: RunningRecorder) -> None:
    """Every file is claimed by a recording, and every claim has its file."""

    root = recorder.state_dir / "recordings"
    told: list[object] = []

    def probe() -> bool:
        told[:] = recorder.admin("jobs", "list")
        if told:
            return False
        entries = recorder.recordings("--copies", "--limit", "1000")
        details = [recorder.admin("recordings", "show", entry["id"]) for entry in entries]
        claimed = {file["path"] for detail in details for file in detail["files"]}
        there = {path.relative_to(root).as_posix() for path in root.rglob("*.wav")}
        told[:] = sorted(claimed ^ there)
        return not told

    eventually(probe, limit_s=FINISHED_LIMIT_S, what="files and claims are the same", detail=lambda: str(told))


def _settled(recorder: RunningRecorder, one: Call, other: Call) -> str:
    """Return what became of a pair once nothing about it is under way."""

    def probe() -> str | None:
        # First, whether they were looked at: from then on a pair of them is there.
        if not looked_at(recorder, one.identifier, other.identifier) or recorder.admin("jobs", "list"):
            return None
        pair = pair_of(recorder, one.identifier, other.identifier)
        if pair is None:
            return "never paired"
        return None if pair["state"] == "candidate" else str(pair["state"])

    return eventually(probe, limit_s=FINISHED_LIMIT_S, what="a settled pair", detail=recorder.log_tail)


def _roles(recorder: RunningRecorder, uuid: str) -> set[str]:
    return {entry["role"] for entry in recorder.recordings("--call-uuid", uuid)}


def _to_a_law(frame: bytes) -> bytes:
    """Return mu-law octets as A-law ones, as a media gateway transcodes them."""
    return compress(expand(np.frombuffer(frame, np.uint8), Law.MULAW), Law.ALAW).tobytes()
