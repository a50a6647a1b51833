"""Syncs on real files: one by one while few wait, all at once when many do."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.writer import syncing
from media.writer.kernel import sync_file_system
from media.writer.syncing import Outcome, Syncer

LIMIT_S = 30.0


class Disk:
    """Counts the syncs of the thread, which are real ones, and can hold them up or refuse them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[int] = []
        self.whole = 0
        self.refuses = False
        self.begun, self.free = threading.Event(), threading.Event()
        self.free.set()
        self._fsync, self._syncfs = os.fsync, sync_file_system
        monkeypatch.setattr("os.fsync", self._sync)
        monkeypatch.setattr(syncing, "sync_file_system", self._sync_all)

    def _wait(self) -> None:
        self.begun.set()
        assert self.free.wait(LIMIT_S)
        if self.refuses:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _sync(self, fd: int) -> None:
        self._wait()
        self._fsync(fd)
        self.synced.append(fd)

    def _sync_all(self, fd: int) -> None:
        self._wait()
        self._syncfs(fd)
        self.whole += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def syncer(disk: Disk) -> Iterator[Syncer]:
    made = Syncer()
    yield made
    disk.free.set()
    made.close(LIMIT_S)


def files(folder: Path, count: int) -> list[int]:
    made = [os.open(folder / f"{number}", os.O_WRONLY | os.O_CREAT, 0o600) for number in range(count)]
    for fd in made:
        os.write(fd, b"content")
    return made


def collected(syncer: Syncer, outcomes: list[tuple[int, Outcome]], count: int) -> None:
    while len(outcomes) < count:
        assert select.select([syncer.fd], [], [], LIMIT_S)[0]
        syncer.collect()


def ask(syncer: Syncer, fds: list[int]) -> list[tuple[int, Outcome]]:
    """Ask for each by itself; returns what becomes of each, filled by `collect`."""
    outcomes: list[tuple[int, Outcome]] = []
    for fd in fds:
        syncer.sync_files((fd,), lambda outcome, fd=fd: outcomes.append((fd, outcome)))  # type: ignore[misc]
    return outcomes


def test_a_few_are_synced_by_themselves(disk: Disk, syncer: Syncer, tmp_path: Path) -> None:
    fds = files(tmp_path, 3)
    outcomes = ask(syncer, fds)
    collected(syncer, outcomes, 3)
    assert outcomes == [(fd, None) for fd in fds]
    assert (disk.synced, disk.whole) == (fds, 0)


def test_many_that_wait_are_synced_at_once_and_in_order(disk: Disk, syncer: Syncer, tmp_path: Path) -> None:
    fds = files(tmp_path, 101)
    disk.free.clear()
    first = ask(syncer, fds[:1])
    assert disk.begun.wait(LIMIT_S)
    outcomes = ask(syncer, fds[1:])
    disk.free.set()
    collected(syncer, first, 1)
    collected(syncer, outcomes, 100)
    assert outcomes == [(fd, None) for fd in fds[1:]]
    assert (disk.synced, disk.whole) == (fds[:1], 1)


@pytest.mark.parametrize("count", [1, 100])
def test_each_is_told_that_the_disk_refused(disk: Disk, syncer: Syncer, tmp_path: Path, count: int) -> None:
    disk.refuses = True
    disk.free.clear()
    first = ask(syncer, files(tmp_path, 1))
    assert disk.begun.wait(LIMIT_S)
    outcomes = ask(syncer, files(tmp_path, count))
    disk.free.set()
    collected(syncer, first, 1)
    collected(syncer, outcomes, count)
    assert [error.errno for _, error in first + outcomes if error] == [errno.EIO] * (1 + count)


def test_what_was_asked_for_is_finished_at_the_end(disk: Disk, tmp_path: Path) -> None:
    syncer = Syncer()
    outcomes = ask(syncer, files(tmp_path, 20))
    syncer.close(LIMIT_S)
    assert [outcome for _, outcome in outcomes] == [None] * 20
