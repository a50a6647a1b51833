"""What every child process does: take the settings and the sockets from the supervisor, then do the role's work."""

from __future__ import annotations

import importlib
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

ROLES: Final = {
    "frontend": "recorder.frontend.process",
    "writer": "recorder.writer.process",
    "curator": "recorder.curator.process",
    "api": "recorder.api.process",
    "gateway": "recorder.gateway.process",
}
"""Imported by the fork server when the first of a role is started: writers do not wait for lxml."""


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


def run(role: str, channel: Channel) -> None:
    """Do the work of one role until the supervisor says stop, or is gone."""
    try:
        assignment = receive_assignment(channel)
    except ChannelLostError:
        sys.exit(0)
    importlib.import_module(ROLES[role]).run(assignment)
