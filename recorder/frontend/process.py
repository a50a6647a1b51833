"""The frontend process: stands by with everything warm, and as the active one wires all parts together."""

from __future__ import annotations

import asyncio
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
from recorder.child_loop import ChildLoop
from recorder.edge.edge import Edge
from recorder.edge.gate import GuardedAgent
from recorder.edge.trace import Tracer
from recorder.errors import LeaseExpiredError, SetupError
from recorder.frontend.ability import Ability
from recorder.frontend.collector import spare_dialogs
from recorder.frontend.dispatcher import Dispatcher
from recorder.frontend.frontend import Frontend, specific_address
from recorder.frontend.recovery import ANSWERS_REPEATED, Recovery
from recorder.frontend.standby import Standby
from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.journal import Journal
from recorder.ha.tenure import Tenure
from recorder.ha.vault import open_vault
from recorder.role import Assignment
from recorder.state_dir import key_file
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import node_of, qualified
from signaling.sip.digest import Algorithm
from signaling.transport import SipTransport
from signaling.useragent import Event, Flow, Identity, Login
from storage.catalog import Catalog
from storage.errors import CatalogUnreachable, StaleEpoch

_log = structlog.get_logger()

_WRITERS_WAIT_S: Final = 5.0
"""Longest wait for the writers before dialogs are taken over and SIP is served."""
_LOOK_S: Final = 0.5
_FORGET_EVERY_S: Final = 60.0
_FORGET_AFTER: Final = timedelta(minutes=10)
"""Far beyond the 32 s in which a client may repeat a request."""
_STATUS_S: Final = 0.5
_MOVES_PER_S: Final = 100
"""Re-INVITEs of ours; a third of what one frontend sets up per second."""
_CATALOG_SILENCE_S: Final = 1.0
"""A database that answers nothing for so long counts as absent: the journal answers in its place."""
_CATALOG_LOCK_S: Final = 1.0
"""And so does one that waits so long for what somebody else has locked: a migration, a transaction left open."""
_CATALOG_TIMEOUT_S: Final = 4.0
"""A single statement that takes longer counts so as well, whatever else is answered: its client waits."""


def run(assignment: Assignment) -> None:
    """Stand by, serve once activated, until told to stop."""
    try:
        uvloop.run(_run(assignment))
    except* (StaleEpoch, LeaseExpiredError) as errors:
        # The supervisor starts a new process, which begins as a newcomer instead of arguing.
        _log.critical("this frontend holds the lease no more; ending", reason=str(errors.exceptions[0]))
    except* CatalogUnreachable as errors:
        _log.critical("the catalog went away during a takeover; ending", reason=str(errors.exceptions[0]))


async def _run(assignment: Assignment) -> None:
    loop = ChildLoop(assignment.channel)
    edge = Edge(assignment)
    loop.on_reload = edge.reload
    loop.start()
    catalog = await Catalog.expect(
        assignment.dsn,
        max_size=assignment.settings.database.pool_size,
        timeout_s=_CATALOG_TIMEOUT_S,
        silence_s=_CATALOG_SILENCE_S,
        lock_s=_CATALOG_LOCK_S,
    )
    async with catalog, asyncio.TaskGroup() as group:
        standby = Standby(assignment, loop, catalog, group, edge)
        if await standby.wait():
            tenure = await standby.tenure()
            if tenure:
                await _Active(standby, tenure).serve()
        standby.end()
    # The supervisor need not wait for the end of the process to activate another one.
    loop.state("ended")


class _Active:
    """The parts of the active frontend and how they call each other."""

    def __init__(self, standby: Standby, tenure: Tenure) -> None:
        assignment, epoch = standby.assignment, tenure.epoch
        settings = assignment.settings
        self._standby, self._tenure = standby, tenure
        self._loop, self._group = standby.loop, standby.group
        standby.pool.epoch = epoch
        durable = DurableCatalog(
            standby.catalog,
            Journal(assignment.state_dir.journal),
            open_vault(key_file(settings)),
            epoch=epoch,
            standbys=tenure.feed,
            lease=settings.ha.lease,
            fresh_since=tenure.fresh_since,
        )
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
            may_act=tenure.holds,
        )
        self._tracer = Tracer(
            partial(standby.catalog.add_traces, epoch=epoch, lease=settings.ha.lease),
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
            instances=standby.hosts.instances if standby.hosts else dict,
        )
        standby.edge.gate.is_live = self._frontend.sessions.__contains__
        self._dispatcher = Dispatcher(self._frontend, self._group, tenure.feed)
        self._recovery = Recovery(self._frontend, tenure.holds)

    async def serve(self) -> None:
        """Take over what there is, then record until told to stop."""
        address, tenure = self._standby.address, self._tenure
        keeping = self._group.create_task(tenure.keep(address.renew))
        try:
            await self._begin()
            await self._record()
        finally:
            # Also when the lease is lost: whoever has it now has the address.
            address.drop()
            await tenure.feed.aclose()
        keeping.cancel()
        await tenure.release()
        await address.released()

    async def _begin(self) -> None:
        frontend, tenure = self._frontend, self._tenure
        began = frontend.clock()
        spare_dialogs()
        await frontend.pool.wait_until_beating(_WRITERS_WAIT_S)
        await self._take_over()
        await self._standby.listen(tenure.feed)
        await self._reconcile_with_writers()
        sockets = self._standby.assignment.sockets
        await frontend.transport.serve(
            udp=[sock for _, sock in sockets["sip-udp"]],
            tcp=[sock for _, sock in sockets["sip-tcp"]],
            tls=self._standby.edge.tls_listeners(),
        )
        self._standby.edge.attach(frontend.transport)
        spare_dialogs()  # those that were restored
        try:
            await self._standby.address.take()
        except SetupError as error:
            self._loop.fatal(str(error))
        self._dispatcher.moves.resume()
        self._follow_hosts()
        for request in self._standby.unanswered():
            # Their senders wait. One that the dead frontend has answered after all gets the same answer again.
            frontend.transport.receive_again(request.data, Flow("udp", request.local, request.remote))
        _log.info(
            "active",
            epoch=frontend.catalog.epoch,
            dialogs=len(frontend.sessions),
            takeover_ms=round((frontend.clock() - began) * 1000, 1),
        )

    async def _record(self) -> None:
        frontend = self._frontend
        works = (
            frontend.catalog.run(),
            self._report(),
            self._forget_ended_dialogs(),
            self._drain(),
            self._standby.address.announce(),
            self._standby.edge.run(),
            self._tracer.run(),
            self._complete_takeover(),
        )
        background = [self._group.create_task(work) for work in works]
        await self._loop.stopped.wait()
        await frontend.transport.aclose()
        await self._dispatcher.settle()
        await self._tracer.aclose()
        for task in background:
            task.cancel()

    async def _take_over(self) -> None:
        """Restore the dialogs from the catalog, or from what the dead frontend told us while the catalog is away."""
        catalog, left = self._frontend.catalog, self._tenure.left
        if left is None:
            await catalog.catch_up()
            # A lost host may have caught up with the catalog, and gone on, after we heard it last: what is newer stays.
            await catalog.inherit(self._standby.inherited())
            self._recovery.restore(
                await self._standby.catalog.load_dialogs(
                    ended_within=ANSWERS_REPEATED, lease=self._frontend.settings.ha.lease
                )
            )
        else:
            left.replay(await catalog.go_on_without_catalog(left.untaken()), self._frontend.wall_clock())
            self._recovery.restore(left.dialogs())
        for dialog in self._recovery.kept:
            self._tenure.feed.replica.put(dialog)

    async def _complete_takeover(self) -> None:
        """Do what needs the catalog, and nobody waits for, as soon as it answers."""
        while True:
            with suppress(CatalogUnreachable):
                if not self._frontend.catalog.behind:
                    await self._recovery.close_orphans(self._standby.catalog)
                    await self._dispatcher.moves.capabilities.load(self._standby.catalog)
                    return
            await asyncio.sleep(_LOOK_S)

    def _follow_hosts(self) -> None:
        """Move what the loss of a host leaves without a writer: what it left already, and from now on."""
        hosts, moves = self._standby.hosts, self._dispatcher.moves
        if hosts is None:
            return
        hosts.on_lost = moves.host_lost
        hosts.on_doubted, hosts.on_heard = moves.host_doubted, moves.host_heard
        moves.host_lost("")

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
                await self._standby.catalog.forget_dialogs(
                    before, self._frontend.catalog.epoch, lease=self._frontend.settings.ha.lease
                )

    async def _report(self) -> None:
        frontend = self._frontend
        while True:
            obstacle = frontend.ability.obstacle()
            self._loop.state(
                "active",
                sessions=len(frontend.sessions),
                epoch=frontend.catalog.epoch,
                rivals=len(self._standby.candidate.rivals()),
                standbys=self._tenure.feed.standbys,
                unable=obstacle.reason if obstacle else "",
                refused_messages=self._standby.edge.gate.refused,
                moves_failed=self._dispatcher.moves.failed,
                catalog="behind" if frontend.catalog.behind else "current",
                writers_elsewhere=" ".join(sorted(set(frontend.pool.clients) - frontend.pool.local)),
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
        if not node_of(writer):
            writer = qualified(self._frontend.settings.node if self._standby.hosts else "", writer)
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
