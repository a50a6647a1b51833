"""One TCP or TLS connection: framing in, bytes out, keep-alive, RFC 3261 §18.3 and RFC 5626 §4.4.1.

Does not open connections and keeps no table of them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from signaling.dialog.flow import Flow, TransportName
from signaling.errors import SipSyntaxError
from signaling.sip import PONG, StreamFramer
from signaling.transport.limits import StreamLimits
from signaling.transport.resolver import plain_address


class ConnectionOwner(Protocol):
    """Who is told about connections."""

    def connection_opened(self, connection: StreamConnection, flow: Flow) -> None:
        """Take note that `flow` is usable."""

    def messages_received(self, messages: list[bytes], flow: Flow) -> None:
        """Process whole messages, in order."""

    def stream_broken(self, error: SipSyntaxError, flow: Flow) -> None:
        """Answer what can be answered; the connection is closed afterwards."""

    def connection_closed(self, connection: StreamConnection, flow: Flow) -> None:
        """Take note that `flow` is gone."""


class StreamConnection(asyncio.Protocol):
    """A connection, opened by us or by the peer.

    Args:
        owner: is told what happens.
        name: tcp or tls.
        number: unique while the process lives.
        limits: of connections.
        outbound: True if we opened it.

    """

    def __init__(
        self, owner: ConnectionOwner, name: TransportName, number: int, *, limits: StreamLimits, outbound: bool
    ) -> None:
        self.flow: Flow | None = None
        """Set once the connection is open."""
        self.outbound = outbound
        self.last_received = 0.0
        """Loop time of the latest byte."""
        self.incomplete_since: float | None = None
        """Loop time since which a message is arriving, or None."""
        self._owner = owner
        self._name = name
        self._number = number
        self._limits = limits
        self._framer = StreamFramer(max_message=limits.message)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn both addresses."""
        # Stream sockets get stream transports; those of uvloop are not registered as asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if not local or not remote:
            self._transport.abort()  # the peer was gone before we looked
            return
        self.flow = Flow(self._name, plain_address(local), plain_address(remote), self._number)
        self.last_received = asyncio.get_running_loop().time()
        self._owner.connection_opened(self, self.flow)

    def data_received(self, data: bytes) -> None:
        """Cut messages out of the stream; answer keep-alives."""
        if self.flow is None:
            return  # the connection is being cut
        now = asyncio.get_running_loop().time()
        self.last_received = now
        messages = self._framer.feed(data)
        if messages:
            self.incomplete_since = None
        elif self.incomplete_since is None and data.strip(b"\r\n"):
            self.incomplete_since = now
        if self._framer.pings():
            self.write(PONG)
        if messages:
            self._owner.messages_received(messages, self.flow)
        if self._framer.error is not None:
            self._owner.stream_broken(self._framer.error, self.flow)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._transport = None
        if self.flow is not None:
            self._owner.connection_closed(self, self.flow)

    def write(self, data: bytes) -> bool:
        """Queue bytes for the peer; False if the connection is closing, or is cut because the peer does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > self._limits.unsent:
            transport.abort()
            return False
        transport.write(data)
        return True

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
