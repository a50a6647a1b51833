"""Disks that fill up: the truth in OPTIONS and INVITE, audio up to the failing write, and recovery without a human."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.failover.chaos.faults import Target
from tests.failover.chaos.literal import offered, reply
from tests.failover.chaos.moves import moved, whole, writer_of
from tests.kit.call import Call
from tests.kit.failing_disk import DiskCall, FailingDisk
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import SipClient

pytestmark = pytest.mark.failover

SIZE_MB: Final = 8


def mounted(directory: Path) -> None:
    """Mount a small file system, or say why this cannot be tested here."""
    directory.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("a file system of its own for a full disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "none", str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"this machine does not let us mount a file system: {done.stderr.strip()}")


def unmount(directory: Path) -> None:
    subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> FailingDisk:
    return FailingDisk(tmp_path_factory.mktemp("failing"))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory, disk: FailingDisk) -> Iterator[RunningRecorder]:
    """One whose captures and recordings lie on small file systems of their own."""
    root = tmp_path_factory.mktemp("disk")
    captures, recordings = root / "state" / "captures", root / "recordings"
    mounted(captures)
    try:
        mounted(recordings)
        try:
            environment = {"RECORDER_RECORDINGS_ROOT": str(recordings), **disk.environment}
            running = RunningRecorder(root / "state", environment=environment)
            with running:
                yield running
                assert running.stop() == 0, running.log_tail()
            running.assert_no_traceback()
        finally:
            unmount(recordings)
    finally:
        unmount(captures)


@contextmanager
def filled(directory: Path, *, leave: int = 0) -> Iterator[None]:
    """Take all free space but `leave` bytes, for a while."""
    ballast = directory / "ballast"
    try:
        # The recorder fills it as well: no space left is what we want.
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            free = shutil.disk_usage(directory).free - leave
            while free > 0:
                free -= file.write(bytes(min(free, 1 << 16)))
        yield
    finally:
        ballast.unlink()


def options(recorder: RunningRecorder, wanted: int) -> None:
    with SipClient(recorder.sip_port) as client:
        eventually(
            lambda: client.options().status == wanted, limit_s=30, what=f"OPTIONS {wanted}", detail=recorder.log_tail
        )


def test_a_disk_below_its_mark_takes_us_out_of_the_pool_and_running_calls_go_on(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder) as running, Call(recorder) as refused:
        running.start()
        with filled(recorder.state_dir / "captures", leave=600_000):
            options(recorder, 503)
            answer = refused.dialog.send("INVITE", refused.offer())
            assert answer.status == 503
            assert int(answer.one("Retry-After")) > 0
            eventually(lambda: recorder.http("/readyz")[0] == 503, limit_s=30, what="/readyz 503")
            assert "disk" in recorder.http("/readyz")[2]
            running.media.talk(0.5)
        options(recorder, 200)
        running.hang_up()
        running.assert_recorded(tmp_path)


def test_a_disk_that_is_full_keeps_what_was_written_and_says_so(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(2.0)
        before = call.media.count
        with filled(recorder.state_dir / "captures"):
            options(recorder, 503)
            call.media.talk(1.0)
        options(recorder, 200)
        call.media.stop()
        assert call.dialog.bye().status == 200
        entry = call.finished()
        assert entry["state"] in {"complete", "interrupted"}
        wav = call.exported(tmp_path)
        for party, channel in enumerate(wav.channels):
            heard = hear(channel, call.sent[party], silence=SILENCE[MU_LAW])
            assert heard.present[: before - 50].all(), f"frames lost before the disk was full: {heard.missing}"
            assert heard.stray == 0
        assert "disk" in recorder.log().lower() or "space" in recorder.log().lower()
    with Call(recorder) as after:
        after.start()
        after.media.talk(0.5)
        after.hang_up()
        after.assert_recorded(tmp_path)


@pytest.mark.parametrize("system_call", ["writev", "syncfs"])
def test_the_calls_of_a_writer_whose_disk_fails_move_to_another(
    recorder: RunningRecorder, disk: FailingDisk, system_call: DiskCall, tmp_path: Path
) -> None:
    """The first EIO is the writer's last: it says so, its streams move, and only what it held is lost."""
    whole(Target(recorder))  # writers that failed in the tests before are replaced
    with Call(recorder) as call:
        call.start()
        call.media.talk(1.5)
        failing = writer_of(recorder, call)
        (pid,) = [one["pid"] for one in recorder.status()["processes"] if one["name"] == failing]
        before = call.media.count
        disk.fail(pid, system_call, errno.EIO)
        try:
            request = offered(call, limit_s=30)
            reply(call, request, 200)
            moved(recorder, call)
        finally:
            disk.heal()
        after = call.media.count
        call.media.talk(0.5)
        call.hang_up()
        assert any("writer failed" in line and os.strerror(errno.EIO) in line for line in recorder.log().splitlines())
        entry = call.finished()
        assert entry["state"] == "complete"
        wav = call.exported(tmp_path)
        for party, channel in enumerate(wav.channels):
            heard = hear(channel, call.sent[party], silence=SILENCE[MU_LAW])
            assert heard.stray == 0
            # What the failed writer held is lost, and what came until the move; nothing before, nothing after.
            assert all(before - 150 < frame <= after for frame in heard.missing), heard.missing
        assert {gap["kind"] for gap in entry["gaps"]} <= {"lost"}, entry["gaps"]


def test_recordings_that_find_no_room_are_finished_when_there_is_room(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder) as call:
        with filled(recorder.state_dir.parent / "recordings"):
            call.start()
            call.media.talk(0.5)
            call.hang_up()
            eventually(
                lambda: any(job["last_error"] for job in recorder.admin("jobs", "list")),
                limit_s=60,
                what="a failed job",
            )
        entry = recorder.finished(call.identifier, limit_s=60)
        assert entry["state"] == "complete"
        call.assert_recorded(tmp_path)
