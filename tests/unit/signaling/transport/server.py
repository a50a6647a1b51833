"""A user agent on loopback sockets, and peers that speak to it with plain sockets."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from signaling.transport import Resolver, SipTransport, StreamLimits, resolve_host
from signaling.useragent import Event, Identity, Timers, UserAgent

PATIENCE = 30.0
"""Seconds that a test waits for something before it fails."""


def listening(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> socket.socket:
    """Return a bound socket, as a supervisor hands it over."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0))
    if kind is socket.SOCK_STREAM:
        sock.listen(128)
    return sock


@dataclass
class Served:
    """What the test needs of a running transport."""

    agent: UserAgent
    transport: SipTransport
    udp: list[socket.socket]
    tcp: list[socket.socket]
    tls: list[socket.socket]
    events: list[Event] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def port(self, kind: str) -> int:
        return int(getattr(self, kind)[0].getsockname()[1])

    async def event(self, wanted: type[Event]) -> Event:
        """Wait for an event of one type and take it out."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.events:
                    if isinstance(event, wanted):
                        self.events.remove(event)
                        return event
                self.told.clear()
                await self.told.wait()


@asynccontextmanager
async def serving(
    *,
    udp_host: str = "127.0.0.1",
    answer: Callable[[Served, Event], None] | None = None,
    limits: StreamLimits | None = None,
    server_context: ssl.SSLContext | None = None,
    client_context: ssl.SSLContext | None = None,
    timers: Timers | None = None,
    resolve: Resolver = resolve_host,
) -> AsyncIterator[Served]:
    """Run a transport on fresh sockets until the block ends."""
    udp, tcp, tls = listening(socket.SOCK_DGRAM, udp_host), listening(), listening()
    tokens = itertools.count(1)
    agent = UserAgent(
        Identity("127.0.0.1", port=tcp.getsockname()[1], tls_port=tls.getsockname()[1], stamp="t"),
        timers=timers or Timers(),
        token=lambda: f"token{next(tokens):04d}",
    )
    served: Served

    def deliver(events: list[Event]) -> None:
        served.events += events
        served.told.set()
        for event in events:
            if answer is not None:
                answer(served, event)

    transport = SipTransport(
        agent, deliver=deliver, limits=limits or StreamLimits(), tls_client=client_context, resolve=resolve
    )
    served = Served(agent, transport, [udp], [tcp], [tls])
    await transport.serve(udp=[udp], tcp=[tcp], tls=[] if server_context is None else [(tls, server_context)])
    try:
        yield served
    finally:
        await transport.aclose()
        for sock in (udp, tcp, tls):
            sock.close()


async def datagram(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    """Wait for one datagram; uvloop has no `sock_recvfrom`."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock.fileno(), readable.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await readable.wait()
    finally:
        loop.remove_reader(sock.fileno())
    data, source = sock.recvfrom(65535)
    return data, source[:2]


class Datagrams:
    """A peer on UDP."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = listening(socket.SOCK_DGRAM, host)
        self.socket.setblocking(False)
        self.address = (host, port)
        self.port = int(self.socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.address)

    async def receive(self) -> tuple[bytes, tuple[str, int]]:
        return await datagram(self.socket)


class Stream:
    """A peer on TCP or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int, context: ssl.SSLContext | None = None) -> Stream:
        async with asyncio.timeout(PATIENCE):
            name = None if context is None else "localhost"
            return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))

    @property
    def local(self) -> tuple[str, int]:
        name = self.writer.get_extra_info("sockname")
        return name[0], name[1]

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def message(self) -> bytes:
        """Read one message with its body."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def closed(self) -> bool:
        """Wait for the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
