"""What the flows of one frontend share: the user agent, the writers, the catalog, and the live sessions."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import structlog

from media.writer.protocol import StreamSpec
from recorder.edge.edge import Edge
from recorder.edge.trace import Tracer
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.ability import Ability
from recorder.frontend.negotiation import stream_openings
from recorder.frontend.session import Move, Session, encode_checkpoint
from recorder.frontend.twins import Twins
from recorder.ha.durable_catalog import DurableCatalog
from recorder.settings import Settings
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import WriterPool, name_of, node_of
from signaling.errors import LostError
from signaling.transport import SipTransport
from signaling.useragent import Flow, UserAgent
from storage.catalog.records import DialogCheckpoint

_log = structlog.get_logger()

_REPLACEMENT_S: Final = 15.0
"""A client repeats its request for 32 s; a replacement of a writer takes one or two, or several where a writer dies
again and again or the machine is busy. To refuse a pause meanwhile would be worse than to let the client wait."""

ASKED_AGAIN: Final = 2
"""A writer that stands still leaves one command without an answer, and the next one when it is killed for that."""


class UnderWay(NamedTuple):
    """A capture between the command that opens it and the session that has it."""

    writer: str
    capture: str
    connection: int
    """Of the writer, when it was opened."""


@dataclass(slots=True, kw_only=True)
class Frontend:
    """The active frontend of one host."""

    settings: Settings
    agent: UserAgent
    transport: SipTransport
    pool: WriterPool
    catalog: DurableCatalog
    ability: Ability
    edge: Edge
    tracer: Tracer
    clock: Callable[[], float]
    """Monotonic seconds."""
    wall_clock: Callable[[], datetime]
    instance: str
    """Names the supervisor whose sockets are in use; a session of another instance has lost its ports."""
    instances: Callable[[], Mapping[str, str]] = dict
    """The same of the site's other hosts that are heard."""
    sessions: dict[str, Session] = field(default_factory=dict)
    """Live sessions by dialog."""
    written: dict[str, Session] = field(default_factory=dict)
    """As they were last given to the catalog, by dialog."""
    commanded: dict[str, list[StreamSpec]] = field(default_factory=dict)
    """Stream tables that writers have put in force and that are not agreed yet, by dialog."""
    under_way: dict[UUID, UnderWay] = field(default_factory=dict)
    """Captures that are open, or being opened, for no session yet; by segment."""
    twins: Twins = field(default_factory=Twins)
    """Where the copies of each call are."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no session."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    """Of checkpoints."""

    def __post_init__(self) -> None:
        self.idle.set()

    def add(self, session: Session) -> None:
        """Take a session among the live ones."""
        self.sessions[session.dialog_id] = session
        self.ability.occupancy.began(session.peer)
        self.pool.place(session.writer, len(session.streams))
        self.twins.put(session.segment, session.descriptor, session.writer)
        self.idle.clear()

    def remove(self, dialog_id: str) -> Session | None:
        """Take a session out of the live ones; None when it was out already."""
        session = self.sessions.pop(dialog_id, None)
        self.written.pop(dialog_id, None)
        if session:
            self.ability.occupancy.ended(session.peer)
            self.tracer.ended(dialog_id, session.segment)
            self.twins.drop(session.segment)
            self.pool.place(session.writer, -len(session.streams))
            if not self.sessions:
                self.idle.set()
        return session

    def replace(self, session: Session) -> Session | None:
        """Put a changed session in the place of the former one, and return that; None if it is not live any more.

        Captures that replacement writers have made meanwhile stay.
        """
        before = self.sessions.get(session.dialog_id)
        if before:
            self._put(self._as_adopted(session, before), before)
        return before

    def adopt(self, session: Session) -> None:
        """Put a live session with a capture of a replacement writer in the place of the former one."""
        self._put(session, self.sessions[session.dialog_id])

    def _as_adopted(self, session: Session, present: Session) -> Session:
        adopted = session.as_adopted(present)
        if adopted.capture == session.capture:
            return adopted
        return msgspec.structs.replace(adopted, instance=self.instance_of(adopted.writer))

    def _put(self, session: Session, before: Session) -> None:
        self.pool.place(before.writer, -len(before.streams))
        self.pool.place(session.writer, len(session.streams))
        self.twins.put(session.segment, session.descriptor, session.writer)
        self.sessions[session.dialog_id] = session
        if session.untold:
            self._compare(session.writer)
        if before.writer != session.writer and session.former is None:
            self._compare(before.writer)

    def _compare(self, writer: str) -> None:
        """Have a writer compared again, if it is heard: that may have been before what it was not told was agreed."""
        client = self.pool.clients.get(writer)
        if client and client.connected:
            self.pool.reconcile(client)

    def opening(self, segment: UUID, client: WriterClient, capture: str) -> None:
        """Take note of a capture before it is opened, so that nobody closes it as a stranger's."""
        self.under_way[segment] = UnderWay(client.name, capture, client.connections)

    def settled(self, segment: UUID) -> None:
        """Forget a capture under way: a session has it now, or nobody.

        If its writer was reconnected meanwhile, it is compared again: it was not asked for this capture.
        """
        made = self.under_way.pop(segment, None)
        client = self.pool.clients.get(made.writer) if made else None
        if made and client and client.connected and client.connections != made.connection:
            self.pool.reconcile(client)

    async def checkpoint_captures(self, dialog_id: str, *others: tuple[str, str]) -> None:
        """Make a live session known with its present capture, after other captures of its segment: writers and paths.

        Flows of the dialog go on meanwhile: each checkpoint says what is so when it is made.
        """
        for other in (*others, None):
            session = self.sessions.get(dialog_id)
            if session is None:
                return
            try:
                dialog = self.agent.snapshot(dialog_id)
            except LostError:
                _log.warning(
                    "dialog ended before captures of it were known", record_identifier=session.record_identifier
                )
                return
            await self.checkpoint(session, dialog, capture=other or (session.writer, session.capture_path))

    async def checkpoint(
        self,
        session: Session,
        dialog: bytes | None,
        *,
        capture: tuple[str, str] | None = None,
        streams_changed: bool = False,
    ) -> None:
        """Make a session durable.

        Args:
            session: to be made durable.
            dialog: the user agent's snapshot.
            capture: writer and path of a capture of it that the catalog may not know yet.
            streams_changed: what the catalog shows of its streams is not so any more.

        Raises:
            StaleEpoch: another frontend has the lease.
            OSError: nothing takes it; what needs it must not be promised.

        """
        self.written[session.dialog_id] = session
        await self.catalog.write(
            DialogCheckpoint(
                epoch=self.catalog.epoch,
                dialog_id=session.dialog_id,
                segment_id=session.segment,
                writer=name_of(session.writer),
                host=self.node_of(capture[0]) if capture else None,
                capture_path=capture[1] if capture else None,
                snapshot=encode_checkpoint(session, dialog),
                made=(self.catalog.epoch, next(self._numbers)),
                streams=stream_openings(session.streams, session.participants) if streams_changed else None,
            )
        )

    async def succeed(
        self,
        session: Session,
        dialog: bytes | None,
        *,
        capture: tuple[str, str] | None = None,
        streams_changed: bool = False,
    ) -> Session | None:
        """Make a changed session durable, then put it in the place of the former one, and return that.

        A writer of it may die meanwhile. The replacement adopts the streams as they were, but for those that are being
        paused (`commanded`), and is told how they are; and what was made durable of it in between is not the last word.
        Arguments as for `checkpoint`.

        Raises:
            StaleEpoch, OSError: as `checkpoint`.

        """
        while True:
            await self.checkpoint(session, dialog, capture=capture, streams_changed=streams_changed)
            present = self.sessions.get(session.dialog_id)
            if present is None:
                return None
            adopted = self._as_adopted(session, present)
            if adopted == session and self.written.get(session.dialog_id) is session:
                return self.replace(session)
            if adopted.capture != session.capture:
                capture = (adopted.writer, adopted.capture_path)
            for place in adopted.places():
                if not session.at(place.writer, place.capture):
                    await self._tell_replacement(place)
            session = adopted

    async def _tell_replacement(self, place: Session | Move) -> None:
        try:
            await self.pool.clients[place.writer].modify(place.capture, place.streams, "adopted")
        except (WriterRefusedError, ChannelLostError) as error:
            # Dead as well, as like as not: the next one adopts what stands here then.
            _log.warning("replacement not told of a change", writer=place.writer, reason=str(error))

    async def discard_move(self, session: Session, move: Move) -> None:
        """Discard the capture of a move that the session no longer has; one that holds media joins its segment."""
        if await self.discard_capture(move.writer, move.capture, move.capture_path):
            await self.checkpoint_captures(session.dialog_id, (move.writer, move.capture_path))

    async def discard_capture(self, writer: str, capture: str, path: str) -> bool:
        """End a capture that no answer is known to have promised; remove it unless media came to it all the same.

        Returns whether it holds media, and is kept.
        """
        if self.pool.is_lost(writer):
            return False
        with suppress(WriterRefusedError, ChannelLostError):
            closed = await self.pool.clients[writer].close(capture, "rejected")
            if any(stream.packets for stream in closed.streams):
                # The client may have accepted, and its answer was lost: nobody else has what it sent here.
                _log.warning("discarded capture holds media and is kept", writer=writer, path=path)
                return True
            if self.pool.is_local(writer):
                with suppress(OSError):
                    await asyncio.to_thread(os.unlink, path)
        return False

    async def writer_restored(self, dialog_id: str) -> None:
        """Wait, if the writer of a session has died, until its replacement has the session.

        Before that, a command would be refused, and the packets that wait in the kernel would be nobody's.
        """
        session = self.sessions.get(dialog_id)
        if session:
            await self.reconciled(session.writer)

    async def reconciled(self, writer: str) -> None:
        """Wait, if a writer has died, until its replacement has all its sessions, or the limit has passed.

        Nobody replaces a writer of a lost host.
        """
        if self.pool.is_lost(writer):
            return
        reconciled = self.pool.clients[writer].reconciled
        if reconciled.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPLACEMENT_S):
                await reconciled.wait()

    def media_host(self, writer_host: str, flow: Flow) -> str:
        """Return the address that a client reaches a writer at: by default the one it called."""
        return specific_address(writer_host) or flow.local[0]

    def node_of(self, writer: str) -> str:
        """Return the host of a writer."""
        return node_of(writer) or self.settings.node

    def instance_of(self, writer: str) -> str:
        """Return the recorder process whose sockets a writer uses; empty if its host is not heard."""
        return self.instance if self.pool.is_local(writer) else self.instances().get(node_of(writer), "")


def specific_address(host: str) -> str:
    """Return `host`, or an empty text when it stands for every address of the machine."""
    return "" if not host or ipaddress.ip_address(host).is_unspecified else host
