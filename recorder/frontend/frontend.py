"""What the flows of one frontend share: the user agent, the writers, the catalog, and the live sessions."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from recorder.config import Settings
from recorder.frontend.ability import Ability
from recorder.frontend.session import Session
from recorder.ha.durable_catalog import DurableCatalog
from recorder.writer_pool.pool import WriterPool
from signaling.transport import SipTransport
from signaling.useragent import UserAgent


@dataclass(slots=True, kw_only=True)
class Frontend:
    """The active frontend of one host."""

    settings: Settings
    agent: UserAgent
    transport: SipTransport
    pool: WriterPool
    catalog: DurableCatalog
    ability: Ability
    clock: Callable[[], float]
    """Monotonic seconds."""
    wall_clock: Callable[[], datetime]
    instance: str
    """Names the supervisor whose sockets are in use; a session of another instance has lost its ports."""
    sessions: dict[str, Session] = field(default_factory=dict)
    """Live sessions by dialog."""
    on_change: Callable[[], None] = lambda: None
    """Called when the number of sessions has changed."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no session."""

    def __post_init__(self) -> None:
        self.idle.set()

    def add(self, session: Session) -> None:
        """Take a session among the live ones."""
        self.sessions[session.dialog_id] = session
        self.pool.place(session.writer, len(session.streams))
        self.idle.clear()
        self.on_change()

    def remove(self, dialog_id: str) -> Session | None:
        """Take a session out of the live ones; None when it was out already."""
        session = self.sessions.pop(dialog_id, None)
        if session:
            self.pool.place(session.writer, -len(session.streams))
            if not self.sessions:
                self.idle.set()
            self.on_change()
        return session

    def media_host(self, writer_host: str, peer: str) -> str:
        """Return the address that this peer reaches a writer of this host at."""
        if self.settings.sip.advertised_host:
            return self.settings.sip.advertised_host
        if writer_host and not ipaddress.ip_address(writer_host).is_unspecified:
            return writer_host
        return local_address_towards(peer)


@lru_cache(maxsize=4096)
def local_address_towards(peer: str) -> str:
    """Return the local address that the routing table chooses for a peer; no packet is sent.

    A peer that is no address, or that no route leads to, gets the loopback address: media can still arrive from
    this host, and the log of the session names the peer.
    """
    try:
        version = ipaddress.ip_address(peer).version
    except ValueError:
        return "127.0.0.1"
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "::1" if version == 6 else "127.0.0.1"
        return str(probe.getsockname()[0])
