"""One process under the supervisor's watch."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from recorder.channel import Channel, Drained, Fatal, Message, Ready, StateChanged, WriterStuck
from recorder.errors import ChannelLostError
from recorder.supervisor.starter import Starter
from recorder.supervisor.starvation import Doubt, Watched

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits before restart number 1, 2, ...: the first is immediate, because packets wait in the kernel meanwhile."""
_STUCK_S: Final = 0.4
"""More than what one word about it takes, less than two."""
_STABLE_S: Final = 60.0
"""A child that lived this long starts its series of restarts anew."""


@dataclass(slots=True)
class Child:
    """A role of the recorder, in whichever process it runs at the moment."""

    role: str
    name: str
    on_exit: Callable[[Child, int], None]
    on_message: Callable[[Child, Message], None]
    state: str = "starting"
    detail: dict[str, int | float | str] = field(default_factory=dict)
    restarts: int = 0
    pid: int | None = None
    """While it runs."""
    channel: Channel | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Watched = field(default_factory=lambda: Watched(0))
    """Since the last message from the process, or its start."""
    stuck: Doubt = field(default_factory=lambda: Doubt(_STUCK_S))
    """What others say of it."""
    _pidfd: int = -1
    _started: float = 0.0
    _failures: int = 0

    async def start(self, starter: Starter) -> Channel:
        """Start the process and return our end of its channel; the caller sends `Start` and the sockets."""
        for event in (self.ready, self.drained, self.exited):
            event.clear()
        self.state, self.detail = "starting", {}
        self.pid, self.channel = await starter.start(self.role, self.name)
        self._started = time.monotonic()
        self.heard, self.stuck = Watched(self.pid), Doubt(_STUCK_S)
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        return self.channel

    def listen(self) -> None:
        """Begin to read the channel; called once the blocking set-up messages are sent."""
        if self.channel:
            self.channel.socket.setblocking(False)
            asyncio.get_running_loop().add_reader(self.channel.socket, self._read)

    def restart_delay(self) -> float:
        """Return the seconds to wait before the next start, and count it."""
        if time.monotonic() - self._started > _STABLE_S:
            self._failures = 0
        delay = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        self.restarts += 1
        return delay

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send to the child; a message to a dead one is dropped, its exit is reported anyway."""
        if self.channel:
            with suppress(ChannelLostError):
                self.channel.send(message, descriptors)

    def kill(self) -> None:
        """End the process without asking it."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        if self.channel is None:
            return
        try:
            while True:
                message, _ = self.channel.receive()
                self._take(message)
        except BlockingIOError:
            return
        except ChannelLostError:
            # The exit arrives by the pidfd; only stop spinning on a closed channel.
            asyncio.get_running_loop().remove_reader(self.channel.socket)

    def _take(self, message: Message) -> None:
        self.heard = Watched(self.pid or 0)
        match message:
            case Ready():
                self.ready.set()
                if self.state == "starting":
                    self.state = "running"
            case StateChanged():
                self.state, self.detail = message.state, message.detail
            case Drained():
                self.drained.set()
            case WriterStuck() | Fatal():
                # Acted upon by the supervisor, which alone knows what they mean for the others.
                pass
            case _:
                _log.error("unexpected message from a child", child=self.name, message=type(message).__name__)
        self.on_message(self, message)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        pid, self.pid = self.pid, None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0
        if self.channel:
            loop.remove_reader(self.channel.socket)
            self.channel.close()
        self.channel = None
        self.state = "dead"
        self.exited.set()
        # Whoever waits for these must not wait for a process that is gone.
        self.ready.set()
        self.drained.set()
        self.on_exit(self, code)
