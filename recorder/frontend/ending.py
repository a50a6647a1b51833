"""The end of a session: by BYE, by a dialog that is lost, or by our own shutdown.

Order: capture durable, catalog row, then the 200 to the BYE (checkpoint before promise).
"""

from __future__ import annotations

import structlog

from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.frontend import Frontend
from recorder.frontend.session import Session
from signaling.useragent import ByeReceived, DialogEnded
from storage.catalog.records import SegmentClosing

_log = structlog.get_logger()


class SessionEnding:
    """Ends sessions of one frontend."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    async def bye(self, event: ByeReceived) -> None:
        """Close the capture, checkpoint, answer 200."""
        frontend = self._frontend
        session = frontend.remove(event.dialog_id)
        prepared = frontend.agent.prepare(event.request_id, 200)
        if session:
            await self._close(session, "bye", interrupted=False, dialog=prepared.snapshot)
        frontend.agent.send(prepared, frontend.clock())
        frontend.transport.flush()

    async def lost(self, event: DialogEnded) -> None:
        """Close what a dialog without goodbye leaves behind: session timer expired, peer says 481."""
        session = self._frontend.remove(event.dialog_id)
        if session:
            await self._close(session, event.cause, interrupted=True)

    async def shut_down(self, session: Session) -> None:
        """End a session that outlasted the drain limit: BYE, so that the client can record elsewhere."""
        frontend = self._frontend
        if frontend.remove(session.dialog_id) is None:
            return
        frontend.agent.bye(session.dialog_id, frontend.clock())
        frontend.transport.flush()
        await self._close(session, "shutdown", interrupted=True)

    async def _close(self, session: Session, cause: str, *, interrupted: bool, dialog: bytes | None = None) -> None:
        frontend = self._frontend
        session.ending = True
        warnings: tuple[str, ...] = ()
        try:
            await frontend.pool.clients[session.writer].close(session.segment.hex, cause)
        except (WriterRefusedError, ChannelLostError) as error:
            # The capture is readable to its last flushed block; only its END block is missing.
            warnings = ("the writer did not confirm the end of the capture",)
            _log.warning("capture not closed", record_identifier=session.record_identifier, reason=str(error))
        await frontend.catalog.write(
            SegmentClosing(
                epoch=frontend.catalog.epoch,
                segment_id=session.segment,
                closed_at=frontend.wall_clock(),
                cause=cause,
                interrupted=interrupted,
                dialog_snapshot=dialog,
                warnings=warnings,
            )
        )
        _log.info(
            "session ended",
            record_identifier=session.record_identifier,
            segment=session.segment.hex,
            cause=cause,
            seconds=round((frontend.wall_clock() - session.opened_at).total_seconds(), 3),
        )
