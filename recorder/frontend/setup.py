"""A new INVITE becomes a recording session: door, offer/answer, capture, checkpoint, and only then the 200."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import structlog

from media.writer.protocol import SessionOpened, StreamSpec
from recorder.doors.client_clock import with_date
from recorder.doors.entrance import Refused, read_invite
from recorder.doors.refusal import warning, why_unusable
from recorder.doors.request import RecordingRequest, well_formed
from recorder.edge.profile import PeerProfile
from recorder.errors import ChannelLostError, NoWriterError, WriterRefusedError
from recorder.frontend.ability import RETRY_AFTER_BUSY_S
from recorder.frontend.frontend import Frontend
from recorder.frontend.negotiation import (
    late_offer_specs,
    remarks,
    session_origin,
    stream_openings,
    stream_specs,
    with_ports,
)
from recorder.frontend.protection import keys_of, own_keys
from recorder.frontend.session import Session, encode_checkpoint
from recorder.writer_pool.pool import name_of
from signaling.errors import LostError
from signaling.sdp.offer_answer import MediaPlan, initial_offer, plan
from signaling.siprec import RecordingSession
from signaling.useragent import InviteReceived, Prepared
from storage.catalog.records import OpeningMetadata, SegmentClosing, SegmentOpening

_log = structlog.get_logger()

_REPLACEMENT_S: Final = 5.0
"""How long an INVITE waits for a writer when all of them died together; the client has its 100 Trying."""
_ROUNDS: Final = 2
"""Of asking the writers; the second for one that died over the first."""
_MAX_PRODUCT: Final = 128
"""Characters of a User-Agent that tell one kind of client from another."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """An INVITE that shall become a session."""

    event: InviteReceived
    request: RecordingRequest
    media: MediaPlan | None
    """None if the offer is to be ours."""
    profile: PeerProfile
    started: float
    """Monotonic seconds at which the INVITE was looked at."""
    log: Any


class SessionSetup:
    """Opens sessions of one frontend."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    async def invite(self, event: InviteReceived) -> None:
        """Answer a new INVITE.

        One that is cancelled meanwhile is answered by the user agent; what was set up for it is undone.
        """
        frontend = self._frontend
        started = frontend.clock()
        log = _log.bind(call_id=event.request.call_id, peer=f"{event.flow.remote[0]}:{event.flow.remote[1]}")
        await frontend.pool.wait_until_one_is_healthy(_REPLACEMENT_S)
        obstacle = frontend.ability.obstacle(source=event.flow.remote[0])
        if obstacle:
            log.warning("session refused", status=503, reason=obstacle.reason)
            self._refuse(event, 503, [("Retry-After", str(obstacle.retry_after_s))])
            return
        profile = frontend.edge.profiles.choose(event.request, event.flow.remote[0])
        log = log.bind(profile=profile.name)
        request = read_invite(event.request, profile)
        if isinstance(request, Refused):
            log.warning("session refused", status=request.status, reason=request.reason)
            self._refuse(event, request.status, request.headers)
            return
        log = log.bind(record_identifier=request.record_identifier, door=request.door.value)
        media = plan(request.offer, None, profile.answer) if request.offer is not None else None
        if media is not None and (why := why_unusable(media)):
            log.warning("session refused", status=488, reason=why)
            self._refuse(event, 488, [warning(why)])
            return
        request = with_date(request, event.request, frontend.wall_clock())
        if media and (remarked := remarks(media)):
            request = dataclasses.replace(request, warnings=(*request.warnings, *remarked))
        with frontend.ability.occupancy.setting_up(event.flow.remote[0]):
            await self._open(_Wanted(event, request, media, profile, started, log))

    async def _open(self, wanted: _Wanted) -> None:
        segment = uuid4()
        try:
            await self._open_segment(segment, wanted)
        finally:
            live = self._frontend.sessions.get(wanted.event.dialog_id)
            if live is None or live.segment != segment:
                self._frontend.twins.drop(segment)
            self._frontend.settled(segment)

    async def _open_segment(self, segment: UUID, wanted: _Wanted) -> None:
        frontend, event, media, profile, log = (
            self._frontend, wanted.event, wanted.media, wanted.profile, wanted.log,
        )  # fmt: skip
        keys = own_keys(media.streams) if media else {}
        specs = stream_specs(media.streams, (), profile, keys) if media else late_offer_specs(profile)
        descriptor = _descriptor(wanted.request, event, profile)
        try:
            opened, writer, capture = await self._open_capture(segment, descriptor, specs)
        except NoWriterError as error:
            log.error("session refused", status=503, reason=str(error))
            self._refuse(event, 503, [("Retry-After", str(RETRY_AFTER_BUSY_S))])
            return
        session = self._session(
            wanted, opened, segment=segment, writer=writer, capture=capture, specs=specs, descriptor=descriptor
        )
        sdp = _describe(session, wanted, opened, keys)
        try:
            prepared = frontend.agent.prepare(event.request_id, 200, body=sdp, content_type="application/sdp")
        except LostError:
            await frontend.discard_capture(session.writer, session.capture, session.capture_path)
            log.info("session cancelled before its answer", segment=segment.hex)
            return
        if not await self._checkpointed(session, wanted, prepared):
            return
        await self._wait_for_slow_client(wanted.started, profile)
        if not frontend.agent.send(prepared, frontend.clock()):
            await self._close_cancelled(session)
            log.info("session cancelled before its answer", segment=segment.hex)
            return
        frontend.transport.flush()
        frontend.add(session)
        log.info(
            "recording",
            segment=segment.hex,
            writer=writer,
            streams={spec.index: spec.port for spec in session.streams},
            media_host=session.host,
            set_up_ms=round((frontend.clock() - wanted.started) * 1000, 1),
        )
        if wanted.request.warnings:
            # Whoever connects a client looks here; `recordings show` has them too.
            log.warning("recording with warnings", warnings=list(wanted.request.warnings))

    def _session(
        self,
        wanted: _Wanted,
        opened: SessionOpened,
        *,
        segment: UUID,
        writer: str,
        capture: str,
        specs: list[StreamSpec],
        descriptor: dict[str, object],
    ) -> Session:
        """Return the session as the writer has opened it."""
        frontend, event, request = self._frontend, wanted.event, wanted.request
        return Session(
            dialog_id=event.dialog_id,
            call_id=well_formed(event.request.call_id),
            record_identifier=request.record_identifier,
            door=request.door.value,
            instance=frontend.instance_of(writer),
            segment=segment,
            writer=writer,
            capture=capture,
            capture_path=opened.capture_path,
            opened_at=frontend.wall_clock(),
            profile=wanted.profile.name,
            peer=event.flow.remote[0],
            product=well_formed(event.request.headers.get("User-Agent") or "")[:_MAX_PRODUCT],
            host=frontend.media_host(opened.host, event.flow),
            streams=with_ports(specs, opened.ports),
            participants={index: dict(who) for index, who in request.participants.items()},
            metadata=request.metadata_state,
            metadata_type=request.metadata.content_type if request.metadata else "",
            snapshot_wanted=request.metadata is not None and not _has_snapshot(request.metadata_state),
            descriptor=descriptor,
        )

    async def _checkpointed(self, session: Session, wanted: _Wanted, prepared: Prepared) -> bool:
        """Make durable what the 200 promises; False if that cannot be, and the INVITE is refused."""
        frontend = self._frontend
        try:
            await frontend.catalog.write(self._opening_row(session, wanted.request, prepared, wanted.event))
        except OSError as error:
            wanted.log.critical("session refused", status=503, reason=f"no checkpoint possible: {error}")
            await frontend.discard_capture(session.writer, session.capture, session.capture_path)
            self._refuse(wanted.event, 503, [("Retry-After", str(RETRY_AFTER_BUSY_S))])
            return False
        return True

    async def _open_capture(
        self, segment: UUID, descriptor: dict[str, object], specs: list[StreamSpec]
    ) -> tuple[SessionOpened, str, str]:
        """Ask the writers, best first; returns the answer, the writer, and the name of the capture.

        Raises:
            NoWriterError: none of them takes the session.

        """
        pool, twins = self._frontend.pool, self._frontend.twins
        capture = segment.hex
        for attempt in range(_ROUNDS):
            if attempt:
                await pool.wait_until_one_is_healthy(_REPLACEMENT_S)
            for client in pool.choose(len(specs), apart=twins.writers(segment, descriptor)):
                # Before the answer: the copy of this call may come in the same instant.
                twins.put(segment, descriptor, client.name)
                self._frontend.opening(segment, client, capture)
                try:
                    return await client.open(capture, descriptor, specs), client.name, capture
                except (WriterRefusedError, ChannelLostError) as error:
                    _log.warning("writer does not take the session", writer=client.name, reason=str(error))
                    # The writer may have made the file before it died.
                    capture = uuid4().hex
                    self._frontend.settled(segment)
        raise NoWriterError(pool.why_none())

    def _opening_row(
        self, session: Session, request: RecordingRequest, prepared: Prepared, event: InviteReceived
    ) -> SegmentOpening:
        return SegmentOpening(
            epoch=self._frontend.catalog.epoch,
            segment_id=session.segment,
            record_identifier=request.record_identifier,
            door=request.door,
            call=request.call,
            parameters=request.parameters,
            warnings=request.warnings,
            opened_at=session.opened_at,
            writer=name_of(session.writer),
            host=self._frontend.node_of(session.writer),
            capture_path=session.capture_path,
            sip_call_id=session.call_id,
            local_tag=event.dialog_id.rpartition(";")[2],
            remote_tag=well_formed(event.request.from_.tag or ""),
            dialog_id=session.dialog_id,
            dialog_snapshot=encode_checkpoint(session, prepared.snapshot),
            descriptor=session.descriptor,
            streams=stream_openings(session.streams, session.participants),
            metadata=OpeningMetadata(
                content_type=request.metadata.content_type,
                body=request.metadata.body,
                keep_body=self._frontend.settings.metadata.keep_raw,
            )
            if request.metadata
            else None,
        )

    async def _wait_for_slow_client(self, started: float, profile: PeerProfile) -> None:
        # Some clients lose an answer that comes faster than their own bookkeeping (reference: src-profiles E8).
        delay_ms = profile.answer_delay_ms
        if delay_ms is None:
            delay_ms = self._frontend.settings.sip.answer_delay_ms
        remaining = started + delay_ms / 1000 - self._frontend.clock()
        if remaining > 0:
            await asyncio.sleep(remaining)

    async def _close_cancelled(self, session: Session) -> None:
        frontend = self._frontend
        with suppress(WriterRefusedError, ChannelLostError):
            await frontend.pool.clients[session.writer].close(session.capture, "cancelled")
        frontend.tracer.ended(session.dialog_id, session.segment)
        await frontend.catalog.write(
            SegmentClosing(
                epoch=frontend.catalog.epoch,
                segment_id=session.segment,
                closed_at=frontend.wall_clock(),
                cause="cancelled",
            )
        )

    def _refuse(self, event: InviteReceived, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        frontend = self._frontend
        with suppress(LostError):
            frontend.agent.respond(event.request_id, status, headers=headers, now=frontend.clock())
            frontend.transport.flush()


def _describe(session: Session, wanted: _Wanted, opened: SessionOpened, keys: Mapping[int, bytes]) -> bytes:
    """Return our description for the 200, answer or offer, and remember in the session which it is."""
    media, origin = wanted.media, session_origin(session.segment, session.host)
    if media:
        answer = media.to_answer(session.host, opened.ports, origin, keys)
        session.negotiation = media.negotiation(answer).snapshot()
        return answer.encode()
    ports = [spec.port for spec in session.streams]
    offer = initial_offer(session.host, ports, origin, wanted.profile.answer, keys=keys_of(session.streams)).encode()
    session.pending_offer = offer
    return offer


def _has_snapshot(state: RecordingSession | None) -> bool:
    return state is not None and state.snapshot_seen


def _descriptor(request: RecordingRequest, event: InviteReceived, profile: PeerProfile) -> dict[str, object]:
    return {
        "record_identifier": request.record_identifier,
        "door": request.door.value,
        "profile": profile.name,
        "sip_call_id": well_formed(event.request.call_id),
        "call": {key: value for key, value in msgspec.to_builtins(request.call).items() if value is not None},
        "parameters": [list(pair) for pair in request.parameters],
    }
