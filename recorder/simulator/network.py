"""The SIP sockets of the simulator: one UDP port, or connections in both directions, TCP or TLS (RFC 3261 section 18).

Takes and gives whole messages; knows nothing about calls. Connections are opened when there is something to send,
and used again in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.simulator.dialog import Address, TransportName
from signaling.sip import PONG, StreamFramer

Deliver = Callable[[bytes, Address], None]
"""Called with one message and where it came from."""
Lost = Callable[[Address], None]
"""Called when nothing can be sent there: the connection was refused or broke."""

_CONNECT_S = 5.0
_CHUNK = 65_536
_BUFFER = 4 << 20
"""Bytes; the kernel's default holds about ninety messages, and a recorder that moves all calls sends more at once."""


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._deliver(data, (addr[0], addr[1]))


@dataclass(frozen=True, slots=True)
class TlsSide:
    """How the simulator speaks TLS."""

    client: ssl.SSLContext
    """For connections to the recorder."""
    name: str
    """What the recorder's certificate must be good for."""
    server: ssl.SSLContext | None = None
    """For connections of the recorder; without a certificate of our own none are taken."""

    @classmethod
    def of(cls, name: str, *, authorities: Path | None, certificate: Path | None, key: Path | None) -> TlsSide:
        """Read PEM files: who signs the recorder's certificate, and our own pair for mutual TLS.

        Raises:
            OSError: a file cannot be read, or is none of the kind.

        """
        client = ssl.create_default_context(cafile=authorities)
        if certificate is None:
            return cls(client, name)
        client.load_cert_chain(certificate, key)
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate, key)
        return cls(client, name, server)


class SipNetwork:
    """Sends and receives SIP messages; use as an async context manager.

    Args:
        transport: udp, tcp or tls.
        tls: how to speak it; needed for tls only.
        host: local address.
        deliver: gets what arrives.
        lost: is told about addresses that cannot be reached by TCP; UDP reports nothing, transactions time out.

    """

    def __init__(
        self, transport: TransportName, host: str, deliver: Deliver, lost: Lost, tls: TlsSide | None = None
    ) -> None:
        self.address: Address = (host, 0)
        """Where we are reached; the port is known inside the context."""
        self._transport = transport
        self._tls = tls if transport == "tls" else None
        self._unused: socket.socket | None = None
        """Holds the port where nobody may connect."""
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
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            opened.setblocking(False)
            self.address = opened.getsockname()[:2]
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._deliver), sock=opened)
        elif self._tls is not None and self._tls.server is None:
            self._unused = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self._unused.bind((host, 0))
            self.address = self._unused.getsockname()[:2]
        else:
            context = self._tls.server if self._tls else None
            self._server = await asyncio.start_server(self._accepted, host, 0, ssl=context)
            self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()
        if self._unused is not None:
            self._unused.close()
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
            context, name = (self._tls.client, self._tls.name) if self._tls else (None, None)
            opening = asyncio.open_connection(*to, ssl=context, server_hostname=name)
            reader, writer = await asyncio.wait_for(opening, _CONNECT_S)
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
