"""Writers that are killed and disks that fill up: the assertions are about packets on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.container import Damage, RecordFlag, Recovered, read_capture
from media.writer.protocol import RefusalReason, Refused, StreamSpec
from tests.integration.media_writer_kit import (
    LIMIT_S,
    SOURCES,
    Frontend,
    Ports,
    Sender,
    Writer,
    capture_at,
    new_session,
    packets_of,
    running_writer,
    stream,
)
from tests.kit.failing_disk import DiskCall, FailingDisk

pytestmark = pytest.mark.failover


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def senders() -> Iterator[Callable[..., Sender]]:
    made: list[Sender] = []

    def make(**changes: object) -> Sender:
        made.append(Sender(**changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sender in made:
        sender.close()


class Call(threading.Thread):
    """Real-time RTP to several ports until told to stop."""

    def __init__(self, ports: dict[int, int], interval_s: float = 0.005) -> None:
        super().__init__()
        self.senders = {index: Sender(ssrc=index + 1) for index in ports}
        self._ports = ports
        self._interval_s = interval_s
        self._over = threading.Event()

    def run(self) -> None:
        sequence = 0
        while not self._over.wait(self._interval_s):
            for index, sender in self.senders.items():
                sender.send(self._ports[index], sequence)
            sequence += 1

    def stop(self) -> None:
        self._over.set()
        self.join()

    def close(self) -> None:
        self.stop()
        for sender in self.senders.values():
            sender.close()


@contextlib.contextmanager
def calling(ports: dict[int, int], interval_s: float = 0.005) -> Iterator[Call]:
    call = Call(ports, interval_s)
    call.start()
    try:
        yield call
    finally:
        call.close()


def adopt(frontend: Frontend, ports: dict[int, int], **changes: object) -> tuple[str, Path]:
    session = new_session()
    specs: list[StreamSpec] = [stream(index, port=port, **changes) for index, port in ports.items()]
    return session, Path(frontend.open(session, *specs, adopt=True).capture_path)


def test_a_killed_writer_leaves_everything_it_had_appended(
    tmp_path: Path, senders: Callable[..., Sender], source: str
) -> None:
    with running_writer(tmp_path, source=source) as writer:
        frontend = writer.frontend()
        opened = frontend.open(new_session(), stream())
        sender = senders()
        sender.send(opened.ports[0], *range(100))
        frontend.until_packets(100)
        writer.kill()
        capture = capture_at(opened.capture_path)
        assert packets_of(capture) == sender.sent
        assert (capture.complete, capture.end, capture.damage) == (False, None, Damage.NONE)


def test_kills_in_the_middle_of_calls_lose_nothing(tmp_path: Path, source: str) -> None:
    """Promise: at most one packet per stream and kill; with the arena, none."""
    dice = random.Random(20260301)
    with running_writer(tmp_path, ports=8, rtcp=False, arena_path=str(tmp_path / "arena"), source=source) as writer:
        frontend = writer.frontend()
        opened = frontend.open(new_session(), *(stream(index) for index in range(8)))
        ports, paths = opened.ports, [Path(opened.capture_path)]
        with calling(ports, 0.01) as call:
            for epoch in range(2, 6):
                time.sleep(0.2 + dice.random() * 0.2)
                writer.kill()
                writer.start()
                frontend = writer.frontend(epoch=epoch)
                session, path = adopt(frontend, ports)
                paths.append(path)
            time.sleep(0.2)
            call.stop()
            frontend.close_session(session)
            captures = [read_capture(path) for path in paths]
            assert captures[-1].complete
            for index, sender in call.senders.items():
                stored = [packet for capture in captures for packet in packets_of(capture, index)]
                missing = set(sender.sent) - set(stored)
                assert missing == set()
                assert set(stored) == set(sender.sent)
                assert len(sender.sent) > 100


def test_what_a_killed_writer_had_read_is_saved_by_its_successor(
    tmp_path: Path, senders: Callable[..., Sender], source: str
) -> None:
    """Frozen between reading and appending: a disk that hangs, then kill -9."""
    with running_writer(tmp_path, ports=2, arena_path=str(tmp_path / "arena"), source=source) as writer:
        frontend = writer.frontend()
        opened = frontend.open(new_session(), stream())
        sender = senders()
        writer.limit_files(60_000)
        # The capture reaches its limit in the middle; what was read then is in the arena only.
        while not frontend.failures:
            sender.send(opened.ports[0], *range(len(sender.sent), len(sender.sent) + 20))
            frontend.pump(0.05)
        writer.kill()
        writer.start()
        second = writer.frontend(epoch=2)
        session, path = adopt(second, opened.ports)
        second.close_session(session)
        before, after = capture_at(opened.capture_path), read_capture(path)
        stored = packets_of(before) + packets_of(after)
        assert set(stored) == set(sender.sent)
        told = [event for event in after.events if isinstance(event, Recovered)]
        flagged = sum(int((batch.records["flags"] & int(RecordFlag.RECOVERED) != 0).sum()) for batch in after.packets())
        assert [event.packets for event in told] == [flagged]
        assert flagged > 0
        assert after.session.adopted


def test_a_pause_holds_across_a_kill(tmp_path: Path, senders: Callable[..., Sender], source: str) -> None:
    with running_writer(tmp_path, arena_path=str(tmp_path / "arena"), source=source) as writer:
        frontend = writer.frontend()
        session = new_session()
        opened = frontend.open(session, stream())
        sender = senders()
        kept = sender.send(opened.ports[0], 1, 2)
        frontend.modify(session, stream(recording=False), cause="pause")
        sender.send(opened.ports[0], *range(10, 20))
        writer.kill()
        sender.send(opened.ports[0], *range(20, 30))
        writer.start()
        second = writer.frontend(epoch=2)
        adopted, path = adopt(second, opened.ports, recording=False)
        sender.send(opened.ports[0], *range(30, 40))
        second.modify(adopted, stream(port=opened.ports[0]), cause="resume")
        resumed = sender.send(opened.ports[0], 50)
        second.close_session(adopted)
        assert packets_of(capture_at(opened.capture_path)) == kept
        assert packets_of(read_capture(path)) == resumed


def test_a_successor_keeps_adopted_ports_from_new_calls(tmp_path: Path, source: str) -> None:
    with running_writer(tmp_path, ports=2, arena_path=str(tmp_path / "arena"), source=source) as writer:
        frontend = writer.frontend()
        opened = frontend.open(new_session(), stream())
        writer.kill()
        writer.start()
        second = writer.frontend(epoch=2)
        fresh = second.open(new_session(), stream())
        assert fresh.ports[0] != opened.ports[0]
        refused = second.try_open(new_session(), stream())
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.NO_FREE_PORT
        adopt(second, opened.ports)


def fill_up(writer: Writer, senders: Callable[..., Sender]) -> None:
    """Send until the disk refuses, and check what everybody is told."""
    frontend = writer.frontend()
    session = new_session()
    opened = frontend.open(session, stream())
    sender = senders()
    deadline = time.monotonic() + LIMIT_S
    while not frontend.failures:
        assert time.monotonic() < deadline, "the disk never filled up"
        sender.send(opened.ports[0], *range(len(sender.sent), len(sender.sent) + 50))
        frontend.pump(0.02)
    assert [failure.session for failure in frontend.failures] == [session]
    beat = frontend.heartbeat()
    assert beat.failed
    assert beat.free_ports == 0
    for reply in (frontend.try_open(new_session(), stream()), frontend.try_close(session)):
        assert isinstance(reply, Refused)
        assert reply.reason is RefusalReason.DISK_FAILED
    size = Path(opened.capture_path).stat().st_size
    sender.send(opened.ports[0], *range(len(sender.sent), len(sender.sent) + 10))
    progress = frontend.heartbeat().progress
    assert frontend.heartbeat().progress > progress
    assert Path(opened.capture_path).stat().st_size == size, "the file was touched after the error"
    capture = capture_at(opened.capture_path)
    kept = packets_of(capture)
    assert kept == sender.sent[: len(kept)]
    assert len(kept) > 50
    assert not capture.complete
    assert [one.session for one in frontend.list().sessions] == [session]
    frontend.disconnect()
    assert writer.stop() == 0


def test_a_capture_at_its_file_limit_fails_the_writer_once_and_for_all(
    tmp_path: Path, senders: Callable[..., Sender]
) -> None:
    with running_writer(tmp_path) as writer:
        writer.frontend().heartbeat()
        writer.limit_files(100_000)
        fill_up(writer, senders)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root; the file limit test covers the rest")
def test_a_full_file_system_fails_the_writer_once_and_for_all(
    tmp_path: Path, senders: Callable[..., Sender], source: str
) -> None:
    small = tmp_path / "captures"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount; the file limit test covers the rest")
    try:
        with running_writer(tmp_path, source=source) as writer:
            fill_up(writer, senders)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["writev", "syncfs", "fsync"])
def test_the_first_error_of_the_disk_is_the_writers_last(
    call: DiskCall, error: int, tmp_path: Path, senders: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call itself fails. What the writer had said to be durable is whole, and it never touches the file again."""
    disk = FailingDisk(tmp_path)
    with monkeypatch.context() as preloaded:
        for name, value in disk.environment.items():
            preloaded.setenv(name, value)
        with running_writer(tmp_path) as writer:
            frontend, sender, session = writer.frontend(), senders(), new_session()
            opened = frontend.open(session, stream())
            sender.send(opened.ports[0], *range(100))
            frontend.until_packets(100)
            assert writer.process is not None
            disk.fail(writer.process.pid, call, error)
            sender.send(opened.ports[0], *range(100, 150))
            if call == "fsync":
                refused = frontend.try_close(session)
                assert isinstance(refused, Refused)
                assert refused.reason is RefusalReason.DISK_FAILED
            else:
                deadline = time.monotonic() + LIMIT_S
                while not frontend.failures:
                    assert time.monotonic() < deadline, "nobody was told"
                    frontend.pump(0.02)
                assert [failure.session for failure in frontend.failures] == [session]
            assert os.strerror(error) in frontend.heartbeat().failed
            disk.heal()
            size = Path(opened.capture_path).stat().st_size
            sender.send(opened.ports[0], *range(150, 160))
            progress = frontend.heartbeat().progress
            assert frontend.heartbeat().progress > progress
            assert isinstance(frontend.try_open(new_session(), stream()), Refused), "a disk that healed is not trusted"
            assert Path(opened.capture_path).stat().st_size == size, "the file was touched after the error"
            kept = packets_of(capture_at(opened.capture_path))
            assert kept == sender.sent[: len(kept)]
            assert len(kept) >= 100
            frontend.disconnect()
            assert writer.stop() == 0


def test_below_the_low_water_mark_new_calls_are_refused_and_running_ones_go_on(
    tmp_path: Path, senders: Callable[..., Sender]
) -> None:
    with running_writer(tmp_path, min_free_bytes=1 << 60) as writer:
        frontend = writer.frontend()
        reply = frontend.try_open(new_session(), stream())
        assert isinstance(reply, Refused)
        assert reply.reason is RefusalReason.DISK_FULL
        assert frontend.heartbeat().failed == ""
        frontend.disconnect()


def test_a_second_process_of_the_same_writer_does_not_start(tmp_path: Path) -> None:
    with running_writer(tmp_path, ports=1, arena_path=str(tmp_path / "arena")) as writer:
        writer.frontend().heartbeat()
        twin = Writer(tmp_path, Ports(writer.ports.pairs), settings=writer.settings, control=writer.control)
        twin.start()
        assert twin.process is not None
        assert twin.process.wait(LIMIT_S) == 1
        frontend = writer.frontend()
        assert frontend.list().sessions == []
        frontend.disconnect()
