"""Take over what a dead process left: dialogs of a dead frontend, streams of a dead writer.

A replacement writer is given the ports that the supervisor kept; packets wait in the kernel meanwhile, and no SIP
message is sent. Sessions of another supervisor have lost their ports: they are closed as interrupted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import msgspec
import structlog

from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.frontend import Frontend
from recorder.frontend.negotiation import with_ports
from recorder.frontend.session import Move, Session, decode_checkpoint, encode_checkpoint
from recorder.ha.vault import SealedError
from recorder.writer_pool.client import WriterClient
from signaling.errors import SignalingError
from storage.catalog import Catalog
from storage.catalog.records import DialogCheckpoint, SegmentClosing, StoredDialog

_log = structlog.get_logger()

_ANSWERS_REPEATED: Final = timedelta(seconds=32)
"""64*T1: so long a client over UDP may repeat a request (RFC 3261 section 17.2.2, Timer J)."""


class Recovery:
    """Restores sessions of one frontend."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    async def take_over(self, catalog: Catalog) -> None:
        """Restore every live dialog of this host; what cannot go on is closed as interrupted."""
        restored = 0
        for sealed in await catalog.load_dialogs(ended_within=_ANSWERS_REPEATED):
            try:
                stored = self._frontend.catalog.unsealed(sealed)
            except SealedError as error:
                _log.error("dialog not restored", dialog_id=sealed.dialog_id, reason=str(error))
                continue
            if stored.ended_at:
                self._repeat_answers(stored, stored.ended_at)
            elif await self._restore(stored):
                restored += 1
        known = {session.segment for session in self._frontend.sessions.values()}
        for row in await catalog.open_segments(host=self._frontend.settings.node):
            if row.segment_id not in known:
                _log.warning(
                    "session found without an end", record_identifier=row.record_identifier, segment=row.segment_id.hex
                )
                await self._interrupt(row.segment_id, "recorder-restart")
        if restored:
            _log.info("dialogs taken over", dialogs=restored)

    async def _restore(self, stored: StoredDialog) -> bool:
        frontend = self._frontend
        try:
            session, dialog = decode_checkpoint(stored.snapshot)
            if session.instance != frontend.instance or session.writer not in frontend.pool.clients:
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

    def _repeat_answers(self, stored: StoredDialog, ended_at: datetime) -> None:
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
        try:
            await self._reconcile(client)
        finally:
            client.reconciled.set()

    async def _reconcile(self, client: WriterClient) -> None:
        try:
            running = {summary.session for summary in (await client.sessions()).sessions}
        except (WriterRefusedError, ChannelLostError) as error:
            _log.warning("writer did not list its sessions", writer=client.name, reason=str(error))
            return
        sessions = list(self._frontend.sessions.values())
        for session in sessions:
            if session.writer == client.name and session.capture not in running:
                await self._adopt(session, client)
            elif session.move and session.move.writer == client.name and session.move.capture not in running:
                await self._adopt_move(session, session.move, client)
            elif session.former and session.former.writer == client.name and session.former.capture not in running:
                # Its ports are free again; what still came to them after the move is what this death costs.
                self._frontend.replace(msgspec.structs.replace(session, former=None))
        wanted = {capture for session in sessions for writer, capture in session.captures() if writer == client.name}
        for stranger in running - wanted:
            _log.warning("writer captures a session that no dialog owns", writer=client.name, capture=stranger)
            try:
                await client.close(stranger, "no-dialog")
            except (WriterRefusedError, ChannelLostError) as error:
                _log.warning("capture not closed", capture=stranger, reason=str(error))

    async def _adopt(self, session: Session, client: WriterClient) -> None:
        frontend = self._frontend
        capture = uuid4().hex
        log = _log.bind(record_identifier=session.record_identifier, writer=client.name)
        try:
            opened = await client.open(capture, session.descriptor, session.streams, adopt=True)
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("streams not adopted", reason=str(error))
            return
        adopted = msgspec.structs.replace(
            session,
            capture=capture,
            capture_path=opened.capture_path,
            streams=with_ports(session.streams, opened.ports),
        )
        frontend.replace(adopted)
        await frontend.catalog.write(
            DialogCheckpoint(
                epoch=frontend.catalog.epoch,
                dialog_id=session.dialog_id,
                segment_id=session.segment,
                writer=client.name,
                host=frontend.settings.node,
                capture_path=opened.capture_path,
                snapshot=encode_checkpoint(adopted, frontend.agent.snapshot(session.dialog_id)),
            )
        )
        log.info("streams adopted by a replacement writer", capture=capture, before=session.capture)

    async def _adopt_move(self, session: Session, move: Move, client: WriterClient) -> None:
        """Open again what waits at this writer for the client's answer: its media may come there already."""
        frontend = self._frontend
        log = _log.bind(record_identifier=session.record_identifier, writer=client.name)
        capture = uuid4().hex
        try:
            opened = await client.open(capture, session.descriptor, move.streams, adopt=True)
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("streams under way not adopted", reason=str(error))
            return
        again = msgspec.structs.replace(
            move, capture=capture, capture_path=opened.capture_path, streams=with_ports(move.streams, opened.ports)
        )
        adopted = msgspec.structs.replace(session, move=again)
        frontend.replace(adopted)
        dialog = frontend.agent.snapshot(session.dialog_id)
        # What the dead writer may have of the new ports belongs to the segment too; then the present capture again.
        for path in (move.capture_path, session.capture_path):
            await frontend.catalog.write(
                DialogCheckpoint(
                    epoch=frontend.catalog.epoch,
                    dialog_id=session.dialog_id,
                    segment_id=session.segment,
                    writer=session.writer,
                    host=frontend.settings.node,
                    capture_path=path,
                    snapshot=encode_checkpoint(adopted, dialog),
                )
            )
        log.info("streams under way adopted by a replacement writer", capture=capture, before=move.capture)

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
