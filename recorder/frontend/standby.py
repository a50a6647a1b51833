"""A frontend that waits: program loaded, writers connected, the active one followed, sockets inherited and not read."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from recorder import unix_socket
from recorder.catalog_access import prepare_catalog
from recorder.child_loop import ChildLoop
from recorder.edge.edge import Edge
from recorder.frames import Streams
from recorder.gateway.link import site_context
from recorder.ha.address import FloatingAddress
from recorder.ha.feed import Feed
from recorder.ha.follower import Follower
from recorder.ha.lease import Lease
from recorder.ha.replica import Replica, Unanswered
from recorder.ha.tenure import Candidate, Tenure
from recorder.role import Assignment
from recorder.writer_pool.hosts import SiteHosts
from recorder.writer_pool.pool import WriterPool
from storage.catalog import Catalog
from storage.errors import CatalogUnreachable

_log = structlog.get_logger()

_LAST_WORDS_S: Final = 1.0
"""Longest wait for what a dead frontend still said. Its connection ends with it: only a machine that stands still, or a
frontend that cannot die, lets that take longer than a few milliseconds."""
_LEASE_RETRY_S: Final = 0.2


class Standby:
    """Waits to be activated, and then for the lease.

    Args:
        assignment: what the supervisor gave.
        loop: its channel.
        catalog: whether or not it answers now.
        group: for what runs beside.
        edge: what guards the sockets.

    """

    def __init__(
        self, assignment: Assignment, loop: ChildLoop, catalog: Catalog, group: asyncio.TaskGroup, edge: Edge
    ) -> None:
        self.assignment, self.loop, self.catalog, self.group, self.edge = assignment, loop, catalog, group, edge
        settings = assignment.settings
        self.pool = WriterPool(
            assignment.writers,
            assignment.state_dir,
            clock=time.monotonic,
            min_free_bytes=settings.media.min_free_mb << 20,
            sync_interval_s=settings.media.sync_interval_ms / 1000,
            node=settings.node if settings.ha.listen else "",
        )
        self.hosts: SiteHosts | None = None
        """The other hosts of the site; None where there is only this one."""
        if settings.ha.listen:
            self.hosts = SiteHosts(
                self.pool,
                catalog.sites,
                settings.ha,
                node=settings.node,
                context=site_context(settings.ha, server=False),
            )
        self.candidate = Candidate(
            sites=catalog.sites,
            settings=settings.ha,
            node=settings.node,
            name=f"{settings.node}/{assignment.name}",
            rivals=self._rivals,
            clock=time.monotonic,
            wall_clock=lambda: datetime.now(UTC),
            lease=Lease(settings.node, settings.ha.timing),
        )
        self._follower = Follower(settings.node, self._connect, wall_clock=self.candidate.wall_clock)
        self.address = FloatingAddress(settings.ha, settings.node)
        self._left = self._follower.replica
        self._prepared = asyncio.Event()
        """Set once the catalog has answered and has this program's schema."""
        self._tasks = [group.create_task(self.pool.run()), group.create_task(self._prepare())]
        self._tasks.append(group.create_task(self.address.prepare()))
        if self.hosts:
            self._tasks.append(group.create_task(self.hosts.run()))
        self._following = group.create_task(self._follower.run())

    def _rivals(self) -> frozenset[str]:
        """Return whose promise is needed; until the register answers, whose the last active frontend needed."""
        if self.hosts is None:
            return frozenset()
        return self.hosts.rivals() if self.hosts.registered else self._left.rivals

    async def wait(self) -> bool:
        """Wait to be activated; False when told to stop instead."""
        self.loop.ready()
        self.loop.state("standby")
        waits = [asyncio.ensure_future(event.wait()) for event in (self.loop.activated, self.loop.stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self.loop.activated.is_set():
            await self._follower.hear_out(_LAST_WORDS_S)
        self._following.cancel()
        return not self.loop.stopped.is_set()

    async def tenure(self) -> Tenure | None:
        """Take the lease as soon as that may be; None when told to stop before."""
        self._left = left = self._follower.replica
        if self.hosts:
            self.loop.state("candidate")
            self._follower = Follower(
                self.candidate.node,
                self._connect_to_holder,
                wall_clock=self.candidate.wall_clock,
                promise=lambda: self.candidate.lease.promise(time.monotonic()),
            )
            self._following = self.group.create_task(self._follower.run())
        try:
            return await self._contend(left)
        finally:
            self._following.cancel()

    async def _contend(self, left: Replica) -> Tenure | None:
        told = False
        while not self.loop.stopped.is_set():
            if self.loop.draining.is_set():
                # Without the lease there is nothing that this process could still finish.
                self.loop.drained()
                return None
            if left.epoch and left.pending and (tenure := await self._succeed(left)):
                # The dead one knew already that the catalog is away: no need to find it out again.
                return tenure
            try:
                if self._prepared.is_set() and (tenure := await self.candidate.contend(impatient=left.epoch > 0)):
                    return tenure
            except CatalogUnreachable as error:
                if not told:
                    _log.warning("activated, but the catalog does not answer", reason=str(error))
                told = True
                if left.epoch and (tenure := await self._succeed(left)):
                    return tenure
            else:
                if not self._prepared.is_set() and left.epoch and (tenure := await self._succeed(left)):
                    return tenure
            await asyncio.sleep(_LEASE_RETRY_S)
        return None

    async def _succeed(self, left: Replica) -> Tenure | None:
        return await self.candidate.succeed(left, self.listen)

    def inherited(self) -> list[bytes]:
        """Return writes of a lost host that the catalog may lack, as it told us."""
        replica = self._follower.replica
        return list(replica.pending) if replica.node not in {"", self.candidate.node} else []

    def unanswered(self) -> list[Unanswered]:
        """Return the requests that the last active frontend has left without a final response."""
        last = max(self._left, self._follower.replica, key=lambda replica: replica.epoch)
        return last.unanswered(self.candidate.wall_clock())

    async def _connect_to_holder(self) -> Streams:
        sight = self.candidate.lease.sight
        if self.hosts is None or sight is None or sight.node in {"", self.candidate.node}:
            raise ConnectionRefusedError("nobody to follow")
        return await self.hosts.connect(sight.node, service="state")

    async def listen(self, feed: Feed) -> None:
        """Let standbys follow from now on."""
        _, listener = self.assignment.sockets["state"][0]
        await feed.serve(listener)

    def end(self) -> None:
        """Close the connections to the writers."""
        for task in (*self._tasks, self._following):
            task.cancel()

    async def _prepare(self) -> None:
        if await prepare_catalog(self.assignment.dsn, self.loop):
            self._prepared.set()

    async def _connect(self) -> Streams:
        return await unix_socket.open_streams(self.assignment.state_dir.state_socket)
