"""The frontend process: stands by with everything warm, and as the active one wires all parts together."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Final
from uuid import UUID

import structlog
import uvloop

from media.writer.protocol import SessionFailed
from recorder.catalog_access import open_catalog
from recorder.child_loop import ChildLoop
from recorder.edge.edge import Edge
from recorder.edge.gate import GuardedAgent
from recorder.edge.trace import Tracer
from recorder.frontend.ability import Ability
from recorder.frontend.dispatcher import Dispatcher
from recorder.frontend.frontend import Frontend, specific_address
from recorder.frontend.recovery import Recovery
from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.journal import Journal
from recorder.ha.vault import open_vault
from recorder.role import Assignment
from recorder.state_dir import key_file
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import WriterPool
from signaling.sip.digest import Algorithm
from signaling.transport import SipTransport
from signaling.useragent import Event, Identity, Login
from storage.catalog import Catalog
from storage.errors import CatalogUnreachable, StaleEpoch

_log = structlog.get_logger()

_WRITERS_WAIT_S: Final = 5.0
"""Longest wait for the writers before dialogs are taken over and SIP is served."""
_GC_THRESHOLDS: Final = (10_000, 50, 50)
_LEASE_RETRY_S: Final = 0.2
_FORGET_EVERY_S: Final = 60.0
_FORGET_AFTER: Final = timedelta(minutes=10)
"""Far beyond the 32 s in which a client may repeat a request."""
_STATUS_S: Final = 0.5
_MOVES_PER_S: Final = 100
"""Re-INVITEs of ours; a third of what one frontend sets up per second."""
_CATALOG_TIMEOUT_S: Final = 1.0
"""A statement that takes longer counts as an absent database: the journal answers in its place."""


def run(assignment: Assignment) -> None:
    """Stand by, serve once activated, until told to stop."""
    try:
        uvloop.run(_run(assignment))
    except* StaleEpoch:
        # The supervisor starts a new process, which begins as a newcomer instead of arguing.
        _log.critical("another frontend holds the lease; ending")
    except* CatalogUnreachable as errors:
        _log.critical("the catalog went away during a takeover; ending", reason=str(errors.exceptions[0]))


async def _run(assignment: Assignment) -> None:
    loop = ChildLoop(assignment.channel)
    edge = Edge(assignment)
    loop.on_reload = edge.reload
    loop.start()
    catalog = await open_catalog(
        assignment.dsn, loop, max_size=assignment.settings.database.pool_size, timeout_s=_CATALOG_TIMEOUT_S
    )
    if catalog is None:
        return
    async with catalog, asyncio.TaskGroup() as group:
        standby = _Standby(assignment, loop, catalog, group, edge)
        if await standby.wait():
            epoch = await standby.lease()
            if epoch is not None:
                await _Active(standby, epoch).serve()
        standby.end()
    # The supervisor need not wait for the end of the process to activate another one.
    loop.state("ended")


class _Standby:
    """A frontend that waits: program loaded, catalog and writers connected, sockets inherited and not read."""

    def __init__(
        self, assignment: Assignment, loop: ChildLoop, catalog: Catalog, group: asyncio.TaskGroup, edge: Edge
    ) -> None:
        self.assignment, self.loop, self.catalog, self.group, self.edge = assignment, loop, catalog, group, edge
        self.pool = WriterPool(
            assignment.writers,
            assignment.state_dir,
            clock=time.monotonic,
            min_free_bytes=assignment.settings.media.min_free_mb << 20,
            sync_interval_s=assignment.settings.media.sync_interval_ms / 1000,
        )
        self._connections = group.create_task(self.pool.run())

    async def wait(self) -> bool:
        """Wait to be activated; False when told to stop instead."""
        self.loop.ready()
        self.loop.state("standby")
        waits = [asyncio.ensure_future(event.wait()) for event in (self.loop.activated, self.loop.stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self.loop.stopped.is_set()

    async def lease(self) -> int | None:
        """Take the lease as soon as the catalog answers; None when told to stop before."""
        while not self.loop.stopped.is_set():
            try:
                return await self.catalog.acquire_lease(
                    holder=f"{self.assignment.settings.node}/{self.assignment.name}"
                )
            except CatalogUnreachable as error:
                _log.warning("activated, but the catalog does not answer", reason=str(error))
                await asyncio.sleep(_LEASE_RETRY_S)
        return None

    def end(self) -> None:
        """Close the connections to the writers."""
        self._connections.cancel()


class _Active:
    """The parts of the active frontend and how they call each other."""

    def __init__(self, standby: _Standby, epoch: int) -> None:
        assignment = standby.assignment
        settings = assignment.settings
        self._standby = standby
        self._loop, self._group = standby.loop, standby.group
        standby.pool.epoch = epoch
        vault = open_vault(key_file(settings))
        durable = DurableCatalog(standby.catalog, Journal(assignment.state_dir.journal), vault, epoch=epoch)
        identity = Identity(
            # Without an address of its own it answers each client with the address that the client reached.
            host=settings.sip.advertised_host or specific_address(settings.sip.host),
            port=settings.sip.port,
            tls_port=settings.sip.tls_port or settings.sip.port,
            stamp=f"{epoch:x}",
        )
        agent = GuardedAgent(
            identity,
            standby.edge.gate,
            token=lambda: token_hex(8),
            trace=settings.trace.enabled,
            logins=self._login,
        )
        self._tracer = Tracer(
            partial(standby.catalog.add_traces, epoch=epoch),
            segment_of=self._segment_of,
            keep_metadata=settings.metadata.keep_raw,
            clock=time.monotonic,
            wall_clock=lambda: datetime.now(UTC),
        )
        self._frontend = Frontend(
            settings=settings,
            agent=agent,
            transport=SipTransport(agent, deliver=self._deliver),
            pool=standby.pool,
            catalog=durable,
            edge=standby.edge,
            tracer=self._tracer,
            ability=Ability(standby.pool, lambda: durable.able, standby.edge.occupancy),
            clock=time.monotonic,
            wall_clock=lambda: datetime.now(UTC),
            instance=assignment.instance,
        )
        standby.edge.gate.is_live = self._frontend.sessions.__contains__
        self._dispatcher = Dispatcher(self._frontend, self._group)
        self._recovery = Recovery(self._frontend)

    async def serve(self) -> None:
        """Take over what there is, then record until told to stop."""
        frontend = self._frontend
        began = frontend.clock()
        await frontend.catalog.catch_up()
        await frontend.pool.wait_until_beating(_WRITERS_WAIT_S)
        await self._recovery.take_over(self._standby.catalog)
        await self._dispatcher.moves.capabilities.load(self._standby.catalog)
        await self._reconcile_with_writers()
        sockets = self._standby.assignment.sockets
        await frontend.transport.serve(
            udp=[sock for _, sock in sockets["sip-udp"]],
            tcp=[sock for _, sock in sockets["sip-tcp"]],
            tls=self._standby.edge.tls_listeners(),
        )
        self._standby.edge.attach(frontend.transport)
        # What is here now stays. A dialog makes no reference cycles; the defaults would walk ten thousand of them again
        # and again, and every client would wait meanwhile.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        self._dispatcher.moves.resume()
        _log.info(
            "active",
            epoch=frontend.catalog.epoch,
            dialogs=len(frontend.sessions),
            takeover_ms=round((frontend.clock() - began) * 1000, 1),
        )
        works = (
            frontend.catalog.run(),
            self._report(),
            self._forget_ended_dialogs(),
            self._drain(),
            self._standby.edge.run(),
            self._tracer.run(),
        )
        background = [self._group.create_task(work) for work in works]
        await self._loop.stopped.wait()
        await frontend.transport.aclose()
        await self._dispatcher.settle()
        await self._tracer.aclose()
        for task in background:
            task.cancel()

    async def _reconcile_with_writers(self) -> None:
        pool = self._frontend.pool
        pool.on_connected, pool.on_session_failed = self._writer_connected, self._session_failed
        self._loop.on_writer_died = self._writer_died
        self._loop.on_drain_writer = self._drain_writer
        for client in pool.clients.values():
            if client.connected:
                await self._recovery.writer_connected(client)

    async def _forget_ended_dialogs(self) -> None:
        """Delete the dialogs that nobody asks about any more; they are kept to answer retransmissions only."""
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            before = self._frontend.wall_clock() - _FORGET_AFTER
            with suppress(CatalogUnreachable):
                await self._standby.catalog.forget_dialogs(before, self._frontend.catalog.epoch)

    async def _report(self) -> None:
        frontend = self._frontend
        while True:
            obstacle = frontend.ability.obstacle()
            self._loop.state(
                "active",
                sessions=len(frontend.sessions),
                epoch=frontend.catalog.epoch,
                unable=obstacle.reason if obstacle else "",
                refused_messages=self._standby.edge.gate.refused,
                moves_failed=self._dispatcher.moves.failed,
                catalog="behind" if frontend.catalog.behind else "current",
            )
            for writer in frontend.pool.stuck():
                self._loop.writer_stuck(writer)
            await asyncio.sleep(_STATUS_S)

    async def _drain(self) -> None:
        frontend = self._frontend
        await self._loop.draining.wait()
        frontend.ability.draining = True
        try:
            await asyncio.wait_for(frontend.idle.wait(), self._loop.drain_limit_s)
        except TimeoutError:
            _log.warning("drain limit passed; ending sessions", sessions=len(frontend.sessions))
            for session in list(frontend.sessions.values()):
                self._dispatcher.run(session.dialog_id, self._dispatcher.ending.shut_down(session))
        await self._dispatcher.settle()
        self._loop.drained()

    def _segment_of(self, dialog_id: str) -> UUID | None:
        session = self._frontend.sessions.get(dialog_id)
        return session.segment if session else None

    def _login(self, dialog_id: str, realm: str, algorithm: Algorithm) -> Login | None:
        edge, session = self._frontend.edge, self._frontend.sessions.get(dialog_id)
        user = edge.profiles.named(session.profile).digest_user if session else ""
        return edge.logins.find(realm, algorithm, user=user)

    def _deliver(self, events: Sequence[Event]) -> None:
        self._dispatcher.deliver(events)

    def _writer_died(self, writer: str) -> None:
        _log.warning("writer died; its streams wait for the replacement", writer=writer)

    def _writer_connected(self, client: WriterClient) -> None:
        self._group.create_task(self._recovery.writer_connected(client))

    def _session_failed(self, client: WriterClient, failed: SessionFailed) -> None:
        _log.error("writer failed a session", writer=client.name, capture=failed.session, reason=failed.detail)
        for session in list(self._frontend.sessions.values()):
            if (session.writer, session.capture) == (client.name, failed.session):
                self._dispatcher.run(
                    session.dialog_id, self._dispatcher.moves.start(session.dialog_id, "writer-failed")
                )

    def _drain_writer(self, writer: str, draining: bool) -> None:
        pool = self._frontend.pool
        if not draining:
            pool.draining.discard(writer)
            return
        pool.draining.add(writer)
        leaving = [session.dialog_id for session in self._frontend.sessions.values() if session.writer == writer]
        _log.info("draining a writer", writer=writer, sessions=len(leaving))
        for number, dialog_id in enumerate(leaving):
            # Paced: a thousand re-INVITEs at once would make every client wait for the others.
            self._dispatcher.run_later(
                number / _MOVES_PER_S, dialog_id, partial(self._dispatcher.moves.start, dialog_id, "drain")
            )
