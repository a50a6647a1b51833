"""The writers of one frontend: their clients, what is placed where, and whether a new session fits anywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from media.writer.protocol import SessionFailed
from recorder.state_dir import StateDir
from recorder.writer_pool.client import Connect, WriterClient, over_unix
from recorder.writer_pool.placement import WriterLoad, candidates

_SILENT_S: Final = 1.5
"""A writer whose loop made no progress for this long takes no new session; three missed flushes at the default."""
_STUCK_S: Final = 2.0
"""And after this long it is replaced: the kernel's default buffer holds five seconds of one G.711 stream."""
_STARTING_S: Final = 20.0
"""A process that has not answered by then never will; a start takes a second, on a machine that starts everything at
once several."""
_LATE_S: Final = 0.25
"""An answer takes a sync of the disk, shared with what else is synced."""
_LOOK_S: Final = 0.05
_BEATS: Final = 3
"""Heartbeats come once per flush: as many flushes have to be missed, where flushes are rare."""


def qualified(node: str, writer: str) -> str:
    """Return the name of a writer within the site."""
    return f"{node}/{writer}" if node else writer


def node_of(writer: str) -> str:
    """Return the host in the name of a writer; empty where there is only one host."""
    return writer.rpartition("/")[0]


def name_of(writer: str) -> str:
    """Return the name of a writer within its host."""
    return writer.rpartition("/")[2]


async def _nowhere() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raise ConnectionRefusedError("its host is not heard")


class WriterPool:
    """Clients of the writers of this host, whose connections `run` keeps, and of those that `add` brought.

    Args:
        names: of this host's writers.
        state_dir: where their sockets are.
        clock: monotonic seconds.
        min_free_bytes: a writer whose disk has less takes no session.
        sync_interval_s: between two heartbeats of a writer.
        node: this host, in a site of several: names of writers then begin with their host.

    """

    def __init__(
        self,
        names: Iterable[str],
        state_dir: StateDir,
        *,
        clock: Callable[[], float],
        min_free_bytes: int,
        sync_interval_s: float,
        node: str = "",
    ) -> None:
        self.epoch = 0
        """Lease epoch that every command carries; 0 commands nothing."""
        self.on_connected: Callable[[WriterClient], None] | None = None
        self.on_session_failed: Callable[[WriterClient, SessionFailed], None] | None = None
        self.draining: set[str] = set()
        """Writers that get no new session."""
        self.lost: set[str] = set()
        """Hosts that are not heard any more."""
        self.doubted: set[str] = set()
        """Hosts whose heartbeats are late: they get nothing new."""
        self._absent: set[str] = set()
        self._clock = clock
        self._min_free_bytes = min_free_bytes
        self._silent_s = max(_SILENT_S, _BEATS * sync_interval_s)
        self._stuck_s = max(_STUCK_S, (_BEATS + 1) * sync_interval_s)
        self._placed: Counter[str] = Counter()
        self.clients = {
            qualified(node, name): self._client(qualified(node, name), over_unix(state_dir.writer_socket(name)))
            for name in names
        }
        self.local = frozenset(self.clients)
        """Writers of this host."""

    def _client(self, name: str, connect: Connect) -> WriterClient:
        return WriterClient(
            name,
            connect,
            epoch=lambda: self.epoch,
            on_connected=self.reconcile,
            on_session_failed=self._session_failed,
            clock=self._clock,
        )

    def add(self, name: str, connect: Connect) -> WriterClient:
        """Take a writer of another host in; the caller keeps its connection."""
        client = self.clients[name] = self._client(name, connect)
        self._absent.discard(name)
        return client

    def expect(self, name: str) -> None:
        """Know of a writer whose host is not heard: until it is, every command to it fails at once."""
        if name not in self.clients:
            self.add(name, _nowhere)
            self._absent.add(name)

    def is_local(self, writer: str) -> bool:
        """Whether a writer is of this host."""
        return writer in self.local

    def is_lost(self, writer: str) -> bool:
        """Whether a writer's host is lost or was never heard: nothing that it is told arrives."""
        return writer in self._absent or node_of(writer) in self.lost

    def reconcile(self, client: WriterClient) -> None:
        """Have a connected writer compared with the sessions."""
        if self.on_connected:
            self.on_connected(client)

    def _session_failed(self, client: WriterClient, failed: SessionFailed) -> None:
        if self.on_session_failed:
            self.on_session_failed(client, failed)

    async def run(self) -> None:
        """Keep every connection until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.local:
                group.create_task(self.clients[name].run(), name=f"client of {name}")

    async def wait_until_beating(self, limit_s: float) -> None:
        """Wait for the first heartbeat of every writer, or the limit."""
        waits = [asyncio.ensure_future(self.clients[name].beating.wait()) for name in self.local]
        await asyncio.wait(waits, timeout=limit_s)
        for wait in waits:
            wait.cancel()

    async def wait_until_one_is_healthy(self, limit_s: float) -> None:
        """Wait while no writer works, as when all died together and their replacements are starting; or the limit."""
        deadline = self._clock() + limit_s
        # Health is no event: it also ends by time that passes without one.
        while not any(map(self._is_healthy, self.clients.values())) and self._clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def place(self, writer: str, streams: int) -> None:
        """Count streams that are placed on a writer; negative when they leave it."""
        self._placed[writer] += streams

    def loads(self) -> list[WriterLoad]:
        """Return each writer's load as it is known here."""
        loads = []
        for client in self.clients.values():
            beat = client.heartbeat
            if beat is None:
                loads.append(WriterLoad(name=client.name, free_ports=0, streams=0, free_bytes=0, healthy=False))
                continue
            placed = max(self._placed[client.name], beat.streams)
            loads.append(
                WriterLoad(
                    name=client.name,
                    free_ports=max(0, beat.free_ports - (placed - beat.streams)),
                    streams=placed,
                    free_bytes=beat.free_bytes,
                    healthy=self._is_healthy(client),
                    draining=client.name in self.draining,
                    local=client.name in self.local,
                    host=node_of(client.name),
                    late=client.owing_for() > _LATE_S,
                )
            )
        return loads

    def _is_healthy(self, client: WriterClient) -> bool:
        beat = client.heartbeat
        if beat is None or beat.failed or not client.connected or node_of(client.name) in self.doubted:
            return False
        return self._clock() - client.heartbeat_at < self._silent_s

    def stuck(self) -> list[str]:
        """Return the writers to replace: no progress, never begun, or given up on a disk that has room again."""
        return [
            name_of(one.name)
            for one in (self.clients[name] for name in self.local)
            if one.silent_for(starting=False) > self._stuck_s
            or one.silent_for(starting=True) > _STARTING_S
            or (one.heartbeat and one.heartbeat.failed and one.heartbeat.free_bytes > self._min_free_bytes)
        ]

    def choose(
        self, streams: int, *, avoid: frozenset[str] = frozenset(), apart: frozenset[str] = frozenset()
    ) -> list[WriterClient]:
        """Return the writers to try for a session of `streams` streams, best first; see `candidates`."""
        names = candidates(self.loads(), streams=streams, min_free_bytes=self._min_free_bytes, avoid=avoid, apart=apart)
        return [self.clients[name] for name in names]

    def why_none(self) -> str:
        """Say why `choose` finds nobody, for logs and the Warning of a 503."""
        loads = self.loads()
        if not any(load.healthy for load in loads):
            return "no writer is running"
        if all(load.free_bytes < self._min_free_bytes for load in loads if load.healthy):
            return "the capture disk is below media.min_free_mb"
        if all(load.draining for load in loads if load.healthy):
            return "every writer is being drained"
        return "every RTP port is in use"
