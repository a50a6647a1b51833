"""How the supervisor starts its children: a fork server makes them, and is replaced when it is dead or silent."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog

from recorder.channel import Channel
from recorder.errors import ForkServerLostError
from recorder.fork_server import MAX_MESSAGE, Answer, Failed, Fork, Forked, Load, Loaded, Refused, Request
from recorder.parents import adopting
from recorder.supervisor.starvation import ran_s

_log = structlog.get_logger()
_T = TypeVar("_T")

_LOOK_S: Final = 0.25
_STILL_LOOKS: Final = 20
"""A fork server that owes an answer and has not run between so many looks is frozen. It forks in some 20 ms; an import
takes as long as disk and processor need, but not without running."""
_AGAIN_S: Final = 0.2
"""Wait before the next attempt."""
_ANSWERS: Final = msgspec.msgpack.Decoder(Answer)


class Started(NamedTuple):
    """A new child."""

    pid: int
    """A child of this process, which has to wait for its end."""
    channel: Channel
    """Our end."""


class Starter:
    """Starts children of this process, one after the other. To be closed at the end."""

    def __init__(self) -> None:
        self._server: _ForkServer | None = None
        self._turn = asyncio.Lock()
        self._roles: dict[str, None] = {}
        """Those that were asked for, in this order."""

    async def start(self, role: str, name: str) -> Started:
        """Start a child, however many fork servers that takes.

        Args:
            role: a key of `recorder.role.ROLES`.
            name: what lists of processes call it.

        Raises:
            LookupError: there is no such role.

        """
        started = await self._insist(lambda server: server.fork(role, name))
        self._roles.setdefault(role)
        return started

    async def keep_ready(self, *roles: str) -> None:
        """Have these roles loaded before they are asked for; in a successor, what was started since, too. No end."""
        self._roles.update(dict.fromkeys(roles))
        while self._roles:
            for role in list(self._roles):
                await self._insist(lambda server, role=role: server.load(role))  # type: ignore[misc]
            if self._server:
                await self._server.gone.wait()

    async def close(self) -> None:
        """End the fork server, once nobody waits for a child any more."""
        if self._server:
            self._server.kill()
            await self._server.gone.wait()
            self._server.hang_up()

    async def _insist(self, request: Callable[[_ForkServer], Awaitable[_T]]) -> _T:
        """Ask the fork server, or a successor of it, until there is an answer."""
        while True:
            async with self._turn:
                try:
                    if self._server is None or self._server.lost:
                        self._server = _ForkServer()
                    return await request(self._server)
                except ForkServerLostError as error:
                    _log.error("fork server lost; starting another", reason=str(error))
                except OSError as error:
                    _log.error("no process can be started; trying again", reason=error.strerror)
            await asyncio.sleep(_AGAIN_S)


class _ForkServer:
    """One process of it."""

    def __init__(self) -> None:
        self.lost = False
        """Dead, or killed by us."""
        self.gone = asyncio.Event()
        self._loaded: set[str] = set()
        self._answer: asyncio.Future[bytes] | None = None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: the program of this process, never one that lies in the directory it was started from.
                [sys.executable, "-P", "-m", "recorder.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(self._socket, self._read)

    async def load(self, role: str) -> None:
        """Import what a role needs, unless that is done."""
        if role not in self._loaded:
            await self._ask(Load(role), Loaded)
            self._loaded.add(role)

    async def fork(self, role: str, name: str) -> Started:
        """Make a child.

        Its channel is of this attempt alone: a child that comes too late finds that nobody has the other end.
        """
        await self.load(role)
        ours, theirs = Channel.pair()
        try:
            with theirs.socket, adopting():
                forked = await self._ask(Fork(role, name), Forked, [theirs.socket.fileno()])
        except BaseException:
            ours.close()
            raise
        return Started(forked.pid, ours)

    def kill(self) -> None:
        """End it without asking it."""
        if not self.lost:
            self.lost = True
            self._process.kill()

    def hang_up(self) -> None:
        """Listen no more: neither to it, nor to children of it that come too late."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def _ask(self, request: Request, expected: type[_T], descriptors: Sequence[int] = ()) -> _T:
        asked = self._answer = self._loop.create_future()
        ran, still = ran_s(self._process.pid), 0
        try:
            socket.send_fds(self._socket, [msgspec.msgpack.encode(request)], list(descriptors))
            while not asked.done():
                if still == _STILL_LOOKS:
                    raise ForkServerLostError("it is frozen")
                await asyncio.wait({asked}, timeout=_LOOK_S)
                before, ran = ran, ran_s(self._process.pid)
                still = still + 1 if ran == before else 0
        except OSError as error:
            raise ForkServerLostError(f"it cannot be asked: {error.strerror}") from None
        finally:
            if not asked.done():
                # An answer that is still to come would be taken for that to the next request.
                self.kill()
        return self._meaning(asked.result(), expected)

    def _meaning(self, data: bytes, expected: type[_T]) -> _T:
        match _ANSWERS.decode(data) if data else None:
            case None:
                raise ForkServerLostError("it has ended")
            case Refused(reason):
                raise LookupError(reason)
            case Failed(number):
                raise OSError(number, os.strerror(number))
            case answer if isinstance(answer, expected):
                return answer
            case answer:
                raise ForkServerLostError(f"it answers {answer}")

    def _read(self) -> None:
        try:
            data = self._socket.recv(MAX_MESSAGE)
        except OSError:
            data = b""
        if not data:
            # Also its children hold the other end, until they have answered.
            self.hang_up()
        if self._answer and not self._answer.done():
            self._answer.set_result(data)
        elif data and isinstance(late := _ANSWERS.decode(data), Forked):
            # Its channel is closed, so that it ends by itself; but it is ours, and nobody else waits for its end.
            pidfd = os.pidfd_open(late.pid)
            self._loop.add_reader(pidfd, self._bury, late.pid, pidfd)

    def _bury(self, child: int, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        os.waitpid(child, 0)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
        if not self.lost:
            _log.error("fork server died; starting another", exit_code=code)
        self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_result(b"")
        self.gone.set()
