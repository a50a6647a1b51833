"""A child's side of the supervisor channel inside an asyncio loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from recorder.channel import (
    Activate,
    Channel,
    Drain,
    Drained,
    DrainWriter,
    Fatal,
    Message,
    Ready,
    Reload,
    StateChanged,
    Stop,
    WriterDied,
    WriterStuck,
    read_memory,
)
from recorder.errors import ChannelLostError

_log = structlog.get_logger()


class ChildLoop:
    """Turns the supervisor's messages, its death, and SIGTERM into events of this process."""

    def __init__(self, channel: Channel) -> None:
        self.stopped = asyncio.Event()
        """Set by Stop, by SIGTERM, and when the supervisor is gone."""
        self.activated = asyncio.Event()
        """Set when a standby frontend shall become the active one."""
        self.draining = asyncio.Event()
        self.drain_limit_s = 0.0
        """Seconds, valid once `draining` is set."""
        self._channel = channel
        self.on_writer_died: Callable[[str], None] = lambda writer: None
        self.on_drain_writer: Callable[[str, bool], None] = lambda writer, draining: None
        self.on_reload: Callable[[bytes], None] = lambda files: None
        """Gets the encoded `EdgeFiles` in use from now on."""

    def start(self) -> None:
        """Begin to listen; call from inside the running loop."""
        self._channel.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.socket.fileno(), self._read)
        loop.add_signal_handler(signal.SIGTERM, self.stopped.set)
        loop.set_exception_handler(_tell)

    def ready(self) -> None:
        """Tell the supervisor that this process does its work now."""
        self._send(Ready())

    def drained(self) -> None:
        """Tell the supervisor that nothing is left to finish."""
        self._send(Drained())

    def state(self, state: str, **detail: int | float | str) -> None:
        """Tell the supervisor what `recorder-admin status` shall show."""
        self._send(StateChanged(state=state, detail=detail))

    def fatal(self, reason: str) -> None:
        """Tell the supervisor that the recorder has to end, and why."""
        self._send(Fatal(reason=reason))

    def writer_stuck(self, writer: str) -> None:
        """Ask the supervisor to replace a writer that makes no progress."""
        self._send(WriterStuck(writer=writer))

    def _send(self, message: Message) -> None:
        # A supervisor that is gone is noticed by the reader, which ends this process.
        with suppress(ChannelLostError):
            self._channel.send(message)

    def _read(self) -> None:
        try:
            while True:
                message, descriptors = self._channel.receive()
                match message:
                    case Drain():
                        self.drain_limit_s = message.limit_s
                        self.draining.set()
                    case Activate():
                        self.activated.set()
                    case Stop():
                        self.stopped.set()
                    case Reload():
                        self.on_reload(read_memory(descriptors[0]))
                    case DrainWriter():
                        self.on_drain_writer(message.writer, message.draining)
                    case WriterDied():
                        self.on_writer_died(message.writer)
                    case _:
                        pass
        except BlockingIOError:
            return
        except ChannelLostError:
            asyncio.get_running_loop().remove_reader(self._channel.socket.fileno())
            self.stopped.set()


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, RuntimeError) and str(error).endswith("the handler is closed"):
        # Of uvloop, where TLS still has something to write when its connection is lost: no fault of anybody here.
        _log.info("connection was lost before all was written", reason=str(error))
    else:
        loop.default_exception_handler(context)
