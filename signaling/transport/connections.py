"""The open TCP and TLS connections, and the opening of new ones, RFC 3261 §18.1.1 and §18.2.2.

Finds a connection by its flow or by the address it leads to; holds messages while one is being opened. Knows no SIP.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from signaling.dialog.flow import Destination, Flow, TransportName
from signaling.transport.limits import StreamLimits
from signaling.transport.resolver import Resolver, is_numeric
from signaling.transport.stream import ConnectionOwner, StreamConnection
from signaling.useragent import Outgoing

_log = logging.getLogger(__name__)

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class ConnectionTable:
    """Connections by number and by remote address.

    Args:
        owner: is told what happens on connections that are opened here.
        limits: of connections.
        resolve: host names to addresses.
        carried: called with each message to a destination and the connection it went by.
        undeliverable: called with each message that could not be sent.

    """

    def __init__(
        self,
        owner: ConnectionOwner,
        *,
        limits: StreamLimits,
        resolve: Resolver,
        carried: Callable[[Outgoing, Flow], None],
        undeliverable: Callable[[Outgoing], None],
    ) -> None:
        self.client_context: ssl.SSLContext | None = None
        """For TLS connections that we open; None refuses to open any."""
        self._owner = owner
        self._limits = limits
        self._resolve = resolve
        self._carried = carried
        self._undeliverable = undeliverable
        self._open: dict[Flow, StreamConnection] = {}
        self._by_remote: dict[tuple[TransportName, str, int], StreamConnection] = {}
        self._leads_to: dict[StreamConnection, list[tuple[TransportName, str, int]]] = {}
        self._waiting: dict[tuple[TransportName, str, int], list[Outgoing]] = {}
        self._numbered = 0
        self._expected = 0
        self._emptied: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """True if no further connection may be opened or accepted."""
        return len(self._open) + len(self._waiting) + self._expected >= self._limits.connections

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Count a connection that is being set up against the limit."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1

    def make(self, name: TransportName, *, outbound: bool) -> StreamConnection:
        """Return a connection object for a socket that is about to be connected."""
        self._numbered += 1
        return StreamConnection(self._owner, name, self._numbered, limits=self._limits, outbound=outbound)

    def add(self, connection: StreamConnection, flow: Flow) -> None:
        """Take in a connection that is open now."""
        self._open[flow] = connection
        self._lead(connection, (flow.transport, *flow.remote))

    def remove(self, connection: StreamConnection, flow: Flow) -> None:
        """Forget a connection that is closed."""
        del self._open[flow]
        for key in self._leads_to.pop(connection, []):
            if self._by_remote.get(key) is connection:
                del self._by_remote[key]
        if not self._open and self._emptied is not None:
            self._emptied.set()

    def send_by(self, outgoing: Outgoing, flow: Flow) -> None:
        """Send by an open connection; what it was opened for is over if it is gone."""
        connection = self._open.get(flow)
        if connection is None or not connection.write(outgoing.data):
            self._undeliverable(outgoing)

    def send_to(self, outgoing: Outgoing, destination: Destination) -> bool:
        """Send to an address; True if `connect` has to be called for it now."""
        key = (destination.transport, destination.host, destination.port)
        connection = self._by_remote.get(key)
        if connection is not None and self._write(connection, outgoing):
            return False
        waiting = self._waiting.get(key)
        if waiting is None:
            if self.is_full:
                _log.warning("no room for another connection", extra={"peer": destination.host})
                self._undeliverable(outgoing)
                return False
            self._waiting[key] = [outgoing]
            return True
        if len(waiting) < self._limits.waiting:
            waiting.append(outgoing)
        else:
            self._undeliverable(outgoing)
        return False

    async def connect(self, destination: Destination) -> None:
        """Open a connection and send what waits for it."""
        key = (destination.transport, destination.host, destination.port)
        try:
            async with asyncio.timeout(self._limits.connect):
                connection = await self._open_connection(destination)
        except (OSError, TimeoutError, UnicodeError) as error:  # the last from host names that are none
            _log.info("cannot connect", extra={"peer": destination.host, "port": destination.port, "error": str(error)})
            self.give_up(destination)
            return
        self._lead(connection, key)
        for outgoing in self._waiting.pop(key, []):
            if not self._write(connection, outgoing):
                self._undeliverable(outgoing)

    def give_up(self, destination: Destination) -> None:
        """Report everything that waits for a connection which cannot be opened."""
        for outgoing in self._waiting.pop((destination.transport, destination.host, destination.port), []):
            self._undeliverable(outgoing)

    def close_idle(self, now: float) -> None:
        """Close connections that were silent, or have been in the middle of a message, for too long."""
        for connection in list(self._open.values()):
            since = connection.incomplete_since
            stuck = since is not None and now - since > self._limits.incomplete
            if stuck or now - connection.last_received > self._limits.idle:
                connection.close()

    def close_all(self) -> None:
        """Close every connection after what is queued has been sent."""
        for connection in list(self._open.values()):
            connection.close()

    async def wait_closed(self) -> None:
        """Wait until no connection is open."""
        if self._open:
            self._emptied = asyncio.Event()
            await self._emptied.wait()

    def abort_all(self) -> None:
        """Cut the connections that did not close."""
        for connection in list(self._open.values()):
            connection.abort()

    def _write(self, connection: StreamConnection, outgoing: Outgoing) -> bool:
        if connection.flow is None or not connection.write(outgoing.data):
            return False
        self._carried(outgoing, connection.flow)
        return True

    def _lead(self, connection: StreamConnection, key: tuple[TransportName, str, int]) -> None:
        """Let messages to the address or name `key` go by `connection`."""
        self._by_remote[key] = connection
        self._leads_to.setdefault(connection, []).append(key)

    async def _open_connection(self, destination: Destination) -> StreamConnection:
        context = None
        if destination.transport == "tls":
            if self.client_context is None:
                raise OSError("no TLS context for connections of ours")
            context = self.client_context
        numeric = is_numeric(destination.host)
        address = (destination.host, destination.port) if numeric else await self._resolve(destination)
        local = destination.local
        source = None if local is None or local[0] in WILDCARDS else (local[0], 0)
        loop = asyncio.get_running_loop()

        async def attempt(bind_to: tuple[str, int] | None) -> StreamConnection:
            _, connection = await loop.create_connection(
                lambda: self.make(destination.transport, outbound=True),
                *address,
                local_addr=bind_to,
                ssl=context,
                server_hostname=destination.host if context is not None else None,
            )
            return connection

        try:
            return await attempt(source)
        except OSError as error:
            # The address was another host's before a takeover, or is of the other family.
            if source is None or error.errno not in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT, None):
                raise
            return await attempt(None)
