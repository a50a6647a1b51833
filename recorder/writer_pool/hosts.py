"""The other hosts of the site and their writers: which live, and since when one does not.

A host is doubted when its heartbeats are late, so that its sessions can be made ready to leave. It is lost when they
stop for `ha.lost_after_ms`, when it refuses connections (its supervisor, which owns the listening socket, is gone), or
when another recorder process runs there (its RTP sockets are others). A gateway that is being replaced is none of
these: connections to it wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from recorder.errors import ChannelLostError
from recorder.frames import Streams
from recorder.gateway.link import FRAMES, Beat, Frame, own_address, reach
from recorder.ha.settings import HaSettings
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import WriterPool, qualified
from storage.catalog.sites import NodeRow, Sites
from storage.errors import StorageError

_log = structlog.get_logger()

_LOOK_S: Final = 0.5
"""Between two looks into the register."""
_RECONNECT_S: Final = 0.05
_DOUBTED: Final = 1 / 3
"""Share of `ha.lost_after_ms` after which a host is doubted, if a heartbeat at the least has not come then."""
_LATE: Final = 1.5
"""Heartbeats."""
_CALM_S: Final = 30.0
"""After so long without a false alarm a host is doubted as early as ever. To make its sessions ready and to undo that
again and again, because a machine hesitates now and then, would cost more than it saves."""
_LAST_LOOK_S: Final = 0.01
_GONE_S: Final = 5.0
"""A host that was not heard in the register for so long is no rival for the lease any more."""
_STARTING_S: Final = 3.0
"""How long a gateway may take to answer a connection that the supervisor's socket has taken."""


@dataclass(slots=True)
class Host:
    """Another host as it is known here."""

    row: NodeRow
    instance: str = ""
    """As its own heartbeats say; empty before the first."""
    alive: bool = False
    clients: dict[str, WriterClient] = field(default_factory=dict)
    false_alarms: int = 0
    """How often it was doubted and heard after all, since it was calm."""
    alarmed_at: float = 0.0
    """Loop time of the last false alarm, seconds."""


class SiteHosts:
    """Watches the other hosts, and keeps their writers in the pool.

    Args:
        pool: gets the writers of every host.
        sites: the register.
        settings: of the site.
        node: this host.
        context: see `recorder.gateway.link.site_context`.

    """

    def __init__(
        self,
        pool: WriterPool,
        sites: Sites,
        settings: HaSettings,
        *,
        node: str,
        context: ssl.SSLContext,
    ) -> None:
        self.on_lost: Callable[[str], None] = lambda node: None
        """Told at once when a host is lost."""
        self.on_doubted: Callable[[str], None] = lambda node: None
        """Told when its heartbeats are late."""
        self.on_heard: Callable[[str], None] = lambda node: None
        """Told when one that was doubted is heard after all."""
        self._pool, self._sites, self._settings, self._node = pool, sites, settings, node
        self._context = context
        self._hosts: dict[str, Host] = {}
        self.registered = False
        """Whether the register has been read: before, nobody here knows who is in the site."""

    def rivals(self) -> frozenset[str]:
        """Return the hosts whose promise is needed: those that lived when the register was read last, or beat now.

        One that cannot reach the register is silent there, and may still reach it before we do.
        """
        return frozenset(
            host.row.node
            for host in self._hosts.values()
            if host.row.state == "running" and (host.alive or host.row.silent_s < _GONE_S)
        )

    def instances(self) -> Mapping[str, str]:
        """Return the recorder process of each host that lives, by its own word."""
        return {node: host.instance for node, host in self._hosts.items() if host.alive}

    async def connect(self, node: str, *, service: str) -> Streams:
        """Open a connection to a service of a host. Raises OSError."""
        host = self._hosts.get(node)
        if host is None:
            raise ConnectionRefusedError(f"host {node} is not in the register")
        return await reach(host.row.endpoint, self._context, service=service, source=self._source, limit_s=_STARTING_S)

    @property
    def _source(self) -> str:
        return own_address(self._settings)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async with asyncio.timeout(self._settings.answer_s):
                        rows = await self._sites.nodes(self._settings.site)
                except (StorageError, TimeoutError):
                    # While the register does not answer, everybody is where he was.
                    rows = []
                else:
                    self.registered = True
                for row in rows:
                    if row.node == self._node:
                        continue
                    if row.node in self._hosts:
                        self._hosts[row.node].row = row
                        self._add_writers(self._hosts[row.node], group)
                    elif row.state == "running" and row.silent_s < _GONE_S:
                        host = self._hosts[row.node] = Host(row)
                        group.create_task(self._watch(host), name=f"watch of {row.node}")
                        self._add_writers(host, group)
                await asyncio.sleep(_LOOK_S)

    def _add_writers(self, host: Host, group: asyncio.TaskGroup) -> None:
        for name in host.row.writers:
            if name in host.clients:
                continue

            async def connected(name: str = name) -> Streams:
                if not host.alive:
                    raise ConnectionRefusedError(f"host {host.row.node} is lost")
                return await reach(host.row.endpoint, self._context, service="writer", name=name, source=self._source)

            client = host.clients[name] = self._pool.add(qualified(host.row.node, name), connected)
            group.create_task(client.run(), name=f"client of {client.name}")

    async def _watch(self, host: Host) -> None:
        while True:
            try:
                reader, writer = await reach(
                    host.row.endpoint, self._context, service="beats", source=self._source, limit_s=self._patience(host)
                )
            except ConnectionRefusedError:
                self._lost(host, "it refuses connections: no recorder runs there")
            except (OSError, ssl.SSLError) as error:
                self._lost(host, f"it cannot be reached: {error or type(error).__name__}")
            else:
                try:
                    await self._listen(host, reader)
                except ChannelLostError:
                    # Its gateway ended; whether the host did is seen when we connect again.
                    pass
                except TimeoutError:
                    self._lost(host, "it is silent")
                finally:
                    writer.transport.abort()
            await asyncio.sleep(_RECONNECT_S)

    def _patience(self, host: Host) -> float:
        return _STARTING_S if host.alive else 1.0

    async def _listen(self, host: Host, reader: asyncio.StreamReader) -> None:
        while True:
            beat = await self._next_beat(host, reader)
            if not isinstance(beat, Beat):
                raise ChannelLostError("a heartbeat was due")
            if host.alive and beat.instance != host.instance:
                self._lost(host, "its recorder was started anew")
            if not host.alive:
                self._back(host, beat.instance)

    async def _next_beat(self, host: Host, reader: asyncio.StreamReader) -> Frame:
        """Wait for a heartbeat; `TimeoutError` once the host is lost. ChannelLostError as `FRAMES.receive`."""
        node, limit_s, loop = host.row.node, self._settings.lost_after_ms / 1000, asyncio.get_running_loop()
        if loop.time() - host.alarmed_at > _CALM_S:
            host.false_alarms = 0
        doubtful_s = doubted_after_s(self._settings, host.false_alarms)
        coming = asyncio.ensure_future(FRAMES.receive(reader))
        try:
            if not await _done(coming, doubtful_s):
                if host.alive:
                    self._pool.doubted.add(node)
                    self.on_doubted(node)
                # If it was this loop that did not run, the beats are waiting already, and this look finds them.
                if not await _done(coming, limit_s - doubtful_s) and not await _done(coming, _LAST_LOOK_S):
                    raise TimeoutError
            beat = coming.result()
            if node in self._pool.doubted:
                self._pool.doubted.discard(node)
                host.false_alarms, host.alarmed_at = host.false_alarms + 1, loop.time()
                self.on_heard(node)
            return beat
        finally:
            coming.cancel()

    def _lost(self, host: Host, reason: str) -> None:
        if not host.alive:
            return
        host.alive = False
        _log.error("host lost", host=host.row.node, reason=reason)
        for client in host.clients.values():
            client.drop()
        self._pool.lost.add(host.row.node)
        self._pool.doubted.discard(host.row.node)
        self.on_lost(host.row.node)

    def _back(self, host: Host, instance: str) -> None:
        host.alive, host.instance = True, instance
        _log.info("host is heard", host=host.row.node, instance=instance)
        self._pool.lost.discard(host.row.node)
        for client in host.clients.values():
            # Over a connection that came before its heartbeats: what was agreed in between it was not told.
            if client.connected:
                self._pool.reconcile(client)


def doubted_after_s(settings: HaSettings, false_alarms: int) -> float:
    """Return the silence of a host, in seconds, after which it is doubted: later after each false alarm."""
    limit_s = settings.lost_after_ms / 1000
    earliest_s = max(limit_s * _DOUBTED, _LATE * settings.heartbeat_ms / 1000)
    return min(limit_s, earliest_s * (1 + false_alarms))


async def _done(future: asyncio.Future[Frame], within_s: float) -> bool:
    return bool((await asyncio.wait([future], timeout=within_s))[0])
