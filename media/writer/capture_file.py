"""One capture being written: append-only, in order, and never touched again after an error.

Knows the container format and the disk; knows no socket and no stream.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from media.container.encoder import BlockEncoder, Buffer
from media.container.model import End, Event, Session
from media.errors import CaptureLost

_MAX_PENDING: Final = 64
"""Event blocks kept back until packets follow; far below the kernel's limit of 1,024 buffers for one write."""


class CaptureFile:
    """Appends to one capture.

    Args:
        path: where to create it; its directory exists.
        session: the SESSION block, written at once.

    Errors: `FileExistsError` if the name is taken, `OSError` if the file cannot be made, `TypeError` if the session
    holds what JSON has not; afterwards `CaptureLost`, and then nothing more may be called but `close`.

    """

    __slots__ = ("_encoder", "_pending", "fd", "path")

    def __init__(self, path: Path, session: Session) -> None:
        self.path = path
        self._encoder = BlockEncoder()
        self._pending: list[bytes] = []
        # Before the file exists: what cannot be written must not leave an empty file.
        opening = self._encoder.open(session)
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        """For syncing; -1 once closed."""
        try:
            self._write([opening])
        except CaptureLost:
            self.close()
            raise

    def event(self, event: Event) -> None:
        """Append an event; it reaches the file with the next packets or the next `flush`."""
        self._pending.append(self._encoder.event(event))
        if len(self._pending) >= _MAX_PENDING:
            self.flush()

    def append(self, header: memoryview, records: memoryview, data: memoryview) -> None:
        """Append a PACKETS or RTCP block and the events before it; `header` is a row of dtype `BLOCK`, sealed here."""
        if self._pending:
            self.flush()
        self._encoder.seal(header, records, data)
        self._write((header, records, data))

    def flush(self) -> None:
        """Give events that wait for packets to the file."""
        if self._pending:
            pending, self._pending = self._pending, []
            self._write(pending)

    def end(self, end: End) -> None:
        """Append the END block; sync `fd` and then `close`."""
        self._pending.append(self._encoder.end(end))
        self.flush()

    def close(self) -> None:
        """Give the descriptor back; does not sync."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write(self, buffers: Sequence[Buffer]) -> None:
        size = sum(map(len, buffers))
        try:
            written = os.writev(self.fd, buffers)
        except OSError as error:
            raise CaptureLost(str(self.path), error) from error
        if written != size:
            # Never write the rest: a disk that takes a part is full or broken, and the reader cuts the torn block off.
            raise CaptureLost(str(self.path), f"only {written} of {size} bytes written")
