"""What each process of the host is granted: the sockets and arenas that have to outlive it.

They are bound once and stay open for as long as the supervisor lives; a process that is started again gets the same.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import NamedTuple

from recorder import unix_socket
from recorder.channel import grants_needed
from recorder.settings import Settings
from recorder.state_dir import StateDir
from recorder.supervisor import sockets
from recorder.supervisor.rings import Rings


class Grant(NamedTuple):
    """Descriptors of one kind, in groups that belong together."""

    kind: str
    groups: list[tuple[int, ...]]
    ports: list[int]
    """One for each group; 0 where it has none."""

    @property
    def messages(self) -> int:
        """Number of messages that it takes to hand it over."""
        return grants_needed(len(self.groups), len(self.groups[0]))


class Grants:
    """Every socket of the host, bound when this is made.

    Raises:
        SetupError: an address is not to be had.

    """

    def __init__(self, settings: Settings, state_dir: StateDir, *, writers: Iterable[str]) -> None:
        self._kept: list[socket.socket] = []
        sockets.reserve_descriptors(settings.media)
        self._frontend = self._sip(settings)
        http, gateway = sockets.bind_http(settings.http), sockets.bind_gateway(settings.ha)
        self._others = {
            "api": [self._one("http", http, settings.http.port)] if http else [],
            "gateway": [self._one("gateway", gateway)] if gateway else [],
        }
        pairs = _shares(sockets.bind_media(settings.media), list(writers))
        self._rings = Rings(settings.media, pairs)
        for name, mine in pairs.items():
            self._others[name] = [
                self._one("control", unix_socket.listen(state_dir.writer_socket(name))),
                Grant("arena", [(os.memfd_create(name),)], [0]),
                Grant(
                    "rtp",
                    [(self._keep(pair.rtp), self._keep(pair.rtcp)) for pair in mine],
                    [pair.port for pair in mine],
                ),
                *(self._one("ring", ring) for ring in self._rings.of(name)),
            ]
        self._frontend.append(self._one("state", unix_socket.listen(state_dir.state_socket)))

    def of(self, role: str, name: str) -> list[Grant]:
        """Return what a process is granted."""
        return self._frontend if role == "frontend" else self._others.get(name, [])

    def writer_died(self, name: str) -> None:
        """Let a writer's sockets take their datagrams themselves until the next one reads its ring."""
        self._rings.writer_died(name)

    def _sip(self, settings: Settings) -> list[Grant]:
        udp, tcp = sockets.bind_sip(settings.sip)
        tls = sockets.bind_tls(settings.sip)
        sockets.restrict([udp, tcp], settings.access.allow, "access.allow")
        sockets.restrict([tls] if tls else [], settings.access.allow_tls, "access.allow_tls")
        port = settings.sip.port
        encrypted = [self._one("sip-tls", tls, settings.sip.tls_port)] if tls else []
        return [self._one("sip-udp", udp, port), self._one("sip-tcp", tcp, port), *encrypted]

    def _one(self, kind: str, sock: socket.socket, port: int = 0) -> Grant:
        return Grant(kind, [(self._keep(sock),)], [port])

    def _keep(self, sock: socket.socket) -> int:
        self._kept.append(sock)
        return sock.fileno()


def _shares(pairs: list[sockets.MediaPair], writers: list[str]) -> dict[str, list[sockets.MediaPair]]:
    """Give each writer ports in a row: a ring's filter is a range."""
    share = -(-len(pairs) // len(writers))
    return {name: pairs[index * share : (index + 1) * share] for index, name in enumerate(writers)}
