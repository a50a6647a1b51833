"""Durability off the loop: one thread that syncs single files, one that syncs the file system.

The loop must go on visiting its sockets while a disk takes its time. Results come back to the loop through a
descriptor that it watches. Threads touch descriptors only, never captures.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from media.writer.kernel import sync_file_system

Outcome = OSError | None
"""None: everything that was written before the request is durable."""

Job: TypeAlias = tuple[Sequence[int], Callable[[Outcome], None]]

_FEW: Final = 3
"""Requests that are served one after another. More of them wait while hundreds of sessions come at once, as from a host
that is lost: one sync of the file system then takes the place of all of theirs."""


class Syncer:
    """Runs fsync and syncfs for a loop, on one file system.

    Obligation: call `collect` when `fd` is readable, and `close` at the end.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when `collect` has something to do."""
        self._done = deque[tuple[Callable[[Outcome], None], Outcome]]()
        self._files = queue.SimpleQueue[Job | None]()
        self._systems = queue.SimpleQueue[tuple[int, Callable[[Outcome], None]] | None]()
        self._threads = [
            threading.Thread(target=self._sync_files, name="sync-files", daemon=True),
            threading.Thread(target=self._sync_systems, name="sync-file-system", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def sync_files(self, fds: Sequence[int], done: Callable[[Outcome], None]) -> None:
        """Sync descriptors, in their order, then have `collect` call `done`; keep them open until then."""
        self._files.put((fds, done))

    def sync_file_system(self, fd: int, done: Callable[[Outcome], None]) -> None:
        """Sync the file system that holds `fd`, then have `collect` call `done`."""
        self._systems.put((fd, done))

    def collect(self) -> None:
        """Call what has been done since; in the thread of the loop."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        while self._done:
            done, outcome = self._done.popleft()
            done(outcome)

    def close(self, timeout_s: float) -> None:
        """Finish what was asked for, waiting at most so many seconds, and collect it."""
        self._files.put(None)
        self._systems.put(None)
        for thread in self._threads:
            thread.join(timeout_s)
        self.collect()
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self.fd)

    def _sync_files(self) -> None:
        while jobs := self._waiting():
            fds = [fd for fds, _ in jobs for fd in fds]
            if len(jobs) > _FEW and fds:
                together = _outcome(sync_file_system, fds[0])
                for _, done in jobs:
                    self._report(done, together)
                continue
            # One after another: the first fsync commits the journal for all that wait.
            for own, done in jobs:
                outcome: Outcome = None
                for fd in own:
                    outcome = outcome or _outcome(os.fsync, fd)
                self._report(done, outcome)

    def _waiting(self) -> list[Job]:
        """Wait for requests and return all of them, in order; none at the end."""
        jobs: list[Job] = []
        while (job := self._files.get()) is not None:
            jobs.append(job)
            if self._files.empty():
                return jobs
        self._files.put(None)
        return jobs

    def _sync_systems(self) -> None:
        while (job := self._systems.get()) is not None:
            fd, done = job
            self._report(done, _outcome(sync_file_system, fd))

    def _report(self, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        self._done.append((done, outcome))
        os.eventfd_write(self.fd, 1)


def _outcome(sync: Callable[[int], None], fd: int) -> Outcome:
    try:
        sync(fd)
    except OSError as error:
        return error
    return None
