"""Move a running session to another writer by an offer of our own (RFC 3264 section 8.3.1): re-INVITE, else UPDATE.

The new ports receive before the offer leaves; the old ones are read until media arrive on the new or a limit has
passed, because some relays answer 200 and go on sending to the old port. Both captures belong to the segment, and the
renderer takes each packet once. Each step is an event of its own, so that a BYE or a re-INVITE of the client never
waits behind our request. What a client makes of our offers decides which are tried (`capabilities`); when none is left,
the old writer goes on with what still arrives, and `failed` counts up.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec
import structlog

from media.writer.protocol import StreamSpec
from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.capabilities import Capabilities, Outcome
from recorder.frontend.frontend import Frontend
from recorder.frontend.lane import Lane, RunLater
from recorder.frontend.negotiation import stream_specs, with_ports
from recorder.frontend.protection import keys_of, with_fresh_keys
from recorder.frontend.session import FormerCapture, Move, Session
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import node_of
from signaling.errors import LocalProtocolError
from signaling.sdp import SdpSyntaxError, parse_sdp
from signaling.sdp.offer_answer import Negotiation, conclude, offer_for_move
from signaling.sip import Response
from signaling.useragent import PreparedRequest, RequestTimedOut, ResponseReceived

_log = structlog.get_logger()

_FOLLOW_LIMIT_S: Final = 5.0
"""How long the old ports are read after the client has accepted the move."""
_LOOK_S: Final = 0.2
_LATE_ANSWER_S: Final = 4.5
"""A client that has accepted the offer of a process before us repeats its 2xx at least every T2, 4 s, until our ACK;
an offer of ours that comes before it is refused. Nothing is lost meanwhile: both writers are listening."""
_READY_MOVES_PER_S: Final = 2000
"""Offers that are made already, and have only to be sent. What finds no room in a client's socket
comes again after 500 ms."""
_AT_ONCE: Final = 32
"""Sessions of a lost or doubted host that are worked on at the same time: enough for writers and catalog to take
several together, and few, because each gap ends with its own move and not with the last one."""
_OTHERS_FIRST_S: Final = 1.0
"""How long the answer to an offer waits for offers to others, at most."""
_AGAIN_S: Final = 2.0
"""Between two attempts for a session whose media nobody receives."""
_REFUSALS: Final = frozenset({405, 488, 501})
"""Answers that say "never", as opposed to "not now"."""


class _Ready(NamedTuple):
    """An offer that is durable and has not left."""

    prepared: PreparedRequest
    move: Move
    negotiation: bytes
    streams: list[StreamSpec]

    def fits(self, session: Session) -> bool:
        """Whether the session is as it was when the offer was made."""
        return (session.move, session.negotiation, session.streams) == (self.move, self.negotiation, self.streams)


class MediaMoves:
    """Moves sessions of one frontend."""

    def __init__(self, frontend: Frontend, run_later: RunLater) -> None:
        self._frontend = frontend
        self._run_later = run_later
        self._lane = Lane(run_later, at_once=_AT_ONCE)
        self.capabilities = Capabilities(frontend)
        self._ready: dict[str, _Ready] = {}
        """Offers that leave when a doubted host is lost, by dialog."""
        self.failed = 0
        """Sessions that stayed where they were although they should have moved."""

    async def start(self, dialog_id: str, cause: str) -> None:
        """Open the session at another writer and offer its address to the client."""
        session = self._frontend.sessions.get(dialog_id)
        if session is None or not session.negotiation:
            return
        log = _bound(session, cause)
        ready = self._ready.pop(dialog_id, None)
        if ready and ready.fits(session) and not self._frontend.pool.is_lost(ready.move.writer):
            self._send(ready.prepared, ready.move, log)
            return
        if session.move and not self._frontend.pool.is_lost(session.move.writer):
            if ready:
                # The client has changed its session meanwhile: the same place, another offer.
                await self._offer(session, log)
            return
        if session.move:
            session = _without_move(session)
            self._frontend.replace(session)
        if not self._ladder(session):
            self.failed += 1
            log.error("media not moved: this client takes no offer", peer=session.peer, profile=session.profile)
            return
        try:
            move = await self._open(session, log)
            if move:
                await self._offer(msgspec.structs.replace(session, move=move), log)
            elif self._frontend.pool.is_lost(session.writer):
                self._run_later(_AGAIN_S, dialog_id, partial(self.leave, dialog_id))
        finally:
            self._frontend.settled(session.segment)

    def host_doubted(self, node: str) -> None:
        """Make ready what has to be done if this host is lost, up to the offers."""
        # Of those that have ended meanwhile nobody else thinks.
        self._ready = {dialog: ready for dialog, ready in self._ready.items() if dialog in self._frontend.sessions}
        for session in self._of(node):
            self._lane.add(session.dialog_id, partial(self._arm, session.dialog_id))

    def host_heard(self, node: str) -> None:
        """Undo that: its heartbeats were only late."""
        for session in self._of(node):
            self._run_later(0, session.dialog_id, partial(self._disarm, session.dialog_id))

    def _of(self, node: str) -> list[Session]:
        return [session for session in self._frontend.sessions.values() if node_of(session.writer) == node]

    async def _arm(self, dialog_id: str) -> None:
        session, pool = self._frontend.sessions.get(dialog_id), self._frontend.pool
        if session is None or not session.negotiation or session.move or not self._ladder(session):
            return
        node = node_of(session.writer)
        if node not in pool.doubted:
            return
        log = _bound(session, "doubt")
        try:
            move = await self._open(session, log)
            if move:
                ready = await self._prepare(msgspec.structs.replace(session, move=move), log)
                if ready:
                    self._ready[dialog_id] = ready
        finally:
            self._frontend.settled(session.segment)
        if node not in pool.doubted and not pool.is_lost(session.writer):
            await self._disarm(dialog_id)

    async def _disarm(self, dialog_id: str) -> None:
        ready, session = self._ready.pop(dialog_id, None), self._frontend.sessions.get(dialog_id)
        if ready is None or session is None or session.move is None or session.move.request != ready.move.request:
            return
        await self._give_up(session, session.move)

    def host_lost(self, node: str) -> None:
        """Move every session whose media, or whose next media, went to a host that is lost; paced."""
        homeless = [one.dialog_id for one in self._frontend.sessions.values() if self._is_homeless(one)]
        if homeless:
            _log.error("moving the sessions of a lost host", host=node, sessions=len(homeless))
        wait_s = 0.0
        for dialog_id in homeless:
            move = partial(self.leave, dialog_id)
            if dialog_id in self._ready:
                self._run_later(wait_s, dialog_id, move)
                wait_s += 1 / _READY_MOVES_PER_S
            else:
                self._lane.add(dialog_id, move)

    def _is_homeless(self, session: Session) -> bool:
        is_lost = self._frontend.pool.is_lost
        return is_lost(session.writer) or (session.move is not None and is_lost(session.move.writer))

    async def leave(self, dialog_id: str) -> None:
        """Move a session whose host is lost, unless an answer to its client's own offer has done so meanwhile."""
        session = self._frontend.sessions.get(dialog_id)
        if session and self._is_homeless(session):
            await self.start(dialog_id, "host-lost")

    async def at_next_writer(self, session: Session, specs: list[StreamSpec]) -> Session | None:
        """Return a session of a lost host as it is at the next writer, with streams that its client has just offered.

        Our answer tells the client where: it sends there from then on, and no offer of ours has to follow. None if no
        writer takes it. What is opened for it stays under way until the caller has settled the segment.
        """
        frontend, log = self._frontend, _bound(session, "offer")
        self._ready.pop(session.dialog_id, None)
        move = session.move
        if move is None or frontend.pool.is_lost(move.writer):
            move = await self._open(session, log)
        if move is None:
            return None
        ports = {spec.index: spec.port for spec in move.streams}
        wanted = with_fresh_keys(msgspec.structs.replace(spec, port=ports.get(spec.index, 0)) for spec in specs)
        try:
            reply = await frontend.pool.clients[move.writer].modify(move.capture, wanted, "move")
        except (WriterRefusedError, ChannelLostError) as error:
            log.warning("writer does not take the session", writer=move.writer, reason=str(error))
            if session.move is None:
                await frontend.discard_capture(move.writer, move.capture, move.capture_path)
            return None
        log.info("media moved", writer=move.writer, before=session.writer)
        return self._arrived(session, move, with_ports(wanted, reply.ports))

    def _arrived(self, session: Session, move: Move, streams: list[StreamSpec]) -> Session:
        """Return the session at the writer that it moved to."""
        return msgspec.structs.replace(
            session,
            instance=self._frontend.instance_of(move.writer),
            writer=move.writer,
            capture=move.capture,
            capture_path=move.capture_path,
            host=move.host,
            streams=streams,
            move=None,
            untold=False,
        )

    def resume(self) -> None:
        """Go on with the moves of a process before us: its offer may have been accepted, refused, or never sent.

        A late answer to it concludes the move; without one the same offer is made again.
        """
        pool = self._frontend.pool
        for session in self._frontend.sessions.values():
            if session.move and not pool.is_lost(session.move.writer):
                # Where nobody receives meanwhile, an offer that comes too early is refused for now, and made again.
                wait_s = 0.0 if pool.is_lost(session.writer) else _LATE_ANSWER_S
                self._run_later(wait_s, session.dialog_id, partial(self._offer_anew, session.dialog_id))
            elif pool.is_lost(session.writer) or session.move:
                # Its turn comes with the others of its host.
                continue
            elif session.former:
                self._look_again(session.dialog_id, self._frontend.clock() + _FOLLOW_LIMIT_S)

    async def _offer_anew(self, dialog_id: str) -> None:
        session = self._frontend.sessions.get(dialog_id)
        if session and session.move:
            await self._offer(session, _bound(session, "takeover"))

    async def _open(self, session: Session, log: Any) -> Move | None:
        specs = with_fresh_keys(msgspec.structs.replace(spec, port=0) for spec in session.streams)
        frontend, here = self._frontend, frozenset({session.writer})
        copies = frontend.twins.writers(session.segment, session.descriptor) - here
        for client in frontend.pool.choose(len(specs), avoid=here, apart=copies):
            if client.name == session.writer:
                continue
            capture = uuid4().hex
            self._frontend.opening(session.segment, client, capture)
            try:
                opened = await client.open(capture, session.descriptor, specs)
            except (WriterRefusedError, ChannelLostError) as error:
                log.warning("writer does not take the session", writer=client.name, reason=str(error))
                self._frontend.settled(session.segment)
                continue
            host = session.host if opened.host in {"", "0.0.0.0", "::"} else opened.host  # noqa: S104 - compared
            return Move(
                writer=client.name,
                capture=capture,
                capture_path=opened.capture_path,
                host=host,
                streams=with_ports(specs, opened.ports),
            )
        log.error("media not moved: no other writer takes the session")
        return None

    async def _offer(self, session: Session, log: Any) -> None:
        ready = await self._prepare(session, log)
        if ready:
            self._send(ready.prepared, ready.move, log)

    def _send(self, prepared: PreparedRequest, move: Move, log: Any) -> None:
        frontend = self._frontend
        if frontend.agent.send(prepared, frontend.clock()):
            frontend.transport.flush()
            ports = {one.index: one.port for one in move.streams}
            log.info("media move offered", writer=move.writer, method=move.method, streams=ports)
            return
        # The client's own offer came first.
        session = frontend.sessions.get(prepared.dialog_id)
        if session and session.move and session.move.request == prepared.request_id:
            frontend.replace(msgspec.structs.replace(session, move=msgspec.structs.replace(session.move, request="")))
            self._run_later(_LOOK_S, session.dialog_id, partial(self.retry_offer, session.dialog_id))

    async def _prepare(self, session: Session, log: Any) -> _Ready | None:
        """Build the offer of a move and make it durable; None when it cannot be made, or not now."""
        frontend = self._frontend
        move = await self._as_paused(session, log)
        if move is None:
            return None
        ladder = self._ladder(session)
        if not ladder:
            await self._abandon(session, "client takes no offer", log)
            return None
        move = msgspec.structs.replace(move, method=ladder[0])
        previous = Negotiation.restore(session.negotiation)
        offer = offer_for_move(
            previous, move.host, {spec.index: spec.port for spec in move.streams}, keys=keys_of(move.streams)
        )
        move = msgspec.structs.replace(move, offer=offer.encode())
        try:
            prepared = frontend.agent.prepare_request(
                session.dialog_id, move.method, body=move.offer, content_type="application/sdp"
            )
        except LocalProtocolError:
            # The client's own offer is open: ours waits for its end (RFC 3261 section 14.1).
            frontend.replace(msgspec.structs.replace(session, move=move))
            self._run_later(_LOOK_S, session.dialog_id, lambda: self.retry_offer(session.dialog_id))
            return None
        move = msgspec.structs.replace(move, request=prepared.request_id)
        offering = msgspec.structs.replace(session, move=move, negotiation=previous.offered(offer).snapshot())
        await self._checkpoint(offering, prepared.snapshot)
        return _Ready(prepared, move, offering.negotiation, offering.streams)

    def _ladder(self, session: Session) -> tuple[str, ...]:
        return self.capabilities.ladder(session, self._frontend.agent.state(session.dialog_id).peer_methods)

    async def _as_paused(self, session: Session, log: Any) -> Move | None:
        """Pause at the new writer what the client has paused since it was opened there; None if that cannot be.

        The client may go on sending, and from its answer on it sends to the new writer.
        """
        move = session.move
        recording = {spec.index: spec.recording for spec in session.streams}
        if move is None or all(recording.get(spec.index) == spec.recording for spec in move.streams):
            return move
        specs = [msgspec.structs.replace(spec, recording=recording.get(spec.index, False)) for spec in move.streams]
        try:
            await self._frontend.pool.clients[move.writer].modify(move.capture, specs, "move")
        except (WriterRefusedError, ChannelLostError) as error:
            await self._abandon(session, str(error), log)
            return None
        return msgspec.structs.replace(move, streams=specs)

    async def retry_offer(self, dialog_id: str) -> None:
        """Offer again once the glare is over, if the move is still wanted."""
        session = self._frontend.sessions.get(dialog_id)
        if session and session.move and not session.move.request:
            await self._offer(session, _bound(session, "glare"))

    async def answered(self, event: ResponseReceived) -> None:
        """Take the client's answer to our re-INVITE; answers to other requests of ours change nothing."""
        session = self._frontend.sessions.get(event.dialog_id)
        if session is None or session.move is None or session.move.request != event.request_id:
            return
        # Its media come already: those come first whose media nobody receives.
        await self._lane.free(_OTHERS_FIRST_S)
        # Its replacement, if it has died meanwhile, brings another capture.
        await self._frontend.reconciled(session.move.writer)
        session = self._frontend.sessions.get(event.dialog_id)
        if session is None or session.move is None:
            return
        log = _bound(session, "answer")
        status = event.response.status
        if event.response.is_success:
            await self._accepted(session, event.response, log)
        elif event.retry_in is None:
            if status in _REFUSALS:
                await self._next_rung(session, Outcome.REFUSED, status, log)
            else:
                await self._abandon(session, f"client answered {status}", log)
        else:
            # Not now: the user agent says when to try again.
            self._frontend.replace(
                msgspec.structs.replace(session, move=msgspec.structs.replace(session.move, request=""))
            )

    async def timed_out(self, event: RequestTimedOut) -> None:
        """Take note that the client does not answer our offer."""
        session = self._frontend.sessions.get(event.dialog_id)
        if session and session.move and session.move.request == event.request_id:
            await self._next_rung(session, Outcome.IGNORED, None, _bound(session, "timeout"))

    async def _next_rung(self, session: Session, outcome: Outcome, status: int | None, log: Any) -> None:
        """Learn that the client does not take this kind of offer, and try the next kind."""
        if session.move is None:
            return
        await self.capabilities.learn(session, session.move.method, outcome, status)
        session = self._frontend.sessions.get(session.dialog_id, session)
        if self._ladder(session):
            await self._offer(session, log)
        else:
            reason = "client did not answer" if status is None else f"client answered {status}"
            await self._abandon(session, reason, log)

    async def _accepted(self, session: Session, response: Response, log: Any) -> None:
        frontend, move = self._frontend, session.move
        if move is None:
            return
        previous = Negotiation.restore(session.negotiation)
        profile = frontend.edge.profiles.named(session.profile)
        try:
            conclusion = conclude(parse_sdp(move.offer), parse_sdp(response.body), previous, profile.answer)
        except SdpSyntaxError as error:
            await self._abandon(session, f"answer unreadable: {error}", log)
            return
        specs = stream_specs(conclusion.streams, move.streams, profile)
        client = frontend.pool.clients[move.writer]
        try:
            try:
                reply = await client.modify(move.capture, specs, "move")
            except ChannelLostError:
                # Dead just now. The client's media come to its ports already: its replacement has to read them.
                await frontend.reconciled(move.writer)
                session = frontend.sessions.get(session.dialog_id, session)
                move = session.move or move
                reply = await client.modify(move.capture, specs, "move")
        except (WriterRefusedError, ChannelLostError) as error:
            await self._abandon(session, str(error), log)
            return
        left_behind = frontend.pool.is_lost(session.writer)
        moved = msgspec.structs.replace(
            self._arrived(session, move, with_ports(specs, reply.ports)),
            negotiation=conclusion.negotiation.snapshot(),
            former=None if left_behind else FormerCapture(writer=session.writer, capture=session.capture),
        )
        await self._checkpoint(moved, frontend.agent.snapshot(session.dialog_id), new_capture=True)
        log.info("media moved", writer=move.writer, before=session.writer)
        await self.capabilities.learn(session, move.method, Outcome.ANSWERED, response.status)
        if not left_behind:
            self._look_again(session.dialog_id, frontend.clock() + _FOLLOW_LIMIT_S)

    def _look_again(self, dialog_id: str, deadline: float) -> None:
        self._run_later(_LOOK_S, dialog_id, lambda: self.follow(dialog_id, deadline))

    async def follow(self, dialog_id: str, deadline: float) -> None:
        """Read the old ports until media arrive on the new ones, or the deadline; then close the old capture."""
        frontend = self._frontend
        session = frontend.sessions.get(dialog_id)
        if session is None or session.former is None:
            return
        log = _bound(session, "move")
        expected = {spec.index for spec in session.streams if spec.recording}
        if not await _arriving(frontend.pool.clients[session.writer], session.capture) >= expected:
            if frontend.clock() < deadline:
                self._look_again(dialog_id, deadline)
                return
            log.warning("client accepted the move, but its media do not follow")
        try:
            await frontend.pool.clients[session.former.writer].close(session.former.capture, "moved")
        except (WriterRefusedError, ChannelLostError) as error:
            log.warning("old capture not closed", reason=str(error))
        session = frontend.sessions.get(dialog_id)
        if session:
            frontend.replace(msgspec.structs.replace(session, former=None))

    async def _abandon(self, session: Session, reason: str, log: Any) -> None:
        """Leave the session as it was (RFC 3261 section 14.1): the old writer goes on with what still arrives."""
        frontend, move = self._frontend, session.move
        if move is None:
            return
        self.failed += 1
        log.error("media not moved", reason=reason, writer=move.writer)
        await self._give_up(session, move)
        if frontend.pool.is_lost(session.writer):
            self._run_later(_AGAIN_S, session.dialog_id, partial(self.leave, session.dialog_id))

    async def _give_up(self, session: Session, move: Move) -> None:
        frontend = self._frontend
        before = await frontend.succeed(_without_move(session), frontend.agent.snapshot(session.dialog_id))
        # A replacement writer has given it another capture, if the one of before has died.
        await frontend.discard_move(session, before.move if before and before.move else move)

    async def _checkpoint(self, session: Session, dialog: bytes, *, new_capture: bool = False) -> None:
        capture = (session.writer, session.capture_path) if new_capture else None
        await self._frontend.succeed(session, dialog, capture=capture)


def _without_move(session: Session) -> Session:
    """Return the session as it is when its move is given up; what was offered stays known to its negotiation."""
    return msgspec.structs.replace(session, move=None)


async def _arriving(client: WriterClient, capture: str) -> set[int]:
    """Return the streams of a capture that have received something."""
    try:
        return {stream.index for stream in await client.received(capture) if stream.packets}
    except (WriterRefusedError, ChannelLostError):
        return set()


def _bound(session: Session, cause: str) -> Any:
    return _log.bind(record_identifier=session.record_identifier, segment=session.segment.hex, cause=cause)
