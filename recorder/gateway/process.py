"""The gateway process: lets the other hosts of the site reach this one's writers and frontend, and beats for it."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final

import structlog
import uvloop

from recorder import unix_socket
from recorder.child_loop import ChildLoop
from recorder.errors import ChannelLostError
from recorder.frames import Streams, framed
from recorder.gateway.captures import give_capture
from recorder.gateway.link import FRAMES, Beat, Reach, site_context
from recorder.role import Assignment
from storage.catalog import Catalog
from storage.errors import StorageError

_log = structlog.get_logger()

_REGISTER_S: Final = 1.0
_CHUNK: Final = 1 << 16
_CLOSE_S: Final = 2.0
_LOOK_S: Final = 0.01
_GREETING_S: Final = 5.0
"""Longest wait for the first frame of a connection."""
_WRITER: Final = re.compile(r"writer-[0-9]{1,3}")


def run(assignment: Assignment) -> None:
    """Answer until told to stop."""
    uvloop.run(_Gateway(assignment).run())


class _Gateway:
    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._settings = assignment.settings
        self._loop = ChildLoop(assignment.channel)
        self._connections: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        self._loop.start()
        _, listener = self._assignment.sockets["gateway"][0]
        server = await asyncio.start_server(
            self._serve, sock=listener, ssl=site_context(self._settings.ha, server=True), ssl_handshake_timeout=5
        )
        catalog = await Catalog.expect(self._assignment.dsn, max_size=1, application="tandem-gateway")
        async with catalog, asyncio.TaskGroup() as group:
            registering = group.create_task(self._register(catalog))
            self._loop.ready()
            self._loop.state("running", connections=0)
            await self._loop.stopped.wait()
            registering.cancel()
            server.close()
            for connection in list(self._connections):
                connection.transport.abort()
            await self._describe(catalog, "ended")
            # One that is cancelled instead ends with a trace in the log (asyncio.streams).
            deadline = asyncio.get_running_loop().time() + _CLOSE_S
            while self._connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)

    async def _register(self, catalog: Catalog) -> None:
        while True:
            await self._describe(catalog, "running")
            self._loop.state("running", connections=len(self._connections))
            await asyncio.sleep(_REGISTER_S)

    async def _describe(self, catalog: Catalog, state: str) -> None:
        # A database that is away, or not migrated yet: the next time will do.
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_REGISTER_S):
                await catalog.sites.beat(
                    self._settings.ha.site,
                    node=self._settings.node,
                    instance=self._assignment.instance,
                    endpoint=self._settings.ha.listen,
                    writers=self._assignment.writers,
                    state=state,
                )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            async with asyncio.timeout(_GREETING_S):
                wanted = await FRAMES.receive(reader)
            if isinstance(wanted, Reach):
                await self._give(wanted, (reader, writer))
        except (ChannelLostError, OSError) as error:
            _log.debug("connection of another host ended", reason=str(error) or type(error).__name__)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _give(self, wanted: Reach, outside: Streams) -> None:
        state_dir = self._assignment.state_dir
        if wanted.service == "beats":
            await self._beat(outside[1])
            return
        if wanted.service == "capture":
            await give_capture(state_dir.captures, wanted.name, outside[1])
            return
        if wanted.service == "state":
            path = state_dir.state_socket
        elif wanted.service == "writer" and _WRITER.fullmatch(wanted.name):
            path = state_dir.writer_socket(wanted.name)
        else:
            _log.warning("another host wants what there is not", service=wanted.service, name=wanted.name)
            return
        inside = await unix_socket.open_streams(path)
        try:
            await _joined(outside, inside)
        finally:
            inside[1].close()

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        beat = framed(Beat(instance=self._assignment.instance))
        while True:
            writer.write(beat)
            await writer.drain()
            await asyncio.sleep(self._settings.ha.heartbeat_ms / 1000)


async def _joined(one: Streams, other: Streams) -> None:
    """Pass bytes both ways until either side ends."""
    tasks = [asyncio.ensure_future(_pass(one[0], other[1])), asyncio.ensure_future(_pass(other[0], one[1]))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
