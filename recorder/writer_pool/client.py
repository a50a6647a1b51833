"""Connection to one writer: pipelined commands, heartbeats, and reconnection for as long as the writer exists."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import structlog

from media.writer.protocol import (
    MAX_MESSAGE,
    CloseSession,
    Command,
    Heartbeat,
    ListSessions,
    ModifySession,
    OpenSession,
    Refused,
    Reply,
    SessionClosed,
    SessionFailed,
    SessionList,
    SessionModified,
    SessionOpened,
    SessionsSettled,
    SettleSessions,
    StreamReport,
    StreamSpec,
)
from recorder import unix_socket
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frames import Frames, Streams, framed

_log = structlog.get_logger()

_FRAMES: Final = Frames[Reply](msgspec.msgpack.Decoder(Reply), limit=MAX_MESSAGE, peer="the writer")
ReplyT = TypeVar("ReplyT")


class _Asked(NamedTuple):
    answer: asyncio.Future[Reply]
    at: float
    """Monotonic seconds."""


Connect: TypeAlias = Callable[[], Awaitable[Streams]]
"""Opens a connection to the writer. Raises OSError."""
_RETRY_S: Final = 0.05
"""Between two attempts to connect; a replacement writer takes a few hundred milliseconds to start."""


class WriterClient:
    """Commands for one writer. `run` keeps the connection; every command fails fast while there is none."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        epoch: Callable[[], int],
        on_connected: Callable[[WriterClient], None],
        on_session_failed: Callable[[WriterClient, SessionFailed], None],
        clock: Callable[[], float],
        timeout_s: float = 2.0,
    ) -> None:
        self.name = name
        self.connected = False
        """The writer has answered on this connection. A connection alone proves nothing: the supervisor keeps the
        listening socket, so that one can wait in its queue for a writer that is still starting."""
        self.connections = 0
        """Made so far: over another one than before, the writer may have been replaced."""
        self.reconciled = asyncio.Event()
        """Set by the active frontend once this writer has all its sessions; cleared when the connection is lost."""
        self.beating = asyncio.Event()
        """Set while there is a connection and a heartbeat has come over it."""
        self.heartbeat: Heartbeat | None = None
        self.heartbeat_at = 0.0
        """Monotonic seconds of the last heartbeat that showed progress."""
        self._connect = connect
        self._epoch = epoch
        self._on_connected, self._on_session_failed = on_connected, on_session_failed
        self._clock = clock
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Asked] = {}
        """In the order in which they were asked."""
        self._opened_at = 0.0
        self._stream: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Connect, read, and connect again, until cancelled."""
        while True:
            try:
                reader, self._stream = await self._connect()
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            self._opened_at = self._clock()
            self.connections += 1
            try:
                self._greet(self._stream)
                await self._read(reader)
            except ChannelLostError as error:
                _log.warning("connection to writer lost", writer=self.name, reason=str(error))
            finally:
                self._disconnect()

    def drop(self) -> None:
        """Give the connection up: its host is lost, and commands have to fail now instead of waiting for it."""
        if self._stream:
            self._stream.transport.abort()
            self._disconnect()

    def _disconnect(self) -> None:
        self.connected, self.heartbeat = False, None
        self.beating.clear()
        self.reconciled.clear()
        if self._stream:
            self._stream.close()
            self._stream = None
        lost = ChannelLostError(f"connection to {self.name} lost")
        for waiter, _ in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(lost)
                # An asker that was cancelled meanwhile never looks; that is no error of anybody's.
                waiter.exception()
        self._waiting.clear()

    def _greet(self, stream: asyncio.StreamWriter) -> None:
        """Ask for something whose answer nobody needs: it comes as soon as the writer reads its connections."""
        stream.write(framed(ListSessions(request=next(self._numbers), epoch=self._epoch())))

    def silent_for(self, *, starting: bool) -> float:
        """Return the seconds without progress of the writer, or, if `starting`, without any sign of its start."""
        if self._stream is None or self.connected is starting:
            return 0.0
        return self._clock() - (self._opened_at if starting else self.heartbeat_at)

    def owing_for(self) -> float:
        """Return the seconds for which the writer has owed an answer."""
        oldest = next(iter(self._waiting.values()), None)
        return self._clock() - oldest.at if oldest else 0.0

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            message = await _FRAMES.receive(reader)
            if not self.connected:
                self.connected = True
                self.heartbeat_at = self._clock()
                self._on_connected(self)
            match message:
                case Heartbeat():
                    if self.heartbeat is None or message.progress > self.heartbeat.progress:
                        self.heartbeat_at = self._clock()
                    self.heartbeat = message
                    self.beating.set()
                    if message.standstill and self.reconciled.is_set():
                        self._on_connected(self)
                case SessionFailed():
                    self._on_session_failed(self, message)
                case _:
                    asked = self._waiting.pop(message.request, None)
                    if asked and not asked.answer.done():
                        asked.answer.set_result(message)

    async def _ask(self, command: Command) -> Reply:
        if self._stream is None:
            raise ChannelLostError(f"no connection to {self.name}")
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._stream.write(framed(command))
        self._waiting[command.request] = _Asked(waiter, self._clock())
        limit = waiter.get_loop().call_later(self._timeout_s, self._give_up, waiter)
        try:
            reply = await waiter
        finally:
            limit.cancel()
            self._waiting.pop(command.request, None)
        if isinstance(reply, Refused):
            raise WriterRefusedError(self.name, reply.reason, reply.detail)
        return reply

    def _give_up(self, waiter: asyncio.Future[Reply]) -> None:
        if not waiter.done():
            waiter.set_exception(ChannelLostError(f"{self.name} did not answer within {self._timeout_s} s"))

    async def open(
        self, session: str, descriptor: dict[str, object], streams: list[StreamSpec], *, adopt: bool = False
    ) -> SessionOpened:
        """Start a capture.

        Raises:
            WriterRefusedError: the writer said no, and why.
            ChannelLostError: nobody knows; the writer is gone or silent.

        """
        reply = await self._ask(
            OpenSession(
                request=next(self._numbers),
                epoch=self._epoch(),
                session=session,
                descriptor=descriptor,
                streams=streams,
                adopt=adopt,
            )
        )
        return _expect(reply, SessionOpened)

    async def modify(self, session: str, streams: list[StreamSpec], cause: str) -> SessionModified:
        """Put a new stream table in force; errors as `open`."""
        reply = await self._ask(
            ModifySession(
                request=next(self._numbers), epoch=self._epoch(), session=session, streams=streams, cause=cause
            )
        )
        return _expect(reply, SessionModified)

    async def close(self, session: str, cause: str) -> SessionClosed:
        """End a capture and make it durable; errors as `open`."""
        reply = await self._ask(
            CloseSession(request=next(self._numbers), epoch=self._epoch(), session=session, cause=cause)
        )
        return _expect(reply, SessionClosed)

    async def sessions(self) -> SessionList:
        """Ask what the writer is capturing; errors as `open`."""
        return await self._list("")

    async def settle(self, standstill: int, untold: list[str]) -> None:
        """Say of which sessions something was agreed that the writer was not told; errors as `open`."""
        reply = await self._ask(
            SettleSessions(request=next(self._numbers), epoch=self._epoch(), standstill=standstill, untold=untold)
        )
        _expect(reply, SessionsSettled)

    async def received(self, capture: str) -> list[StreamReport]:
        """Ask what the streams of one capture have received, none if it does not run; errors as `open`."""
        running = await self._list(capture)
        return [stream for summary in running.sessions for stream in summary.streams]

    async def _list(self, session: str) -> SessionList:
        reply = await self._ask(ListSessions(request=next(self._numbers), epoch=self._epoch(), session=session))
        return _expect(reply, SessionList)


def over_unix(path: Path) -> Connect:
    """Return how to connect to a writer of this host."""

    async def connect() -> Streams:
        return await unix_socket.open_streams(path)

    return connect


def _expect(reply: Reply, kind: type[ReplyT]) -> ReplyT:
    if not isinstance(reply, kind):
        raise ChannelLostError(f"writer answered {type(reply).__name__} where {kind.__name__} was due")
    return reply
