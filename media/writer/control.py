"""Connections of frontends: accept, cut into frames, answer; served by the writer's own loop.

Knows the framing and who is connected; what a command does is the engine's business. Loss of every connection changes
nothing for the captures.
"""

from __future__ import annotations

import logging
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from media.writer.engine import Answer
from media.writer.framing import BadFrame, FrameBuffer, decode_command, encode_frame, request_number
from media.writer.protocol import Command, Heartbeat, RefusalReason, Refused, Reply

_log: Final = logging.getLogger(__name__)

_MAX_CONNECTIONS: Final = 32
"""Active and standby frontend, an admin tool, and what is left of dead ones; descriptors are reserved for them."""
_READ: Final = 1 << 16
_MAX_BACKLOG: Final = 8 << 20
"""Bytes that wait for a frontend that does not read; a list of 20,000 sessions is below it. Beyond, it is cut off."""
_SKIP_HEARTBEAT: Final = 1 << 16
"""Backlog at which heartbeats are left out: old ones are worth nothing."""


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = FrameBuffer()
        self.backlog = bytearray()
        self.open = True


class ControlServer:
    """The listening socket and its connections.

    Args:
        listener: listening Unix stream socket.
        poll: the loop's epoll; this object registers its descriptors there.
        handle: carries out one command.
        must_wait: whether a command has to wait now.

    Obligation: call `ready` for each event of a descriptor that `owns` says is ours, and `resume` at every turn.

    """

    def __init__(
        self,
        listener: socket.socket,
        poll: select.epoll,
        handle: Callable[[Command, Answer], None],
        must_wait: Callable[[Command], bool],
    ) -> None:
        self._listener = listener
        self._poll = poll
        self._handle = handle
        self._must_wait = must_wait
        self._waiting = deque[tuple[_Connection, Command]]()
        self._connections: dict[int, _Connection] = {}
        listener.setblocking(False)
        poll.register(listener, select.EPOLLIN)

    def owns(self, fd: int) -> bool:
        """Say whether a descriptor belongs to this object."""
        return fd == self._listener.fileno() or fd in self._connections

    def ready(self, fd: int, events: int) -> None:
        """Accept, read or write, as the descriptor asks for."""
        connection = self._connections.get(fd)
        if connection is None:
            self._accept()
            return
        if events & select.EPOLLOUT:
            self._flush(connection)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and connection.open:
            self._read(connection)

    def resume(self) -> None:
        """Carry out commands that waited, in their order; those of frontends that have gone are forgotten."""
        while self._waiting and not self._must_wait(self._waiting[0][1]):
            connection, command = self._waiting.popleft()
            if connection.open:
                self._carry_out(connection, command)

    def broadcast(self, message: Reply) -> None:
        """Send a message to every frontend."""
        frame = encode_frame(message)
        for connection in list(self._connections.values()):
            if isinstance(message, Heartbeat) and len(connection.backlog) > _SKIP_HEARTBEAT:
                continue
            self._send(connection, frame)

    def close(self) -> None:
        """Close every connection; what waits for slow readers is lost."""
        for connection in list(self._connections.values()):
            self._drop(connection, "writer stops")
        self._poll.unregister(self._listener)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                _log.warning("control connection not accepted", extra={"reason": str(error)})
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            _log.warning("control connection refused", extra={"connections": len(self._connections)})
            sock.close()
            return
        sock.setblocking(False)
        self._connections[sock.fileno()] = _Connection(sock)
        self._poll.register(sock, select.EPOLLIN)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._drop(connection, str(error))
            return
        if not data:
            self._drop(connection, "closed by the frontend")
            return
        try:
            for body in connection.frames.feed(data):
                self._command(connection, body)
        except BadFrame as error:
            self._drop(connection, str(error))

    def _command(self, connection: _Connection, body: bytes) -> None:
        try:
            command = decode_command(body)
        except BadFrame as error:
            # Answer if it can be told which request it was; else the peer speaks something else.
            number = request_number(body)
            self._reply(connection, Refused(request=number, reason=RefusalReason.MALFORMED, detail=str(error)))
            return
        if self._must_wait(command):
            self._waiting.append((connection, command))
            return
        self._carry_out(connection, command)
        # It may have been what they waited for, and the next one must not overtake them.
        self.resume()

    def _carry_out(self, connection: _Connection, command: Command) -> None:
        self._handle(command, lambda reply: self._reply(connection, reply))

    def _reply(self, connection: _Connection, reply: Reply) -> None:
        self._send(connection, encode_frame(reply))

    def _send(self, connection: _Connection, frame: bytes) -> None:
        if not connection.open:
            return
        connection.backlog += frame
        if len(connection.backlog) > _MAX_BACKLOG:
            self._drop(connection, "does not read")
        elif len(connection.backlog) == len(frame):
            # Nothing waited before; otherwise EPOLLOUT is armed and keeps the order.
            self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        try:
            sent = connection.sock.send(connection.backlog)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._drop(connection, str(error))
            return
        del connection.backlog[:sent]
        wanted = select.EPOLLIN | (select.EPOLLOUT if connection.backlog else 0)
        self._poll.modify(connection.sock, wanted)

    def _drop(self, connection: _Connection, reason: str) -> None:
        _log.info("control connection ended", extra={"reason": reason})
        connection.open = False
        del self._connections[connection.sock.fileno()]
        self._poll.unregister(connection.sock)
        connection.sock.close()
