"""The active frontend's dialogs, told to its standbys directly: the second store beside the catalog.

The active one listens at a Unix socket that its host's standbys connect to; those of other hosts come by way of the
gateway. A follower first gets every dialog, then every write before the promise that needs it leaves. While the
catalog is away the holder of the lease asks its followers for their promise not to take over.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
import structlog

from recorder.errors import ChannelLostError
from recorder.frames import Frames, framed
from recorder.ha.replica import KeptDialog, Replica, Unanswered
from recorder.ha.writes import Write, encode_write

_log = structlog.get_logger()

_MAX_FRAME: Final = 8 << 20
"""Bytes; a write is a few kilobytes, the largest holds a metadata document."""
_CLOSE_S: Final = 1.0
_LOOK_S: Final = 0.005
_ANSWERED_TOLD_S: Final = 0.05
"""That a request is answered may come so much later: a successor that does not know it yet gives the same answer."""
_MAX_BACKLOG: Final = 64 << 20
"""Bytes that wait for a follower that does not read; beyond, it is cut off and begins anew. Ten thousand dialogs."""


class Follow(msgspec.Struct, frozen=True, kw_only=True, tag="follow"):
    """First message of a follower."""

    node: str


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """First message of the active frontend; the dialogs follow, then `Complete`."""

    node: str
    epoch: int
    rivals: tuple[str, ...] = ()
    """Other hosts whose promise it needs; a follower that cannot read the register needs theirs as well."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """A dialog as it is."""

    dialog: KeptDialog


class Complete(msgspec.Struct, frozen=True, kw_only=True, tag="complete"):
    """All dialogs have been told."""


class Written(msgspec.Struct, frozen=True, kw_only=True, tag="written"):
    """A write of the active frontend."""

    record: bytes
    pending: bool
    """The catalog has not taken it."""


class CaughtUp(msgspec.Struct, frozen=True, kw_only=True, tag="caught-up"):
    """The catalog has taken everything."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """A request is being worked on that nobody repeats."""

    request: Unanswered


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """It is not any more."""

    request_id: str


class AskPromise(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Will you not take over? Answered by `Promise`, or not at all."""

    number: int


class Promise(msgspec.Struct, frozen=True, kw_only=True, tag="promise"):
    """Not for the time of a lease."""

    number: int


Frame = Follow | Welcome | Kept | Complete | Written | CaughtUp | Asked | Answered | AskPromise | Promise
FRAMES: Final = Frames[Frame](msgspec.msgpack.Decoder(Frame), limit=_MAX_FRAME, peer="the other frontend")


class Feed:
    """What the active frontend tells its standbys.

    Args:
        node: this host.
        epoch: of the lease.
        wall_clock: for the age of dialogs.
        rivals: other hosts whose promise is needed.

    """

    def __init__(
        self,
        node: str,
        *,
        epoch: int,
        wall_clock: Callable[[], datetime],
        rivals: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.replica = Replica()
        self.replica.node, self.replica.epoch = node, epoch
        self._node, self._epoch, self._wall_clock, self._rivals = node, epoch, wall_clock, rivals
        self._asked: dict[int, Write] = {}
        """Writes that the catalog was asked to take and has not answered, by identity, oldest first."""
        self._followers: dict[asyncio.StreamWriter, str] = {}
        self._streams: set[asyncio.StreamWriter] = set()
        self._rounds = itertools.count(1)
        self._promises: dict[int, set[str]] = {}
        self._heard = asyncio.Event()
        """Set when a follower has come, or has promised."""
        self._held = b""
        """Frames that are told with the next one, or soon."""
        self._soon: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def serve(self, listener: socket.socket) -> None:
        """Begin to accept followers, once; the socket stays open afterwards for whoever serves next."""
        if self._server:
            return
        self._server = await asyncio.start_unix_server(self._follow, sock=socket.socket(fileno=_duplicate(listener)))

    async def aclose(self) -> None:
        """Stop, and wait until every follower has been left."""
        if self._server:
            self._server.close()
        if self._soon:
            self._soon.cancel()
        self._tell_held()
        for stream in list(self._streams):
            stream.transport.abort()
        # A connection that is cancelled instead ends with a trace in the log (asyncio.streams).
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while self._streams:  # noqa: ASYNC110 - bounded, and nobody else tells
                    await asyncio.sleep(_LOOK_S)

    def followers(self) -> set[str]:
        """Return the hosts whose frontends follow."""
        return set(self._followers.values())

    @property
    def standbys(self) -> int:
        """How many frontends, of this host and others, have been told everything and go on being told."""
        return len(self._followers)

    def publish(self, write: Write, *, pending: bool) -> None:
        """Tell of a write."""
        self.replica.apply(write, self._wall_clock())
        if pending:
            self._asked.pop(id(write), None)
            self.replica.pending.append(encode_write(write))
        else:
            self._asked[id(write)] = write
        if self._followers:  # else it is not worth the encoding
            self._tell(Written(record=encode_write(write), pending=pending))

    def taken(self, write: Write) -> None:
        """Take note that the catalog was asked for a write and has answered."""
        self._asked.pop(id(write), None)

    def caught_up(self) -> None:
        """Tell that the catalog has everything."""
        self.replica.pending.clear()
        self._tell(CaughtUp())

    def asked(self, request: Unanswered) -> None:
        """Tell of a request that nobody repeats, before its 100 leaves or right after."""
        self.replica.asked(request, self._wall_clock())
        self._tell(Asked(request=request))

    def answered(self, request_id: str) -> None:
        """Tell that it needs nobody's care any more; one that was never told of needs no word."""
        if not self.replica.answered(request_id) or not self._followers:
            return
        # A write of its own would wake every standby once more for each call.
        self._held += framed(Answered(request_id=request_id))
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_ANSWERED_TOLD_S, self._tell_held)

    async def promised(self, nodes: Iterable[str], *, limit_s: float) -> bool:
        """Ask the frontends of these hosts not to take over; whether all of them promise within the limit."""
        needed, given = set(nodes), set[str]()
        if not needed:
            return True
        number = next(self._rounds)
        self._promises[number] = given
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                # Those of other hosts come when somebody serves them again: a successor has just begun to.
                await self._until(lambda: needed <= self.followers())
                self._tell(AskPromise(number=number))
                await self._until(lambda: needed <= given)
        del self._promises[number]
        return needed <= given

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._heard.clear()
            await self._heard.wait()

    def _tell(self, message: Frame) -> None:
        if not self._followers:
            return
        self._send(framed(message))

    def _tell_held(self) -> None:
        self._soon = None
        self._send(b"")

    def _send(self, frame: bytes) -> None:
        data, self._held = self._held + frame, b""
        if not data:
            return
        for stream in list(self._followers):
            if stream.transport.get_write_buffer_size() > _MAX_BACKLOG:
                _log.warning("a standby does not read; it has to begin anew", standby=self._followers[stream])
                stream.transport.abort()
            else:
                stream.write(data)

    async def _follow(self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        self._streams.add(stream)
        try:
            first = await FRAMES.receive(reader)
            if not isinstance(first, Follow):
                return
            # No await until the end of the dialogs: what is written in between must come after them.
            stream.write(
                framed(Welcome(node=self._node, epoch=self._epoch, rivals=tuple(self._rivals() | self.followers())))
            )
            for dialog in self.replica.dialogs():
                stream.write(framed(Kept(dialog=dialog)))
            for write in self._asked.values():
                stream.write(framed(Written(record=encode_write(write), pending=False)))
            for record in self.replica.pending:
                stream.write(framed(Written(record=record, pending=True)))
            for request in self.replica.unanswered(self._wall_clock()):
                stream.write(framed(Asked(request=request)))
            stream.write(framed(Complete()))
            self._followers[stream] = first.node
            self._heard.set()
            while True:
                message = await FRAMES.receive(reader)
                if isinstance(message, Promise) and message.number in self._promises:
                    self._promises[message.number].add(first.node)
                    self._heard.set()
        except ChannelLostError:
            # It became active, or it is gone; its supervisor knows which.
            pass
        finally:
            self._followers.pop(stream, None)
            self._streams.discard(stream)
            stream.close()


def _duplicate(listener: socket.socket) -> int:
    return socket.dup(listener.fileno())
