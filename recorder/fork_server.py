"""The fork server: has the modules of the roles loaded and forks the supervisor's children from itself (ADR 25).

Run by the supervisor as ``python -P -m recorder.fork_server DESCRIPTOR``; nobody else calls it. It has one thread and
no event loop, ever: a fork copies no other thread, and a lock that one holds stays held in the copy. It knows no
settings and configures no logs: each child gets its own.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from typing import Final, NamedTuple

import msgspec
from setproctitle import setproctitle, setthreadtitle

from recorder.channel import Channel
from recorder.parents import end_with
from recorder.role import ROLES, run

MAX_MESSAGE: Final = 4096
"""Bytes of a request or an answer."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Import what a role needs, so that its forks start at once; answered by `Loaded`."""

    role: str


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Make a child of the supervisor; the child's end of its channel comes with it. Answered by `Forked`.

    The supervisor adopts orphans until it has the answer.
    """

    role: str
    name: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The role's modules are there, or what is wrong with them is on standard error."""


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """From the child itself: it is a child of the supervisor now."""

    pid: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The system does not give another process."""

    number: int
    """As in `errno`."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """There is no such role."""

    reason: str


Request = Load | Fork
Answer = Loaded | Forked | Failed | Refused

_REQUESTS: Final = msgspec.msgpack.Decoder(Request)


class Birth(NamedTuple):
    """What a new child is to be."""

    role: str
    channel: int
    """Descriptor of its end of the channel."""


def serve(endpoint: socket.socket, supervisor: int) -> Birth | None:
    """Answer until the supervisor is gone; in each child it returns what that is to be.

    So a child leaves the loop for good, and ends as any program does: by its return, or by a trace.
    """
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(endpoint, MAX_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        if not data:
            return None
        request = _REQUESTS.decode(data)
        if request.role not in ROLES:
            _answer(endpoint, Refused(f"there is no role {request.role!r}; there are {', '.join(ROLES)}"))
        elif isinstance(request, Load):
            _load(request.role)
            _answer(endpoint, Loaded())
        elif _forked(endpoint, request, supervisor):
            return Birth(request.role, descriptors[0])
        for descriptor in descriptors:
            os.close(descriptor)


def _load(role: str) -> None:
    try:
        importlib.import_module(ROLES[role])
    except Exception:
        # The child will try again, and end by it: the same as with any other fault of a role.
        traceback.print_exc()


def _forked(endpoint: socket.socket, request: Fork, supervisor: int) -> bool:
    """Fork; return True in the child.

    Between us and the child is a process that ends at once: whoever adopts its orphan is the child's parent.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # The pages of what is loaded stay common to all: no collection of a child writes to them.
    gc.freeze()
    try:
        between = os.fork()
    except OSError as error:
        _answer(endpoint, Failed(error.errno or errno.EAGAIN))
        return False
    if between:
        _, status = os.waitpid(between, 0)
        if status:
            _answer(endpoint, Failed(abs(os.waitstatus_to_exitcode(status))))
        return False
    try:
        parent = os.pidfd_open(os.getpid())
        if os.fork():
            os._exit(0)
    except OSError as error:
        os._exit(error.errno or errno.EAGAIN)
    _become(endpoint, request, parent, supervisor)
    return True


def _become(endpoint: socket.socket, request: Fork, parent: int, supervisor: int) -> None:
    """Turn this process from a copy of the fork server into a child of the supervisor."""
    gone = select.poll()
    gone.register(parent, select.POLLIN)
    gone.poll()
    os.close(parent)
    # Without its supervisor a child holds sockets that nobody can take over: it ends with it.
    end_with(supervisor, signal.SIGTERM)
    # A session of its own: Ctrl-C reaches the supervisor alone, which ends the others in the right order.
    os.setsid()
    gc.enable()
    setproctitle(f"recorder: {request.role} {request.name}")
    setthreadtitle(request.name)
    try:
        _answer(endpoint, Forked(os.getpid()))
    except OSError:
        sys.exit(0)
    endpoint.close()


def _answer(endpoint: socket.socket, answer: Answer) -> None:
    endpoint.send(msgspec.msgpack.encode(answer))


def main() -> None:
    """Serve the supervisor; a child goes on with its role."""
    supervisor = os.getppid()
    end_with(supervisor, signal.SIGKILL)
    # OpenBLAS makes its threads when numpy is imported; nothing here is large enough to need them.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # What it frees would be holes in pages that are common to all, and be filled by each child for itself.
    gc.disable()
    birth = serve(socket.socket(fileno=int(sys.argv[1])), supervisor)
    if birth:
        run(birth.role, Channel(socket.socket(fileno=birth.channel)))


if __name__ == "__main__":
    main()
