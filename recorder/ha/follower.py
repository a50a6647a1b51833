"""A standby's side of the feed: follows the active frontend, and remembers what it said when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
import structlog

from recorder.errors import ChannelLostError
from recorder.frames import Streams, framed
from recorder.ha.feed import (
    FRAMES,
    Answered,
    Asked,
    AskPromise,
    CaughtUp,
    Complete,
    Follow,
    Kept,
    Promise,
    Welcome,
    Written,
)
from recorder.ha.replica import Replica
from recorder.ha.writes import decode_write

_log = structlog.get_logger()

_RETRY_S: Final = 0.1

Connect: TypeAlias = Callable[[], Awaitable[Streams]]
"""Opens a connection to the active frontend. Raises OSError."""


class Follower:
    """Follows one active frontend after another.

    Args:
        node: this host.
        connect: see `Connect`.
        wall_clock: for the age of dialogs.
        promise: asked for the promise not to take over; None: this standby never takes over by itself.

    """

    def __init__(
        self,
        node: str,
        connect: Connect,
        *,
        wall_clock: Callable[[], datetime],
        promise: Callable[[], bool] | None = None,
    ) -> None:
        self.replica = Replica()
        """What the last active frontend left; complete, or of epoch 0."""
        self._node, self._connect, self._wall_clock, self._promise = node, connect, wall_clock, promise
        self._heard = asyncio.Event()
        """Set unless an active frontend is being listened to."""
        self._heard.set()

    async def hear_out(self, limit_s: float) -> None:
        """Read what a frontend that has died still said, up to its end; no longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._heard.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                reader, stream = await self._connect()
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                await self._follow(reader, stream)
            except ChannelLostError as error:
                _log.debug("no active frontend to follow", reason=str(error))
            finally:
                self._heard.set()
                stream.close()
                with suppress(OSError):
                    await stream.wait_closed()
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        stream.write(framed(Follow(node=self._node)))
        growing: Replica | None = None
        while True:
            message = await FRAMES.receive(reader)
            now = self._wall_clock()
            replica = growing or self.replica
            match message:
                case Welcome():
                    self._heard.clear()
                    growing = Replica()
                    growing.node, growing.epoch = message.node, message.epoch
                    growing.rivals = frozenset(message.rivals) - {message.node}
                case Kept():
                    replica.put(message.dialog)
                case Complete() if growing:
                    # Only now: the former one would still be whole if this one broke off.
                    self.replica, growing = growing, None
                case Written():
                    with suppress(msgspec.MsgspecError, KeyError):
                        replica.apply(decode_write(message.record), now)
                    replica.told(message.record, now, pending=message.pending)
                case Asked():
                    replica.asked(message.request, now)
                case Answered():
                    replica.answered(message.request_id)
                case CaughtUp():
                    replica.pending.clear()
                case AskPromise():
                    if self._promise and self._promise():
                        stream.write(framed(Promise(number=message.number)))
                case _:
                    raise ChannelLostError(f"{type(message).__name__} was not due")
