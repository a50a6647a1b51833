"""The asyncio adapter of the user agent: sockets in, sockets out, one timer, RFC 3261 §18.

Knows no rule of the protocol: it moves bytes, reports what could not be moved, and calls back when time has passed.
Sockets may be inherited from a supervisor; nothing is read before `serve`, so that a standby can hold them unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from signaling.dialog.flow import Address, Destination, Flow, TransportName
from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.transport.connections import ConnectionTable
from signaling.transport.datagram import DatagramEndpoint
from signaling.transport.limits import StreamLimits
from signaling.transport.resolver import Resolver, is_numeric, resolve_host
from signaling.transport.stream import StreamConnection
from signaling.useragent import Event, Outgoing, UserAgent

_log = logging.getLogger(__name__)

ACCEPT_BATCH: Final = 64
"""Connections taken in one turn of the loop."""
OUT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
SWEEPS: Final = 4
"""Looks for idle connections within the shortest of the two limits."""
CLOSING: Final = 1.0
"""Seconds that connections get to send what is queued when we stop."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with time zero: the peer sees a reset and turns elsewhere at once."""


class SipTransport:
    """Runs a `UserAgent` on real sockets. Everything happens in the thread of the running loop.

    Args:
        agent: the user agent; nobody else may call its transport side.
        deliver: called with the events of the agent, in order; it may call the agent's commands.
        clock: monotonic seconds, the time base of the agent.
        limits: of connections.
        resolve: host names to addresses.
        tls_client: for TLS connections that we open; without one none are opened.

    """

    def __init__(
        self,
        agent: UserAgent,
        *,
        deliver: Callable[[list[Event]], None],
        clock: Callable[[], float] = time.monotonic,
        limits: StreamLimits = StreamLimits(),  # noqa: B008 - frozen
        resolve: Resolver = resolve_host,
        tls_client: ssl.SSLContext | None = None,
    ) -> None:
        self._agent = agent
        self._deliver = deliver
        self._clock = clock
        self._limits = limits
        self._resolve = resolve
        self._connections = ConnectionTable(
            self, limits=limits, resolve=resolve, carried=agent.carried, undeliverable=self._not_sent
        )
        self._connections.client_context = tls_client
        self._endpoints: list[DatagramEndpoint] = []
        self._listeners: list[socket.socket] = []
        self._contexts: dict[int, ssl.SSLContext] = {}
        """TLS contexts by descriptor of the listening socket."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._sweep: asyncio.TimerHandle | None = None
        self._flushing = False
        self._tasks = asyncio.TaskGroup()
        self._runner: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._serving = False

    @property
    def connections(self) -> int:
        """Number of open TCP and TLS connections."""
        return len(self._connections)

    async def serve(
        self,
        *,
        udp: Sequence[socket.socket] = (),
        tcp: Sequence[socket.socket] = (),
        tls: Sequence[tuple[socket.socket, ssl.SSLContext]] = (),
    ) -> None:
        """Begin to read; returns at once. Sockets are bound, TCP and TLS ones listening. Call once.

        Raises:
            LocalProtocolError: it serves already.

        """
        if self._runner is not None:
            raise LocalProtocolError("the transport serves already")
        loop = asyncio.get_running_loop()
        started = loop.create_future()
        self._runner = loop.create_task(self._run(started), name="sip-transport")
        await started
        for sock in udp:
            endpoint = DatagramEndpoint(sock, receive=self._receive_datagram, after_batch=self.flush)
            self._endpoints.append(endpoint)
            endpoint.start()
        for sock in tcp:
            self._listen(sock)
        for sock, context in tls:
            self._contexts[sock.fileno()] = context
            self._listen(sock)
        self._schedule_sweep()
        self._serving = True
        self.flush()

    def use_tls_context(self, context: ssl.SSLContext) -> None:
        """Use another certificate from the next inbound connection on; open connections keep theirs."""
        for descriptor in self._contexts:
            self._contexts[descriptor] = context

    def use_tls_client_context(self, context: ssl.SSLContext | None) -> None:
        """Use another context for connections that we open from now on."""
        self._connections.client_context = context

    def flush(self) -> None:
        """Send what the agent wants to send, deliver its events, and re-arm the timer. Call it after commands."""
        if self._flushing:
            return  # the loop below goes on until nothing is left
        self._flushing = True
        try:
            while True:
                # Until sockets are there, messages wait in the agent.
                outgoing = self._agent.outgoing() if self._serving else []
                events = self._agent.events()
                if not outgoing and not events:
                    break
                for message in outgoing:
                    self._send(message)
                if events:
                    self._deliver(events)
        finally:
            self._flushing = False
            self._rearm()

    def receive_again(self, data: bytes, flow: Flow) -> None:
        """Take a datagram that another process has received, and died over."""
        self._receive_datagram(data, flow)
        self.flush()

    async def aclose(self, *, close_listening: bool = False) -> None:
        """Stop reading, close connections, and end all tasks.

        Args:
            close_listening: close UDP and listening sockets too; by default they stay open for whoever reads next.

        """
        self._serving = False
        for endpoint in self._endpoints:
            endpoint.stop()
            if close_listening:
                endpoint.close()
        self._endpoints.clear()
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
            if close_listening:
                listener.close()
        self._listeners.clear()
        for handle in (self._timer, self._sweep):
            if handle is not None:
                handle.cancel()
        self._timer = self._sweep = None
        self._connections.close_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._connections.wait_closed()
        self._connections.abort_all()
        self._stop.set()
        if self._runner is not None:
            await self._runner

    # --- what connections call --------------------------------------------------------------------------------------

    def connection_opened(self, connection: StreamConnection, flow: Flow) -> None:
        """Take a connection in."""
        self._connections.add(connection, flow)

    def messages_received(self, messages: list[bytes], flow: Flow) -> None:
        """Hand messages to the agent."""
        now = self._clock()
        for message in messages:
            self._agent.receive(message, flow, now)
        self.flush()

    def stream_broken(self, error: SipSyntaxError, flow: Flow) -> None:
        """Let the agent answer the message that ended the stream."""
        self._agent.refuse(error, flow)
        self.flush()

    def connection_closed(self, connection: StreamConnection, flow: Flow) -> None:
        """Tell the agent."""
        self._connections.remove(connection, flow)
        # Connections that close because we stop are no news for dialogs: somebody else goes on with them.
        if self._serving:
            self._agent.flow_closed(flow, self._clock())
            self.flush()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _run(self, started: asyncio.Future[None]) -> None:
        """Own every task of the transport, from `serve` to `aclose`."""
        async with self._tasks:
            started.set_result(None)
            await self._stop.wait()
            for task in self._running:
                task.cancel()

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._tasks.create_task(_contained(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _listen(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._accept, sock)
        self._listeners.append(sock)

    def _accept_again(self, listener: socket.socket) -> None:
        if self._serving:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        context = self._contexts.get(listener.fileno())
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.warning("cannot accept a connection", extra={"error": str(error)})
                if error.errno in OUT_OF_RESOURCES:
                    # The socket would stay readable: wait instead of turning the loop at full speed.
                    loop = asyncio.get_running_loop()
                    loop.remove_reader(listener.fileno())
                    loop.call_later(self._limits.accept_pause, self._accept_again, listener)
                return
            if self._connections.is_full:
                _log.warning("connection limit is reached", extra={"peer": peer[0]})
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                accepted.close()
                continue
            accepted.setblocking(False)
            self._spawn(partial(self._adopt, accepted, context))

    async def _adopt(self, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        """Make a connection of an accepted socket; with TLS this takes the handshake."""
        name: TransportName = "tcp" if context is None else "tls"
        loop = asyncio.get_running_loop()
        try:
            with self._connections.expecting():
                await loop.connect_accepted_socket(
                    lambda: self._connections.make(name, outbound=False),
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=None if context is None else self._limits.handshake,
                )
        except (OSError, TimeoutError) as error:
            _log.info("connection failed before its first message", extra={"error": str(error)})
            accepted.close()

    def _receive_datagram(self, data: bytes, flow: Flow) -> None:
        self._agent.receive(data, flow, self._clock())

    def _send(self, outgoing: Outgoing) -> None:
        target = outgoing.flow
        if isinstance(target, Flow) and target.reliable:
            self._connections.send_by(outgoing, target)
        elif isinstance(target, Flow):
            self._send_datagram(outgoing, target.remote, target.local)
        elif target.reliable:
            if self._connections.send_to(outgoing, target):
                self._spawn(partial(self._connections.connect, target))
        elif is_numeric(target.host):
            self._send_datagram(outgoing, (target.host, target.port), target.local)
        else:
            self._spawn(partial(self._resolve_and_send, outgoing, target))

    def _send_datagram(self, outgoing: Outgoing, remote: Address, local: Address | None) -> None:
        endpoint = self._endpoint_for(remote, local)
        if endpoint is None:
            self._not_sent(outgoing)
            return
        try:
            endpoint.send(outgoing.data, remote, local)
        except OSError as error:
            _log.info("cannot send a datagram", extra={"peer": remote[0], "port": remote[1], "error": str(error)})
            self._not_sent(outgoing)

    def _endpoint_for(self, remote: Address, local: Address | None) -> DatagramEndpoint | None:
        """Choose the socket whose address the message was sent to; else any that reaches the peer."""
        fitting = [endpoint for endpoint in self._endpoints if endpoint.serves(remote[0])]
        for endpoint in fitting:
            if local is not None and endpoint.bound == local:
                return endpoint
        for endpoint in fitting:
            if local is not None and endpoint.is_wildcard and endpoint.bound[1] == local[1]:
                return endpoint
        return fitting[0] if fitting else None

    async def _resolve_and_send(self, outgoing: Outgoing, destination: Destination) -> None:
        try:
            async with asyncio.timeout(self._limits.connect):
                remote = await self._resolve(destination)
        except (OSError, TimeoutError, UnicodeError) as error:
            _log.info("cannot resolve", extra={"peer": destination.host, "error": str(error)})
            self._not_sent(outgoing)
            return
        self._send_datagram(outgoing, remote, destination.local)

    def _not_sent(self, outgoing: Outgoing) -> None:
        self._agent.undeliverable(outgoing, self._clock())
        self.flush()

    def _rearm(self) -> None:
        """Let one timer run for the agent's deadline. One that fires early is harmless, so it is moved only forward."""
        deadline = self._agent.deadline
        if not self._serving or deadline is None:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0.0, deadline - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._agent.handle_timer(self._clock())
        self.flush()

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(min(self._limits.idle, self._limits.incomplete) / SWEEPS, self._on_sweep)

    def _on_sweep(self) -> None:
        self._connections.close_idle(asyncio.get_running_loop().time())
        self._schedule_sweep()


async def _contained(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run one connection's task so that its failure stays its own: the task group would end all others with it."""
    try:
        await work()
    except Exception:
        _log.exception("a task of the SIP transport failed")
