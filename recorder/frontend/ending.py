"""The end of a session: by BYE, by doubt about the peer, or by our own shutdown.

Order: capture durable, catalog row, then the 200 to the BYE (checkpoint before promise).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
import structlog

from recorder.doors.client_clock import date_of
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.frontend import ASKED_AGAIN, Frontend
from recorder.frontend.session import Session
from signaling.useragent import AckTimedOut, ByeReceived, DialogDoubted, SessionExpired
from storage.catalog.records import SegmentClosing

_log = structlog.get_logger()


_MEDIA_FRESH_S: Final = 10.0
"""A client that paused for longer than this would have said so; comfort noise comes more often."""
_DOUBTS: Final = {AckTimedOut: "no-ack", DialogDoubted: "dialog-gone", SessionExpired: "session-expired"}


def _names(session: Session) -> dict[str, str]:
    return {"record_identifier": session.record_identifier, "segment": session.segment.hex}


class SessionEnding:
    """Ends sessions of one frontend."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    async def bye(self, event: ByeReceived) -> None:
        """Close the capture, checkpoint, answer 200."""
        frontend = self._frontend
        await frontend.writer_restored(event.dialog_id)
        session = frontend.sessions.get(event.dialog_id)
        prepared = frontend.agent.prepare(event.request_id, 200)
        if session:
            await self._close(
                session, "bye", interrupted=False, dialog=prepared.snapshot, client_closed_at=date_of(event.request)
            )
        frontend.agent.send(prepared, frontend.clock())
        frontend.transport.flush()

    async def doubted(self, event: AckTimedOut | DialogDoubted | SessionExpired) -> None:
        """End a session whose peer seems gone, unless its media prove the contrary.

        The RFCs say SHOULD terminate; but the ACK or the refresh may have reached a frontend that died, and arriving
        RTP proves that the client goes on. Silence alone ends nothing either (design, section 5).
        """
        frontend = self._frontend
        session = frontend.sessions.get(event.dialog_id)
        if session is None:
            return
        if isinstance(event, DialogDoubted) and event.cause != "481" and event.request_id == session.snapshot_request:
            return  # a client that cannot answer a request for metadata is not gone
        cause = _DOUBTS[type(event)]
        if await self._media_arrive(session):
            _log.warning("dialog in doubt, but media arrive: recording on", cause=cause, **_names(session))
            return
        frontend.agent.bye(session.dialog_id, frontend.clock())
        frontend.transport.flush()
        await self._close(session, cause, interrupted=True)

    async def _media_arrive(self, session: Session) -> bool:
        try:
            streams = await self._frontend.pool.clients[session.writer].received(session.capture)
        except (WriterRefusedError, ChannelLostError):
            return False
        last = max((stream.last_arrival_ns for stream in streams), default=0)
        return self._frontend.wall_clock().timestamp() - last / 1e9 < _MEDIA_FRESH_S

    async def shut_down(self, session: Session) -> None:
        """End a session that outlasted the drain limit: BYE, so that the client can record elsewhere."""
        frontend = self._frontend
        if session.dialog_id not in frontend.sessions:
            return
        frontend.agent.bye(session.dialog_id, frontend.clock())
        frontend.transport.flush()
        await self._close(session, "shutdown", interrupted=True)

    async def _close(
        self,
        session: Session,
        cause: str,
        *,
        interrupted: bool,
        dialog: bytes | None = None,
        client_closed_at: datetime | None = None,
    ) -> None:
        frontend = self._frontend
        ended = await self._end_captures(session, cause)
        frontend.remove(session.dialog_id)
        await frontend.catalog.write(
            SegmentClosing(
                epoch=frontend.catalog.epoch,
                segment_id=session.segment,
                closed_at=frontend.wall_clock(),
                cause=cause,
                interrupted=interrupted,
                dialog_snapshot=dialog,
                client_closed_at=client_closed_at,
                warnings=() if ended else ("the writer did not confirm the end of the capture",),
            )
        )
        _log.info(
            "session ended",
            cause=cause,
            seconds=round((frontend.wall_clock() - session.opened_at).total_seconds(), 3),
            **_names(session),
        )

    async def _end_captures(self, session: Session, cause: str) -> bool:
        """End every capture of a session that is still live; whether the writers confirmed it.

        A writer that dies over it, or stands still until it is killed, is asked again once it is replaced: the last
        packets wait in the kernel.
        """
        frontend = self._frontend
        session = frontend.sessions.get(session.dialog_id, session)
        move, session = session.move, msgspec.structs.replace(session, move=None)
        if move:
            frontend.replace(session)
            await frontend.discard_move(session, move)
        open_ = session.captures()
        lost = set()
        for writer, capture in open_:
            if not await self._end_capture(session, writer, capture, cause):
                lost.add((writer, capture))
        if (session.writer, session.capture) in lost and await self._end_after_all(session, cause):
            lost.discard((session.writer, session.capture))
        return not lost

    async def _end_after_all(self, session: Session, cause: str) -> bool:
        frontend = self._frontend
        for _ in range(ASKED_AGAIN):
            if frontend.pool.is_lost(session.writer):
                break
            await frontend.reconciled(session.writer)
            present = frontend.sessions.get(session.dialog_id, session)
            if await self._end_capture(present, present.writer, present.capture, cause):
                return True
        return False

    async def _end_capture(self, session: Session, writer: str, capture: str, cause: str) -> bool:
        try:
            await self._frontend.pool.clients[writer].close(capture, cause)
        except (WriterRefusedError, ChannelLostError) as error:
            # The capture is readable to its last flushed block; only its END block is missing.
            _log.warning("capture not closed", capture=capture, reason=str(error), **_names(session))
            return False
        return True
