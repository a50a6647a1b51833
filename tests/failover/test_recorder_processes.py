"""kill -9 of each process of a recorder while calls are running; judged by the audio in the exported files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder, alive, descendants, eventually
from tests.kit.sip_client import SipClient

pytestmark = pytest.mark.failover

REPLACED_S: Final = 60.0
"""Longest time until a replacement works, on a machine that is busy with other tests."""
_TURN_NS: Final = 1_000_000
_TURN_S: Final = 0.2
"""Longest time that a process gets for this: it may have nothing to do."""


@pytest.fixture
def vanished(recorder: RunningRecorder) -> Iterator[Call]:
    """A client that gets its 200, talks for a moment, never sends its ACK, and is never heard of again."""
    with Call(recorder) as call:
        call.client.send(call.dialog.request("INVITE", call.offer()))
        call.aim(call.client.final("INVITE"))
        call.media.start()
        call.media.talk(1.0)
        call.media.stop()
        yield call


def kill(recorder: RunningRecorder, role: str, state: str = "") -> dict[str, int]:
    """SIGKILL every process of a role, or those of it in one state; returns them by name."""

    def found() -> dict[str, int] | None:
        chosen = [one for one in recorder.status()["processes"] if one["role"] == role and state in {"", one["state"]}]
        return {one["name"]: one["pid"] for one in chosen if one["pid"]} or None

    victims = eventually(found, limit_s=REPLACED_S, what=f"a {role} {state}", detail=recorder.log_tail)
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    return victims


def replaced(recorder: RunningRecorder, victims: dict[str, int]) -> None:
    """Wait until every victim has a working successor and the whole is able to record again."""

    def probe() -> bool:
        processes = {one["name"]: one for one in recorder.status()["processes"]}
        return all(
            processes[name]["pid"] not in {None, pid} and processes[name]["state"] in {"running", "active", "standby"}
            for name, pid in victims.items()
        )

    eventually(probe, limit_s=REPLACED_S, what=f"replacements of {victims}", detail=recorder.log_tail)
    with SipClient(recorder.sip_port) as client:
        eventually(lambda: client.options().status == 200, limit_s=REPLACED_S, what="OPTIONS 200")


def lost_frames(call: Call, directory: Path) -> list[list[int]]:
    """Numbers of the frames per party that are not in the exported file; what is there lies at its place."""
    wav = call.exported(directory)
    lost = []
    for sent, channel in zip(call.sent, wav.channels, strict=True):
        heard = hear(channel, sent, silence=SILENCE[MU_LAW])
        assert heard.stray == 0
        lost.append(heard.missing)
    return lost


@pytest.mark.parametrize("state", ["active", ""], ids=["active", "active and standby"])
def test_the_frontend_killed_in_mid_call_costs_nothing(recorder: RunningRecorder, tmp_path: Path, state: str) -> None:
    """0 RTP packets; dialogs go on over UDP, and over a new connection where the old one died with the frontend."""
    with Call(recorder) as by_udp, Call(recorder, transport="tcp") as by_tcp, Call(recorder, door="siprec") as held:
        calls = (by_udp, by_tcp, held)
        for call in calls:
            call.start()
        by_udp.media.talk(0.5)
        victims = kill(recorder, "frontend", state)
        began = time.monotonic()
        answer = by_udp.dialog.insist(by_udp.dialog.request("OPTIONS"), "OPTIONS", limit_s=REPLACED_S)
        print(f"first answer {time.monotonic() - began:.2f} s after the frontend was killed")
        assert answer.status == 200
        replaced(recorder, victims)
        assert held.reinvite(direction="inactive").status == 200
        by_udp.media.talk(0.3)
        assert held.reinvite().status == 200
        by_udp.media.talk(0.3)
        by_tcp.client.close()
        by_tcp.client = by_tcp.dialog.client = SipClient(recorder.sip_port, "tcp")
        for call in calls:
            call.hang_up()
        by_udp.assert_recorded(tmp_path)
        by_tcp.assert_recorded(tmp_path)
        entry = held.finished()
        assert entry["state"] == "complete"
        assert {gap["kind"] for gap in entry["gaps"]} == {"paused"}


def test_what_arrives_while_there_is_no_frontend_is_answered_by_the_next(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """The supervisor keeps the sockets: an INVITE and a BYE wait in the kernel."""
    with Call(recorder) as ending, Call(recorder) as coming:
        ending.start()
        ending.media.talk(0.5)
        ending.media.stop()
        victims = kill(recorder, "frontend")
        coming.client.send(invite := coming.dialog.request("INVITE", coming.offer()))
        assert ending.dialog.bye(limit_s=REPLACED_S).status == 200
        answer = coming.dialog.insist(invite, "INVITE", limit_s=REPLACED_S)
        assert answer.status == 200
        coming.dialog.learn(answer)
        coming.client.send(coming.dialog.request("ACK"))
        coming.aim(answer)
        coming.media.start()
        coming.media.talk(0.5)
        coming.hang_up()
        ending.assert_recorded(tmp_path)
        coming.assert_recorded(tmp_path)
        replaced(recorder, victims)


def test_a_bye_that_was_answered_is_answered_again_by_the_next_frontend(recorder: RunningRecorder) -> None:
    """The 200 may have been lost on the way while the frontend died."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.2)
        call.media.stop()
        bye = call.dialog.request("BYE")
        call.client.send(bye)
        assert call.client.final("BYE").status == 200
        replaced(recorder, kill(recorder, "frontend"))
        assert call.dialog.insist(bye, "BYE", limit_s=REPLACED_S).status in {200, 481}
        assert call.finished()["state"] == "complete"


def test_frontend_and_writers_killed_together(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.7)
        victims = kill(recorder, "writer") | kill(recorder, "frontend")
        call.media.talk(1.0)
        replaced(recorder, victims)
        call.media.talk(0.5)
        call.media.stop()
        assert call.dialog.bye(limit_s=REPLACED_S).status == 200
        entry = call.finished()
        assert entry["state"] == "complete"
        assert max(map(len, lost_frames(call, tmp_path))) <= 1, entry["gaps"]


def test_writers_killed_in_mid_call_cost_at_most_one_packet_of_a_stream(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Packets wait in the kernel; the replacement gets the same sockets; no SIP message is sent."""
    with ExitStack() as stack:
        calls = [stack.enter_context(Call(recorder)) for _ in range(4)]
        for call in calls:
            call.start()
        calls[0].media.talk(0.7)
        victims = kill(recorder, "writer")
        calls[0].media.talk(1.5)
        replaced(recorder, victims)
        calls[0].media.talk(0.5)
        for call in calls:
            assert call.client.quiet(0), "a SIP message was sent because of a writer"
            call.hang_up()
        for call in calls:
            entry = call.finished()
            assert entry["state"] == "complete", entry
            lost = lost_frames(call, tmp_path)
            assert max(map(len, lost)) <= 1, f"frames lost: {lost}; gaps {entry['gaps']}"
            assert [gap["kind"] for gap in entry["gaps"]] == ["lost"] * sum(map(len, lost))


def test_a_writer_killed_twice_loses_no_more(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.start()
        for _ in range(2):
            call.media.talk(0.5)
            replaced(recorder, kill(recorder, "writer"))
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
        assert entry["state"] == "complete"
        assert max(map(len, lost_frames(call, tmp_path))) <= 2


def test_a_goodbye_while_the_writer_is_dead_waits_for_its_replacement(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """The last packets of the call wait in the kernel, and belong to the recording."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.7)
        victims = kill(recorder, "writer")
        call.media.talk(0.2)
        call.media.stop()
        assert call.dialog.bye(limit_s=REPLACED_S).status == 200
        entry = call.finished()
        assert entry["state"] == "complete"
        assert max(map(len, lost_frames(call, tmp_path))) <= 1, entry["gaps"]
        replaced(recorder, victims)


def test_the_curator_killed_while_it_finalises_leaves_no_recording_behind(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        calls = [stack.enter_context(Call(recorder)) for _ in range(4)]
        for call in calls:
            call.start()
        calls[0].media.talk(1.0)
        (pid,) = recorder.pids("curator")
        os.kill(pid, signal.SIGSTOP)
        try:
            for call in calls:
                call.hang_up()
            assert recorder.finished_now(calls[0].identifier) is None
            _run_until_at_work(recorder, pid)
        finally:
            os.kill(pid, signal.SIGKILL)
        for call in calls:
            call.assert_recorded(tmp_path)
    files = [path for path in (recorder.state_dir / "recordings").rglob("*") if path.is_file()]
    made = (".wav", ".manifest")
    assert not [path.name for path in files if path.suffix not in made], "a half-made file is left over"


def _run_until_at_work(recorder: RunningRecorder, pid: int) -> None:
    """Let the curator run by the millisecond of its own processor time until a job is its own."""

    def at_work() -> bool:
        if any(job["state"] == "running" for job in recorder.admin("jobs", "list")):
            return True
        used, until = _processor_ns(pid), time.monotonic() + _TURN_S
        os.kill(pid, signal.SIGCONT)
        while _processor_ns(pid) - used < _TURN_NS and time.monotonic() < until:
            time.sleep(0.001)
        os.kill(pid, signal.SIGSTOP)
        return False

    eventually(at_work, limit_s=2 * REPLACED_S, what="a job of the curator", detail=recorder.log_tail)


def _processor_ns(pid: int) -> int:
    """Return what a process has had of the processors; the clock is that of clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def test_postgresql_killed_in_mid_call_refuses_nothing_and_loses_nothing(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder) as before, Call(recorder) as during:
        before.start()
        before.media.talk(0.5)
        assert recorder.process
        for pid in postgres(recorder.process.pid):
            os.kill(pid, signal.SIGKILL)
        during.start()
        during.media.talk(0.5)
        during.hang_up()
        before.hang_up()

        def catalog_is_back() -> bool:
            return recorder.invoke("recordings", "list", "--json").exit_code == 0

        eventually(catalog_is_back, limit_s=REPLACED_S, what="the catalog", detail=recorder.log_tail)
        for call in (before, during):
            eventually(
                lambda call=call: recorder.recordings("--record-identifier", call.identifier),  # type: ignore[misc]
                limit_s=REPLACED_S,
                what="the catalog to catch up",
            )
            call.assert_recorded(tmp_path)


def postgres(supervisor: int) -> list[int]:
    """All processes of the embedded PostgreSQL."""
    masters = [
        pid
        for pid in descendants(supervisor)
        if b"unix_socket_directories" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(masters) == 1
    return [masters[0], *descendants(masters[0])]


def test_a_client_that_vanished_is_finalised_as_interrupted(
    recorder: RunningRecorder, vanished: Call, tmp_path: Path
) -> None:
    """64*T1 after its 200 (RFC 3261 13.3.1.4), although the frontend that waited for its ACK and its writer died."""
    for role, state in (("frontend", "active"), ("writer", "")):
        replaced(recorder, kill(recorder, role, state))
    entry = recorder.finished(vanished.identifier, limit_s=90)
    assert entry["state"] == "interrupted"
    assert lost_frames(vanished, tmp_path) == [[], []]


def test_everything_is_alive_after_all_of_this(recorder: RunningRecorder) -> None:
    status = recorder.status()
    assert status["state"] == "running"
    for process in status["processes"]:
        assert process["pid"] is not None
        assert alive(process["pid"])
    with SipClient(recorder.sip_port) as client:
        assert client.options().status == 200
    eventually(lambda: recorder.admin("jobs", "list") == [], limit_s=REPLACED_S, what="the last job done")
