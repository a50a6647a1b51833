"""Take over what a dead process left: dialogs of a dead frontend, streams of a dead writer.

A replacement writer is given the ports that the supervisor kept; packets wait in the kernel meanwhile, and no SIP
message is sent. Sessions of another supervisor have lost their ports: they are closed as interrupted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID, uuid4

import msgspec
import structlog

from media.writer.protocol import StreamSpec
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.frontend import Frontend
from recorder.frontend.negotiation import with_ports
from recorder.frontend.session import Move, Session, decode_checkpoint
from recorder.ha.replica import KeptDialog
from recorder.ha.vault import SealedError
from recorder.writer_pool.client import WriterClient
from signaling.errors import SignalingError
from storage.catalog import Catalog
from storage.catalog.records import SegmentClosing, StoredDialog

_log = structlog.get_logger()

ANSWERS_REPEATED: Final = timedelta(seconds=32)
"""64*T1: so long a client over UDP may repeat a request (RFC 3261 section 17.2.2, Timer J)."""

Left: TypeAlias = StoredDialog | KeptDialog
"""A dialog that another frontend left, from the catalog or from its feed."""


class Recovery:
    """Restores sessions of one frontend.

    Args:
        frontend: the active one.
        holds: whether it has the lease at this moment.

    """

    def __init__(self, frontend: Frontend, holds: Callable[[], bool]) -> None:
        self.kept: list[KeptDialog] = []
        """What was restored, for our own standbys."""
        self._frontend, self._holds = frontend, holds
        self._began = frontend.wall_clock()
        self._comparing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One comparison of a writer at a time: two would adopt the same streams."""

    def restore(self, dialogs: Iterable[Left]) -> None:
        """Restore every live dialog, and get ready to repeat the last answer of those that have ended."""
        restored = 0
        for sealed in dialogs:
            try:
                left = self._frontend.catalog.unsealed(sealed)
            except SealedError as error:
                _log.error("dialog not restored", dialog_id=sealed.dialog_id, reason=str(error))
                continue
            if left.ended_at:
                self._repeat_answers(left, left.ended_at)
            elif self._restore(left):
                restored += 1
            else:
                continue
            self.kept.append(
                KeptDialog(
                    dialog_id=left.dialog_id,
                    segment_id=left.segment_id,
                    snapshot=sealed.snapshot,
                    made=left.made,
                    updated_at=left.updated_at,
                    ended_at=left.ended_at,
                )
            )
        if restored:
            _log.info("dialogs taken over", dialogs=restored)

    async def close_orphans(self, catalog: Catalog) -> None:
        """Close as interrupted what was open before us on this host and cannot go on."""
        frontend = self._frontend
        known = {session.segment for session in frontend.sessions.values()}
        # The active frontend of a site has the sessions of all its hosts.
        host = None if frontend.settings.ha.listen else frontend.settings.node
        for row in await catalog.open_segments(host=host, lease=frontend.settings.ha.lease):
            if row.segment_id not in known and row.opened_at < self._began:
                _log.warning(
                    "session found without an end", record_identifier=row.record_identifier, segment=row.segment_id.hex
                )
                await self._interrupt(row.segment_id, "recorder-restart")

    def _restore(self, stored: Left) -> bool:
        frontend = self._frontend
        try:
            session, dialog = decode_checkpoint(stored.snapshot)
            if frontend.settings.ha.listen:
                # If its host is lost the media are moved; if that was started anew, its writer takes the ports again.
                frontend.pool.expect(session.writer)
            elif session.instance != frontend.instance or session.writer not in frontend.pool.clients:
                return False
            # Its age says which answers nobody repeats a request for any more.
            age = (frontend.wall_clock() - stored.updated_at).total_seconds()
            frontend.agent.restore(dialog, frontend.clock(), age=max(0.0, age))
        except (msgspec.MsgspecError, SignalingError) as error:
            # One bad state costs one session, never the process.
            _log.error("dialog not restored", dialog_id=stored.dialog_id, reason=str(error))
            return False
        frontend.add(session)
        return True

    def _repeat_answers(self, stored: Left, ended_at: datetime) -> None:
        """Get ready for retransmissions of the BYE that ended a dialog: the 200 may have died with its sender."""
        frontend = self._frontend
        try:
            decode_checkpoint(stored.snapshot)
        except msgspec.MsgspecError:
            pass
        else:
            # Ended by us: its last checkpoint is of its lifetime, and promised the client nothing.
            return
        age = (frontend.wall_clock() - ended_at).total_seconds()
        try:
            frontend.agent.restore(stored.snapshot, frontend.clock(), age=age)
        except SignalingError as error:
            _log.error("ended dialog not restored", dialog_id=stored.dialog_id, reason=str(error))

    async def writer_connected(self, client: WriterClient) -> None:
        """Compare what the writer captures with what it should, and give it what it lacks."""
        async with self._comparing[client.name]:
            client.reconciled.clear()
            connection = client.connections
            try:
                await self._reconcile(client)
            finally:
                # One that has died meanwhile has still to be: its replacement, once that is connected.
                if client.connected and client.connections == connection:
                    client.reconciled.set()

    async def _reconcile(self, client: WriterClient) -> None:
        # Known before it is asked: what is opened from now on need not be in its answer.
        known = {one for session in self._frontend.sessions.values() for one in session.captures()}
        try:
            listed = await client.sessions()
            running = {summary.session for summary in listed.sessions}
            if not self._holds():
                # Frozen together with the writer, as like as not: whoever has the lease now knows more.
                return
            await self._settle(client, listed.standstill, running)
        except (WriterRefusedError, ChannelLostError) as error:
            _log.warning("writer not compared with its sessions", writer=client.name, reason=str(error))
            return
        missing = {(writer, capture) for writer, capture in known if writer == client.name and capture not in running}
        for dialog_id in list(self._frontend.sessions):
            session = self._frontend.sessions.get(dialog_id)
            if session is None:
                continue
            former = session.former
            if former and (former.writer, former.capture) in missing:
                # Its ports are free again; what still came to them after the move is what this death costs.
                self._frontend.replace(msgspec.structs.replace(session, former=None))
            for place in session.places():
                if (place.writer, place.capture) in missing:
                    await self._adopt(session, place, client)
        for stranger in self._strangers(client, running):
            # Sessions come and go while one is being closed.
            if not self._is_wanted(client.name, stranger):
                _log.warning("writer captures a session that no dialog owns", writer=client.name, capture=stranger)
                await self._close_stranger(client, stranger)

    def _strangers(self, client: WriterClient, running: set[str]) -> list[str]:
        """Return the captures of a writer that no dialog owns; one pass over the sessions for all of them together."""
        wanted = {capture for session in self._frontend.sessions.values() for _, capture in session.captures()}
        return [capture for capture in running - wanted if not self._is_wanted(client.name, capture)]

    async def _settle(self, client: WriterClient, standstill: int, running: set[str]) -> None:
        """Tell a writer what was agreed while it was lost, before it records what has waited for it since.

        Raises:
            WriterRefusedError, ChannelLostError: it was not told.

        """
        untold = [
            session
            for session in self._frontend.sessions.values()
            if session.untold and session.writer == client.name and session.capture in running
        ]
        if standstill or untold:
            # Nobody knows what was agreed about those that moved away or ended; and it is recorded elsewhere, or over.
            names = [*(session.capture for session in untold), *self._strangers(client, running)]
            await client.settle(standstill, names)
        for session in untold:
            await self._tell(client, session)

    async def _tell(self, client: WriterClient, session: Session) -> None:
        """Put in force what was agreed; until then the writer records nothing of the session."""
        try:
            await client.modify(session.capture, session.streams, "agreed-before")
        except (WriterRefusedError, ChannelLostError) as error:
            _log.warning(
                "writer not told of its session", writer=client.name, capture=session.capture, reason=str(error)
            )
            return
        present = self._frontend.sessions.get(session.dialog_id)
        if present and (present.capture, present.streams) == (session.capture, session.streams):
            told = msgspec.structs.replace(present, untold=False)
            self._frontend.replace(told)
            await self._frontend.checkpoint_captures(told.dialog_id)

    def _is_wanted(self, writer: str, capture: str) -> bool:
        frontend = self._frontend
        return any((made.writer, made.capture) == (writer, capture) for made in frontend.under_way.values()) or any(
            (writer, capture) in session.captures() for session in frontend.sessions.values()
        )

    async def _close_stranger(self, client: WriterClient, capture: str) -> None:
        try:
            await client.close(capture, "no-dialog")
        except (WriterRefusedError, ChannelLostError) as error:
            _log.warning("capture not closed", capture=capture, reason=str(error))

    async def _adopt(self, former: Session, place: Session | Move, client: WriterClient) -> None:
        """Open again what a session had at this writer, be it for the client's answer: its media may come already."""
        frontend = self._frontend
        log = _log.bind(record_identifier=former.record_identifier, writer=client.name, before=place.capture)
        capture, told = uuid4().hex, self._to_adopt(former, place)
        # What waits for streams that the dead writer was not told of may have been sent in a pause.
        untold = former.untold and place is former
        try:
            opened = await client.open(capture, former.descriptor, told, adopt=not untold)
            # As it is now: it may have changed, moved on or ended meanwhile.
            while (now := self._now_at(former.dialog_id, place)) and (wanted := self._to_adopt(*now)) != told:
                told = wanted
                await client.modify(capture, told, "adopted")
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("streams not adopted", reason=str(error))
            return
        if now is None:
            await self._close_stranger(client, capture)
            return
        session, present = now
        adopted = session.with_place(
            present,
            capture=capture,
            capture_path=opened.capture_path,
            streams=_at_ports(present.streams, opened.ports),
        )
        others = []
        if present is session:
            adopted = msgspec.structs.replace(adopted, instance=frontend.instance_of(client.name), untold=False)
        else:
            # What the dead writer may have of the new ports belongs to the segment too.
            others.append((present.writer, present.capture_path))
        frontend.adopt(adopted)
        await frontend.checkpoint_captures(adopted.dialog_id, *others)
        log.info("streams adopted by a replacement writer", capture=capture, under_way=present is not session)

    def _now_at(self, dialog_id: str, place: Session | Move) -> tuple[Session, Session | Move] | None:
        """Return the session as it is, and what has the capture of a place in it now; None if nothing has."""
        session = self._frontend.sessions.get(dialog_id)
        present = session.at(place.writer, place.capture) if session else None
        return (session, present) if session and present else None

    def _to_adopt(self, session: Session, place: Session | Move) -> list[StreamSpec]:
        """Return the streams of a place as its next writer is to have them.

        They are those that are agreed. But what a dead writer was told to leave out, because a pause is being agreed,
        is left out by its replacement as well; if nothing comes of the pause, whoever asked for it has it undone.
        """
        commanded = self._frontend.commanded.get(session.dialog_id, []) if place is session else []
        paused = {spec.index for spec in commanded if not spec.recording}
        return [
            msgspec.structs.replace(spec, recording=False) if spec.index in paused else spec for spec in place.streams
        ]

    async def _interrupt(self, segment_id: UUID, cause: str) -> None:
        frontend = self._frontend
        await frontend.catalog.write(
            SegmentClosing(
                epoch=frontend.catalog.epoch,
                segment_id=segment_id,
                closed_at=frontend.wall_clock(),
                cause=cause,
                interrupted=True,
            )
        )


def _at_ports(specs: list[StreamSpec], ports: Mapping[int, int]) -> list[StreamSpec]:
    """Return the specs at the ports where they were adopted; one that came meanwhile has its own."""
    return with_ports(specs, {spec.index: spec.port for spec in specs} | dict(ports))
