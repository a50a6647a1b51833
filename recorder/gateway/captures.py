"""A capture on its way to another host of the site, whose curator has to finish a recording.

The host that wrote a capture is the only one that can say that it is lost.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from media.container.layout import FILE_SUFFIX
from recorder.errors import ChannelLostError
from recorder.frames import framed
from recorder.gateway.link import FRAMES, Held, reach

_log = structlog.get_logger()

_CHUNK: Final = 1 << 18
_SILENT_S: Final = 10.0
"""A host that gives nothing for so long is given up; the job is tried again later."""


async def give_capture(captures: Path, name: str, writer: asyncio.StreamWriter) -> None:
    """Send a capture of this host: a `Held` frame, then its bytes; an empty answer to whoever asks for something else.

    Args:
        captures: directory of this host's captures.
        name: path of the capture as the catalog has it.
        writer: of the connection.

    """
    try:
        file = await asyncio.to_thread(_opened, captures, Path(name))
    except FileNotFoundError:
        writer.write(framed(Held(size=None)))
        await writer.drain()
        return
    if file is None:
        _log.warning("another host wants what is no capture of this one", path=name)
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        writer.write(framed(Held(size=size)))
        while size > 0 and (data := await asyncio.to_thread(file.read, min(_CHUNK, size))):
            writer.write(data)
            await writer.drain()
            size -= len(data)


async def fetch_capture(endpoint: str, context: ssl.SSLContext, name: str, target: Path, *, source: str) -> bool:
    """Bring a capture of another host to `target`; False: that host says that it is lost.

    Args:
        endpoint: ADDRESS:PORT of its gateway.
        context: see `recorder.gateway.link.site_context`.
        name: path of the capture there.
        target: file that is made here, readable by its owner only.
        source: own address to come from.

    Raises:
        OSError: the host cannot be reached or the file cannot be written.
        ChannelLostError: it gave less than all of it, or nothing.

    """
    reader, writer = await reach(endpoint, context, service="capture", name=name, source=source)
    try:
        async with asyncio.timeout(_SILENT_S):
            held = await FRAMES.receive(reader)
        if not isinstance(held, Held):
            raise ChannelLostError("its host does not give it")
        if held.size is None:
            return False
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            left = held.size
            while left:
                async with asyncio.timeout(_SILENT_S):
                    data = await reader.read(min(_CHUNK, left))
                if not data:
                    raise ChannelLostError(f"its host went away {left} bytes before the end")
                await asyncio.to_thread(file.write, data)
                left -= len(data)
    finally:
        writer.transport.abort()
    return True


def _opened(captures: Path, path: Path) -> BinaryIO | None:
    """Open a capture; None for what is none, or whose directory is not there. FileNotFoundError: it is lost."""
    if path.suffix != FILE_SUFFIX or not path.resolve().is_relative_to(captures.resolve()) or not path.parent.is_dir():
        return None
    return path.open("rb")
