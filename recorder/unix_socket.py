"""Unix stream sockets at paths of any length.

`sun_path` holds 107 bytes, and state directories are often longer; binding through a descriptor of the parent
directory (`/proc/self/fd/N/name`) has no such limit.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorder.frames import Streams


@contextmanager
def _short(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path, *, backlog: int = 16) -> socket.socket:
    """Return a non-blocking listening socket at `path`, replacing what a dead process left there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path, *, blocking: bool = True) -> socket.socket:
    """Return a connection to `path`. One that does not block is made at once or not at all: there is no handshake.

    Raises:
        BlockingIOError: whoever listens has not accepted the connections before this one, and it was not to be waited
            for that.
        OSError: nobody listens there.

    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(blocking)
        with _short(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


async def open_streams(path: Path) -> Streams:
    """Connect without holding up the event loop, even while whoever listens is stuck and its queue full.

    Raises:
        OSError: see `connect`; trying again later helps.

    """
    return await asyncio.open_unix_connection(sock=connect(path, blocking=False))
