"""Entry of every child process: take the settings and the sockets from the supervisor, then do the role's work.

Run by the supervisor as ``python -m recorder.role ROLE NAME DESCRIPTOR``; nobody else calls it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recorder.channel import Channel, SocketGrant, Start, read_memory
from recorder.errors import ChannelLostError
from recorder.logs import configure_logging
from recorder.settings import Settings
from recorder.state_dir import StateDir

_PR_SET_PDEATHSIG: Final = 1
_ROLES: Final = {
    "frontend": "recorder.frontend.process",
    "writer": "recorder.writer.process",
    "curator": "recorder.curator.process",
    "api": "recorder.api.process",
    "gateway": "recorder.gateway.process",
}
"""Imported on demand: a writer must not pay for lxml, nor a frontend for numpy's start-up."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the supervisor gave to this process."""

    name: str
    instance: str
    settings: Settings
    dsn: str
    writers: list[str]
    channel: Channel
    sockets: dict[str, list[tuple[int, socket.socket]]] = field(default_factory=dict)
    """Kind to (port, socket); `rtp` lists each port twice, RTP before RTCP."""
    arena: Path | None = None
    """Memory that the supervisor keeps for this writer and its successors."""
    edge: bytes = b""
    """To a frontend: encoded `recorder.edge.files.EdgeFiles`."""

    @property
    def state_dir(self) -> StateDir:
        """The state directory of this host."""
        return StateDir(self.settings.state_dir)


def receive_assignment(channel: Channel) -> Assignment:
    """Read the set-up messages, blocking.

    Raises:
        ChannelLostError: the supervisor died meanwhile.

    """
    start, _ = channel.receive()
    if not isinstance(start, Start):
        raise ChannelLostError("the supervisor speaks another protocol version")
    settings = Settings.model_validate_json(start.settings)
    configure_logging(settings.log, role=start.role, name=start.name)
    sockets: dict[str, list[tuple[int, socket.socket]]] = {}
    arena: Path | None = None
    edge = b""
    for _ in range(start.sockets):
        grant, descriptors = channel.receive()
        if not isinstance(grant, SocketGrant):
            raise ChannelLostError("the supervisor speaks another protocol version")
        if grant.kind == "arena":
            arena = Path(f"/proc/self/fd/{descriptors[0]}")
            continue
        if grant.kind == "edge":
            edge = read_memory(descriptors[0])
            continue
        width = len(descriptors) // len(grant.ports)
        taken = sockets.setdefault(grant.kind, [])
        for position, descriptor in enumerate(descriptors):
            taken.append((grant.ports[position // width], socket.socket(fileno=descriptor)))
    return Assignment(start.name, start.instance, settings, start.dsn, start.writers, channel, sockets, arena, edge)


def main() -> None:
    """Run one role until the supervisor says stop, or is gone."""
    role, _, descriptor = sys.argv[1:4]
    parent = os.getppid()
    # Without its supervisor a child holds sockets that nobody can take over: it ends with it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)
    channel = Channel(socket.socket(fileno=int(descriptor)))
    try:
        assignment = receive_assignment(channel)
    except ChannelLostError:
        sys.exit(0)
    importlib.import_module(_ROLES[role]).run(assignment)


if __name__ == "__main__":
    main()
