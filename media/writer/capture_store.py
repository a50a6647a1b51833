"""Where captures are made: one directory for each day on the capture file system, and how much room is left there."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from media.container import model
from media.container.layout import FILE_SUFFIX
from media.errors import CaptureLost
from media.writer.capture_file import CaptureFile
from media.writer.protocol import RefusalReason
from media.writer.roster import CommandRefused
from media.writer.syncing import Syncer

_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
_S_TO_NS: Final = 1_000_000_000


class CaptureStore:
    """Creates captures below one directory.

    Args:
        root: exists.
        syncer: of the engine; a directory's descriptor is closed behind the syncs that use it.

    """

    def __init__(self, root: Path, syncer: Syncer) -> None:
        self._path = root
        self._syncer = syncer
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        """Descriptor, for syncing the file system."""
        self._day = ("", -1)
        self._day_is_new = False
        """The name of the day's directory has not been given to a sync yet."""
        self.free_bytes = 0
        """When it was measured last."""
        self.measure()

    def measure(self) -> None:
        """See how much room is left."""
        found = os.statvfs(self.root)
        self.free_bytes = found.f_bavail * found.f_frsize

    def create(self, body: model.Session) -> CaptureFile:
        """Return a new capture, its SESSION block written.

        Errors: `CommandRefused` if it cannot be, `CaptureLost` if the disk is full or broken.

        """
        try:
            return CaptureFile(self._directory(body.wall_ns) / (body.session + FILE_SUFFIX), body)
        except FileExistsError:
            raise CommandRefused(RefusalReason.SESSION_EXISTS, "a capture of this name exists") from None
        except (TypeError, msgspec.MsgspecError, UnicodeError) as error:
            raise CommandRefused(RefusalReason.MALFORMED, f"descriptor: {error}") from error
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                raise CaptureLost(str(self._path), error) from error
            raise CommandRefused(RefusalReason.DISK_FAILED, str(error)) from error

    def to_sync(self, file: CaptureFile) -> tuple[int, ...]:
        """Return the descriptors whose sync makes a capture, just created, durable with its name.

        Syncs run in the order in which they are asked for, so that the first of a day makes the directory durable for
        all of them.
        """
        if self._day_is_new:
            self._day_is_new = False
            return file.fd, self._day[1], self.root
        return file.fd, self._day[1]

    def close(self) -> None:
        """Give the directories back, after the last sync."""
        for fd in (self.root, self._day[1]):
            if fd >= 0:
                os.close(fd)

    def _directory(self, wall_ns: int) -> Path:
        day = datetime.fromtimestamp(wall_ns / _S_TO_NS, UTC).date().isoformat()
        path = self._path / day
        if self._day[0] != day:
            path.mkdir(exist_ok=True)
            before = self._day[1]
            self._day_is_new = True
            self._day = (day, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            if before >= 0:
                # Behind every sync that still uses it.
                self._syncer.sync_files((), lambda _: os.close(before))
        return path
