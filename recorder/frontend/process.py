"""The frontend process: wires sockets, user agent, writers and catalog, and runs until told to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

import structlog
import uvloop

from media.writer.protocol import SessionFailed
from recorder.child_loop import ChildLoop
from recorder.frontend.ability import Ability
from recorder.frontend.dispatcher import Dispatcher
from recorder.frontend.frontend import Frontend, specific_address
from recorder.frontend.recovery import Recovery
from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.journal import Journal
from recorder.role import Assignment
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import WriterPool
from signaling.transport import SipTransport
from signaling.useragent import Event, Identity, UserAgent
from storage.catalog import Catalog, migrate
from storage.errors import StaleEpoch

_log = structlog.get_logger()

_WRITERS_WAIT_S: Final = 5.0
"""Longest wait for the writers before dialogs are taken over and SIP is served."""
_STATUS_S: Final = 0.5
_CATALOG_TIMEOUT_S: Final = 1.0
"""A statement that takes longer counts as an absent database: the journal answers in its place."""


def run(assignment: Assignment) -> None:
    """Serve until told to stop."""
    try:
        uvloop.run(_run(assignment))
    except* StaleEpoch:
        # The supervisor starts a new process, which begins as a newcomer instead of arguing.
        _log.critical("another frontend holds the lease; ending")


async def _run(assignment: Assignment) -> None:
    await migrate(assignment.dsn)
    async with await Catalog.connect(
        assignment.dsn, max_size=assignment.settings.database.pool_size, timeout_s=_CATALOG_TIMEOUT_S
    ) as catalog:
        epoch = await catalog.acquire_lease(holder=f"{assignment.settings.node}/{assignment.name}")
        async with asyncio.TaskGroup() as group:
            await _Process(assignment, catalog, epoch, group).serve()


class _Process:
    """The parts of one frontend and how they call each other."""

    def __init__(self, assignment: Assignment, catalog: Catalog, epoch: int, group: asyncio.TaskGroup) -> None:
        settings = assignment.settings
        self._assignment = assignment
        self._catalog = catalog
        self._group = group
        self._taken_over = False
        self.loop = ChildLoop(assignment.channel, on_writer_died=self._writer_died)
        durable = DurableCatalog(catalog, Journal(assignment.state_dir.journal), epoch=epoch)
        pool = WriterPool(
            assignment.writers,
            assignment.state_dir,
            epoch=lambda: epoch,
            on_connected=self._writer_connected,
            on_session_failed=self._session_failed,
            clock=time.monotonic,
            min_free_bytes=settings.media.min_free_mb << 20,
        )
        identity = Identity(
            # Without an address of its own it answers each client with the address that the client reached.
            host=settings.sip.advertised_host or specific_address(settings.sip.host),
            port=settings.sip.port,
            stamp=f"{epoch:x}",
        )
        agent = UserAgent(identity, token=lambda: token_hex(8))
        self._frontend = Frontend(
            settings=settings,
            agent=agent,
            transport=SipTransport(agent, deliver=self._deliver),
            pool=pool,
            catalog=durable,
            ability=Ability(pool, lambda: durable.able),
            clock=time.monotonic,
            wall_clock=lambda: datetime.now(UTC),
            instance=assignment.instance,
        )
        self._dispatcher = Dispatcher(self._frontend, group)
        self._recovery = Recovery(self._frontend)

    async def serve(self) -> None:
        """Take over what there is, then record until told to stop."""
        self.loop.start()
        frontend = self._frontend
        background = [
            self._group.create_task(work) for work in (frontend.pool.run(), frontend.catalog.run(), self._report())
        ]
        await frontend.catalog.catch_up()
        await frontend.pool.wait_until_beating(_WRITERS_WAIT_S)
        await self._recovery.take_over(self._catalog)
        self._taken_over = True
        for client in frontend.pool.clients.values():
            if client.connected:
                await self._recovery.writer_connected(client)
        sockets = self._assignment.sockets
        await frontend.transport.serve(
            udp=[sock for _, sock in sockets["sip-udp"]], tcp=[sock for _, sock in sockets["sip-tcp"]]
        )
        self.loop.ready()
        drain = self._group.create_task(self._drain())
        await self.loop.stopped.wait()
        await frontend.transport.aclose()
        for task in (drain, *background):
            task.cancel()

    async def _report(self) -> None:
        frontend = self._frontend
        while True:
            obstacle = frontend.ability.obstacle()
            self.loop.state(
                "active",
                sessions=len(frontend.sessions),
                epoch=frontend.catalog.epoch,
                unable=obstacle.reason if obstacle else "",
                catalog="behind" if frontend.catalog.behind else "current",
            )
            await asyncio.sleep(_STATUS_S)

    async def _drain(self) -> None:
        frontend = self._frontend
        await self.loop.draining.wait()
        frontend.ability.draining = True
        try:
            await asyncio.wait_for(frontend.idle.wait(), self.loop.drain_limit_s)
        except TimeoutError:
            _log.warning("drain limit passed; ending sessions", sessions=len(frontend.sessions))
            for session in list(frontend.sessions.values()):
                self._dispatcher.run(session.dialog_id, self._dispatcher.ending.shut_down(session))
        await self._dispatcher.settle()
        self.loop.drained()

    def _deliver(self, events: Sequence[Event]) -> None:
        self._dispatcher.deliver(events)

    def _writer_died(self, writer: str) -> None:
        _log.warning("writer died; its streams wait for the replacement", writer=writer)

    def _writer_connected(self, client: WriterClient) -> None:
        if self._taken_over:
            self._group.create_task(self._recovery.writer_connected(client))

    def _session_failed(self, client: WriterClient, failed: SessionFailed) -> None:
        self._group.create_task(self._recovery.writer_failed_session(client, failed))
