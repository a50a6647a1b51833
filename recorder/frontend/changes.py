"""What happens inside a session: re-INVITE, UPDATE, the answer in an ACK, metadata updates.

Order of a change: decide, command the writer (a pause is in force before it is acknowledged), checkpoint, answer.
A change that fails leaves the session as it was (RFC 3261 section 14.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from media.writer.protocol import SessionModified, StreamSpec
from recorder.doors import siprec
from recorder.doors.entrance import Refused, read_change
from recorder.doors.refusal import NOT_A_DESCRIPTION, warning, why_unusable
from recorder.doors.request import MetadataDocument
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.frontend import ASKED_AGAIN, Frontend
from recorder.frontend.moving import MediaMoves
from recorder.frontend.negotiation import session_origin, stream_openings, stream_specs, with_ports
from recorder.frontend.protection import keys_of, own_keys
from recorder.frontend.session import Session
from recorder.frontend.snapshots import SnapshotRequests
from signaling.errors import LocalProtocolError, LostError
from signaling.sdp import SdpSyntaxError, parse_sdp
from signaling.sdp.offer_answer import Negotiation, conclude, offer_again, plan
from signaling.useragent import (
    AckReceived,
    Prepared,
    PreparedRequest,
    RefreshDue,
    ReinviteReceived,
    UpdateReceived,
)
from storage.catalog.records import MetadataRevision, StreamsChange

_log = structlog.get_logger()


class MediaChanges:
    """Changes sessions of one frontend."""

    def __init__(self, frontend: Frontend, moves: MediaMoves) -> None:
        self._frontend, self._moves = frontend, moves
        self._snapshots = SnapshotRequests(frontend)

    async def change(self, event: ReinviteReceived | UpdateReceived) -> None:
        """Answer a re-INVITE or UPDATE, with or without SDP, with or without metadata."""
        await self._change(event)
        if isinstance(event, UpdateReceived):
            self._snapshots.ask(event.dialog_id)

    async def _change(self, event: ReinviteReceived | UpdateReceived) -> None:
        frontend = self._frontend
        await frontend.writer_restored(event.dialog_id)
        session = frontend.sessions.get(event.dialog_id)
        cause = "reinvite" if isinstance(event, ReinviteReceived) else "update"
        if session is None:
            self._answer(event, 481)
            return
        log = _log.bind(record_identifier=session.record_identifier, segment=session.segment.hex, cause=cause)
        wanted = read_change(event.request)
        if isinstance(wanted, Refused):
            log.warning("change refused", status=wanted.status, reason=wanted.reason)
            self._answer(event, wanted.status, wanted.headers)
            return
        if wanted.offer is not None:
            try:
                await self._offered(session, event, wanted.offer, wanted.metadata, cause=cause, log=log)
            finally:
                frontend.commanded.pop(event.dialog_id, None)
                frontend.settled(session.segment)
            return
        if wanted.metadata:
            session = await self._metadata(session, wanted.metadata, session.streams)
        if isinstance(event, ReinviteReceived):
            await self._offer_again(session, event)
        else:
            # A refresh, or metadata alone: the media stay as they are.
            await self._send(session, frontend.agent.prepare(event.request_id, 200))

    async def _metadata(self, session: Session, document: MetadataDocument, specs: Sequence[StreamSpec]) -> Session:
        """Keep a metadata document and apply it: participants and call data are never lost by a partial one.

        Its labels mean the streams of the message that carries it (RFC 7866 section 7.1.1): `specs`.
        """
        frontend = self._frontend
        await frontend.catalog.write(
            MetadataRevision(
                epoch=frontend.catalog.epoch,
                segment_id=session.segment,
                received_at=frontend.wall_clock(),
                content_type=document.content_type,
                body=document.body,
                keep_body=frontend.settings.metadata.keep_raw,
            )
        )
        state, warnings = siprec.update(session.metadata, document)
        labels = {spec.index: spec.label or None for spec in specs}
        found, doubts = siprec.speakers(state, [labels.get(index) for index in range(max(labels, default=-1) + 1)])
        unreadable = state is session.metadata
        wanted = unreadable or state is None or not state.snapshot_seen
        updated = msgspec.structs.replace(
            session,
            metadata=state,
            metadata_type=document.content_type,
            participants={**session.participants, **found},
            snapshot_wanted=wanted,
            snapshot_request=session.snapshot_request if wanted else "",
        )
        await frontend.catalog.write(
            StreamsChange(
                epoch=frontend.catalog.epoch,
                segment_id=session.segment,
                streams=stream_openings(specs, updated.participants),
                call=siprec.facts(state, updated.participants, None),
                warnings=(*warnings, *doubts),
            )
        )
        return updated

    async def _offered(
        self,
        session: Session,
        event: ReinviteReceived | UpdateReceived,
        offer: bytes,
        metadata: MetadataDocument | None,
        *,
        cause: str,
        log: Any,
    ) -> None:
        """Answer an offer; metadata beside one that is refused say nothing about the session as it goes on."""
        frontend, before = self._frontend, session
        previous = Negotiation.restore(session.negotiation) if session.negotiation else None
        profile = frontend.edge.profiles.named(session.profile)
        try:
            media = plan(parse_sdp(offer), previous, profile.answer)
        except SdpSyntaxError as error:
            log.warning("change refused", status=488, reason=str(error))
            self._answer(event, 488, [warning(NOT_A_DESCRIPTION)])
            return
        if why := why_unusable(media):
            log.warning("change refused", status=488, reason=why)
            self._answer(event, 488, [warning(why)])
            return
        keys = own_keys(media.streams, session.streams)
        specs = stream_specs(media.streams, session.streams, profile, keys)
        try:
            session, specs = await self._command(session, specs, cause, answering=True)
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("change refused", status=500, reason=str(error))
            self._answer(event, 500)
            return
        changed = msgspec.structs.replace(session, streams=specs)
        try:
            if metadata:
                changed = await self._metadata(changed, metadata, specs)
            ports = {spec.index: spec.port for spec in specs}
            origin = session_origin(session.segment, session.host)
            answer = media.to_answer(session.host, ports, origin, keys_of(specs))
            changed = msgspec.structs.replace(
                changed, negotiation=media.negotiation(answer).snapshot(), pending_offer=b""
            )
            promised = await self._promised(event, changed, answer.encode(), streams_changed=media.changed)
        except OSError as error:
            log.error("change refused", status=500, reason=f"it cannot be made durable: {error}")
            await self._undo(before, changed, log)
            self._answer(event, 500)
            return
        if not promised:
            log.info("change cancelled before its answer")
            await self._undo(before, changed, log)
            return
        log.info(
            "media changed" if media.changed else "session refreshed",
            streams={spec.index: "recording" if spec.recording else "paused" for spec in specs},
            changes={stream.index: sorted(stream.changes) for stream in media.streams if stream.changes},
        )

    async def _promised(
        self, event: ReinviteReceived | UpdateReceived, changed: Session, answer: bytes, *, streams_changed: bool
    ) -> bool:
        """Checkpoint a change and answer 200; False if it was cancelled meanwhile and answered so.

        Raises:
            OSError: it is not durable, and not answered.

        """
        frontend = self._frontend
        try:
            prepared = frontend.agent.prepare(event.request_id, 200, body=answer, content_type="application/sdp")
        except LostError:
            return False
        return await self._send(changed, prepared, streams_changed=streams_changed)

    async def _undo(self, before: Session, changed: Session, log: Any) -> None:
        """Put in force again what was before a change that got no 2xx: nothing has changed (RFC 3261 section 14.1)."""
        frontend = self._frontend
        # First of all: a replacement that adopts the session right now is to have it as it was.
        frontend.commanded.pop(before.dialog_id, None)
        await frontend.writer_restored(before.dialog_id)
        session = frontend.sessions.get(before.dialog_id)
        if session is None:
            return
        if changed.writer != before.writer:
            # It was to go on there. It is where it was, but for a move that this has used up.
            frontend.replace(msgspec.structs.replace(before, move=None))
            await frontend.discard_capture(changed.writer, changed.capture, changed.capture_path)
            await self._moves.leave(before.dialog_id)
            return
        try:
            dialog = frontend.agent.snapshot(before.dialog_id)
            present = msgspec.structs.replace(session, streams=changed.streams)
            session, specs = await self._command(present, before.streams, "undone")
        except LostError:
            return  # the session is over as well
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("streams not as they were before a change that got no 2xx", reason=str(error))
            return
        restored = msgspec.structs.replace(
            session,
            negotiation=before.negotiation,
            pending_offer=before.pending_offer,
            streams=specs,
            metadata=before.metadata,
            participants=before.participants,
        )
        try:
            await self._checkpoint(restored, dialog, streams_changed=True)
        except OSError:
            # What is durable is then the session before the change, as it should be.
            frontend.replace(restored)

    async def _offer_again(self, session: Session, event: ReinviteReceived) -> None:
        """Answer a re-INVITE without SDP: our present description is the offer, the ACK brings the answer."""
        frontend = self._frontend
        if not session.negotiation:
            self._answer(event, 488, [warning("nothing has been agreed yet that could be offered")])
            return
        session, sdp = _offered_again(session)
        prepared = frontend.agent.prepare(event.request_id, 200, body=sdp, content_type="application/sdp")
        await self._send(msgspec.structs.replace(session, pending_offer=sdp), prepared)

    def awaits_ack(self, dialog_id: str) -> bool:
        """Whether an ACK may change anything now: it answers our offer, or the client is asked for metadata next."""
        session = self._frontend.sessions.get(dialog_id)
        return session is not None and (bool(session.pending_offer) or session.snapshot_wanted)

    async def ack(self, event: AckReceived) -> None:
        """Apply the answer that an ACK brings to an offer of ours; any other ACK changes nothing."""
        try:
            await self._acknowledged(event)
        finally:
            self._frontend.commanded.pop(event.dialog_id, None)
        self._snapshots.ask(event.dialog_id)

    async def _acknowledged(self, event: AckReceived) -> None:
        frontend = self._frontend
        session = frontend.sessions.get(event.dialog_id)
        if session is None or not session.pending_offer:
            return
        await frontend.writer_restored(event.dialog_id)
        session = frontend.sessions.get(event.dialog_id, session)
        log = _log.bind(record_identifier=session.record_identifier, segment=session.segment.hex)
        offer = parse_sdp(session.pending_offer)
        if not event.request.body:
            log.warning("ack without the answer that our offer asked for")
            return
        previous = Negotiation.restore(session.negotiation) if session.negotiation else None
        profile = frontend.edge.profiles.named(session.profile)
        try:
            conclusion = conclude(offer, parse_sdp(event.request.body), previous, profile.answer)
        except SdpSyntaxError as error:
            log.warning("answer in ack unreadable", reason=str(error))
            return
        specs = stream_specs(conclusion.streams, session.streams, profile)
        try:
            session, specs = await self._command(session, specs, "answer")
        except (WriterRefusedError, ChannelLostError) as error:
            log.error("answer in ack not applied", reason=str(error))
            return
        changed = msgspec.structs.replace(
            session, negotiation=conclusion.negotiation.snapshot(), pending_offer=b"", streams=specs
        )
        await self._checkpoint(changed, frontend.agent.snapshot(event.dialog_id), streams_changed=True)
        log.info("media agreed", streams={spec.index: spec.port for spec in specs})

    async def checkpoint(self, dialog_id: str) -> None:
        """Store the dialog as it is now: the user agent advises it."""
        session = self._frontend.sessions.get(dialog_id)
        if session:
            await self._checkpoint(session, self._frontend.agent.snapshot(dialog_id))

    async def refresh(self, event: RefreshDue) -> None:
        """Refresh the session with our unchanged description (RFC 4028 section 7.4)."""
        frontend = self._frontend
        session = frontend.sessions.get(event.dialog_id)
        if session is None or not session.negotiation:
            return
        session, sdp = _offered_again(session)
        try:
            prepared = frontend.agent.prepare_request(
                session.dialog_id, "INVITE", body=sdp, content_type="application/sdp"
            )
        except LocalProtocolError as error:
            # Another offer is open; its 2xx refreshes the session as well.
            _log.info("session not refreshed now", dialog_id=session.dialog_id, reason=str(error))
            return
        await self._send(session, prepared)

    async def _command(
        self, session: Session, specs: list[StreamSpec], cause: str, *, answering: bool = False
    ) -> tuple[Session, list[StreamSpec]]:
        """Put a stream table in force; returns the session as it is then, and the table with its ports.

        A writer that dies over it is asked again once it is replaced: a pause must not fail for its death. If its host
        is lost, the next writer has the session from now on, where that can still be said in our answer.

        Raises:
            WriterRefusedError, ChannelLostError: it is not in force, and the present writer is the last one asked.

        """
        frontend = self._frontend
        if specs == session.streams:
            return session, specs
        for _ in range(ASKED_AGAIN):
            if frontend.pool.is_lost(session.writer):
                break
            try:
                reply = await frontend.pool.clients[session.writer].modify(session.capture, specs, cause)
            except ChannelLostError as error:
                _log.warning("writer lost over a change", writer=session.writer, reason=str(error))
                await frontend.reconciled(session.writer)
                session = frontend.sessions.get(session.dialog_id, session)
            else:
                return session, self._in_force(session, specs, reply)
        if frontend.pool.is_lost(session.writer):
            return await self._without_writer(session, specs, answering=answering)
        reply = await frontend.pool.clients[session.writer].modify(session.capture, specs, cause)
        return session, self._in_force(session, specs, reply)

    def _in_force(self, session: Session, specs: list[StreamSpec], reply: SessionModified) -> list[StreamSpec]:
        """Take note of a stream table that a writer has put in force, and return it with its ports."""
        self._frontend.commanded[session.dialog_id] = specs
        return with_ports(specs, reply.ports)

    async def _without_writer(
        self, session: Session, specs: list[StreamSpec], *, answering: bool
    ) -> tuple[Session, list[StreamSpec]]:
        """Agree while the writer is lost: at the next one, or else with one that is told when it is heard again.

        It may be frozen, and its kernel go on receiving: what the client sends there from now on is not known to it.
        """
        if answering:
            moved = await self._moves.at_next_writer(session, specs)
            if moved:
                return moved, moved.streams
        untold = msgspec.structs.replace(session, untold=True)
        self._frontend.replace(untold)
        return untold, specs

    async def _checkpoint(self, session: Session, dialog: bytes | None, *, streams_changed: bool = False) -> None:
        """Make the changed session durable; it replaces the present one only then."""
        frontend = self._frontend
        before = frontend.sessions.get(session.dialog_id)
        moved = before is not None and before.writer != session.writer
        capture = (session.writer, session.capture_path) if moved else None
        await frontend.succeed(session, dialog, capture=capture, streams_changed=streams_changed)

    async def _send(
        self, session: Session, prepared: Prepared | PreparedRequest, *, streams_changed: bool = False
    ) -> bool:
        """Send a message that a session depends on once that is durable; False if nothing waits for it any more."""
        frontend = self._frontend
        await self._checkpoint(session, prepared.snapshot, streams_changed=streams_changed)
        sent = frontend.agent.send(prepared, frontend.clock())
        frontend.transport.flush()
        return sent

    def _answer(
        self, event: ReinviteReceived | UpdateReceived, status: int, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        frontend = self._frontend
        frontend.agent.respond(event.request_id, status, headers=headers, now=frontend.clock())
        frontend.transport.flush()


def _offered_again(session: Session) -> tuple[Session, bytes]:
    """Return our present description as an offer, and the session that knows of it."""
    negotiation = Negotiation.restore(session.negotiation)
    offer = offer_again(negotiation)
    return msgspec.structs.replace(session, negotiation=negotiation.offered(offer).snapshot()), offer.encode()
