"""The SIP sockets of the simulator: one UDP port, or TCP connections in both directions (RFC 3261 section 18).

Takes and gives whole messages; knows nothing about calls. Connections are opened when there is something to send,
and used again in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Literal, Self

from recorder.simulator.dialog import Address
from signaling.sip import PONG, StreamFramer

Deliver = Callable[[bytes, Address], None]
"""Called with one message and where it came from."""
Lost = Callable[[Address], None]
"""Called when nothing can be sent there: the connection was refused or broke."""

_CONNECT_S = 5.0
_CHUNK = 65_536


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._deliver(data, (addr[0], addr[1]))


class SipNetwork:
    """Sends and receives SIP messages; use as an async context manager.

    Args:
        transport: udp or tcp.
        host: local address.
        deliver: gets what arrives.
        lost: is told about addresses that cannot be reached by TCP; UDP reports nothing, transactions time out.

    """

    def __init__(self, transport: Literal["udp", "tcp"], host: str, deliver: Deliver, lost: Lost) -> None:
        self.address: Address = (host, 0)
        """Where we are reached; the port is known inside the context."""
        self._transport = transport
        self._deliver = deliver
        self._lost = lost
        self._datagrams: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[Address, asyncio.StreamWriter] = {}
        self._waiting: dict[Address, list[bytes]] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        loop = asyncio.get_running_loop()
        host = self.address[0]
        if self._transport == "udp":
            opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((host, 0))
            opened.setblocking(False)
            self.address = opened.getsockname()[:2]
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._deliver), sock=opened)
        else:
            self._server = await asyncio.start_server(self._accepted, host, 0)
            self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        for writer in list(self._connections.values()):
            writer.close()
        await self._tasks.__aexit__(kind, error, traceback)

    def send(self, data: bytes, to: Address) -> None:
        """Send one message; over TCP it waits for the connection if there is none."""
        if self._datagrams is not None:
            self._datagrams.sendto(data, to)
            return
        writer = self._connections.get(to)
        if writer is not None and not writer.is_closing():
            writer.write(data)
        elif to in self._waiting:
            self._waiting[to].append(data)
        else:
            self._waiting[to] = [data]
            self._spawn(self._connect(to))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _connect(self, to: Address) -> None:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(*to), _CONNECT_S)
        except (OSError, TimeoutError):
            del self._waiting[to]
            self._lost(to)
            return
        self._connections[to] = writer
        for data in self._waiting.pop(to):
            writer.write(data)
        await self._read(reader, writer, to)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source: Address = writer.get_extra_info("peername")[:2]
        self._connections[source] = writer
        await self._read(reader, writer, source)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Address) -> None:
        """Deliver what comes until the connection ends."""
        framer = StreamFramer()
        try:
            while data := await reader.read(_CHUNK):
                for message in framer.feed(data):
                    self._deliver(message, source)
                if framer.pings():
                    writer.write(PONG)
                if framer.error is not None:
                    break
        except ConnectionError:
            pass
        finally:
            if self._connections.get(source) is writer:
                del self._connections[source]
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self._lost(source)
