"""Commands on sessions, durability, and what to do when a disk fails: the writer's decisions.

Synchronous: each method does a bounded piece of work and returns, so that one loop can do everything. Owns captures and
ports; knows no connection, and no timer but the turns of its visits. docs/storage-format.md; media/writer/protocol.py.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec
import numpy as np

from media.container import model
from media.errors import LostError
from media.writer.arena import Arena
from media.writer.capture_file import CaptureFile
from media.writer.capture_store import CaptureStore
from media.writer.clock_watch import ClockWatch
from media.writer.config import PortPair, WriterConfig
from media.writer.kernel import datagram_waits, prepare_socket
from media.writer.packet_source import Turn
from media.writer.protocol import (
    CloseSession,
    Command,
    Heartbeat,
    ListSessions,
    ModifySession,
    OpenSession,
    RefusalReason,
    Refused,
    Reply,
    SessionClosed,
    SessionFailed,
    SessionList,
    SessionModified,
    SessionOpened,
    SessionsSettled,
    SettleSessions,
)
from media.writer.reading import begin_reading
from media.writer.roster import CommandRefused, Roster, check_command
from media.writer.rounds import Rounds
from media.writer.source_choice import open_source
from media.writer.standstill import Standstill, uptime
from media.writer.stream import LiveSession, LiveStream, session_summary, stored_stream, stream_report
from media.writer.syncing import Outcome, Syncer
from media.writer.table import PortTable
from media.writer.withholding import Withholding

_log: Final = logging.getLogger(__name__)

Answer = Callable[[Reply], None]
"""Sends one reply to whoever asked; harmless when the asker has gone."""

_LATE_S: Final = 1.0
"""A visit so late is told in the capture."""
_REMEMBERED: Final = 1024
"""Ended sessions whose last answer is kept for a frontend that asks again after a takeover."""
_STOP_S: Final = 10.0
"""Seconds for the last syncs when the writer stops."""
_S_TO_NS: Final = 1_000_000_000


class Engine:
    """Captures sessions on the granted ports.

    Args:
        config: settings.
        pairs: granted ports.
        max_sessions: captures that may be open at once (file descriptors).
        rings: packet rings of this writer; without one, the sockets of `pairs` are read.
        clock: monotonic seconds.
        wall_ns: wall clock, nanoseconds since the epoch.
        uptime: seconds, counted while the machine is suspended as well.

    Obligation: call `visit` whenever `next_turn` has come, `collect` when `syncer.fd` is readable, and send to every
    frontend a `heartbeat` every sync interval and what `announcements` gives. After a disk error `failed` says why,
    nothing is read from any socket, and the packets wait for another process.

    """

    def __init__(
        self,
        config: WriterConfig,
        pairs: Sequence[PortPair],
        *,
        max_sessions: int,
        rings: Sequence[socket.socket] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        self._config = config
        self._max_sessions = max_sessions
        self._clock = clock
        self._wall_ns = wall_ns
        for pair in pairs:
            for sock in (pair.rtp, pair.rtcp):
                if sock is not None:
                    prepare_socket(sock)
        self._arena = Arena(config.arena_path, len(pairs))
        table = PortTable(len(pairs))
        self._table = table
        if not self._arena.outlives:
            # Without a predecessor's word: packets that wait at our start belong to a session to be adopted.
            self._arena.busy[:] = [datagram_waits(pair.rtp) for pair in pairs]
        reserved = np.flatnonzero(self._arena.busy)
        self._roster = Roster(
            pairs,
            table,
            busy=self._arena.busy,
            cooldown_s=config.cooldown_s,
            reserved_until=clock() + config.recovery_s,
        )
        self._standstill = standstill = Standstill(config.standstill_s, uptime)
        self._reading = begin_reading(config, self._arena, table, self._roster, standstill=standstill, wall_ns=wall_ns)
        self._intake = self._reading.intake
        self._source = open_source(
            config,
            pairs,
            rings,
            arena=self._arena,
            intake=self._intake,
            table=table,
            roster=self._roster,
            reserved=reserved,
            wall_ns=wall_ns,
        )
        self.withholding = Withholding(self._standstill, self._roster, self._reading, self._source)
        self.syncer = Syncer()
        self._store = CaptureStore(config.capture_dir, self.syncer)
        self._syncing = False
        self._rounds = Rounds(config.sync_interval_s, clock())
        self._epoch = 0
        self._closing: dict[str, list[tuple[Answer, int]]] = {}
        self._ended = OrderedDict[str, SessionClosed]()
        self._announcements: list[SessionFailed] = []
        self._started = clock()
        self._clock_watch = ClockWatch(clock, wall_ns)
        self._progress = 0
        self.failed = ""
        """Empty, or why this writer has stopped capturing."""

    # Visits

    def next_turn(self) -> float | None:
        """Return the monotonic seconds at which `visit` has something to do, or None."""
        return None if self.failed or self._standstill.number else self._rounds.next_turn

    def visit(self) -> bool:
        """Make the visit whose turn it is, or end the round behind the last one; say whether there was one."""
        self._progress += 1
        now = self._clock()
        self._tell_clock_step()
        if self.failed:
            return False
        self._reading.reporter.turn(now, self._wall_ns())
        try:
            turn = None if self.withholding.waits(now, self._wall_ns()) else self._next(now)
            if turn is None:
                return False
            if turn.since_s > self._config.sync_interval_s + _LATE_S:
                late = model.Late(at_ns=self._wall_ns(), stalled_ns=int(turn.since_s * _S_TO_NS))
                for session in turn.sessions:
                    session.file.event(late)
            turn.take()
            for session in turn.sessions:
                session.file.flush()
        except LostError as error:
            self._fail(str(error))
        return True

    def _next(self, now: float) -> Turn | None:
        if not self._rounds.under_way:
            if not self._rounds.begin(now):
                return None
            self._source.begin(now)
        turn = self._source.due(now)
        if turn is None:
            # Not on a timer of its own: what a power loss may cost would be the sum of both intervals.
            self._rounds.under_way = False
            if not self._syncing:
                self._syncing = True
                self.syncer.sync_file_system(self._store.root, self._synced)
        return turn

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of this moment, with a fresh look at the disk."""
        now = self._clock()
        if now - self._started > self._config.recovery_s:
            self._source.forget_saved()
        self._store.measure()
        return Heartbeat(
            writer=self._config.writer,
            progress=self._progress,
            sessions=len(self._roster.by_name),
            streams=sum(len(session.streams) for session in self._roster.by_name.values()),
            free_ports=self._roster.available_ports(now) if not self.failed else 0,
            packets=self._intake.packets,
            kernel_drops=self._intake.kernel_drops,
            free_bytes=self._store.free_bytes,
            cpu_seconds=time.process_time(),
            failed=self.failed,
            standstill=self._standstill.number,
        )

    def collect(self) -> None:
        """Take the results of syncs, and send the answers that waited for them."""
        self.syncer.collect()

    def announcements(self) -> list[SessionFailed]:
        """Return and forget what every frontend must be told."""
        found, self._announcements = self._announcements, []
        return found

    # Commands

    def handle(self, command: Command, answer: Answer) -> None:
        """Carry out a command; `answer` is called once, now or when a sync has finished."""
        self._tell_clock_step()
        self._standstill.look()
        try:
            self._fence(command.epoch)
            match command:
                case OpenSession():
                    self._open(command, answer)
                case ModifySession():
                    answer(self._modify(command))
                case CloseSession():
                    self._close(command, answer)
                case ListSessions():
                    answer(self._list(command))
                case SettleSessions():
                    self._require_working()
                    self.withholding.settle(command.standstill, command.untold, self._clock(), self._wall_ns())
                    answer(SessionsSettled(request=command.request))
        except CommandRefused as refused:
            answer(Refused(request=command.request, reason=refused.reason, detail=refused.detail))
        except LostError as error:
            self._fail(str(error))
            answer(Refused(request=command.request, reason=RefusalReason.DISK_FAILED, detail=str(error)))

    def _fence(self, epoch: int) -> None:
        if epoch < self._epoch:
            raise CommandRefused(RefusalReason.STALE_EPOCH, f"epoch {epoch} is older than {self._epoch}")
        self._epoch = epoch

    def _open(self, command: OpenSession, answer: Answer) -> None:
        self._require_working()
        check_command(command.session, command.streams)
        session = self._roster.by_name.get(command.session)
        if session is None:
            session = self._create(command)
        elif session.requested != command.streams:
            raise CommandRefused(RefusalReason.SESSION_EXISTS, "open with other streams")
        reply = partial(self._opened, session, command.request)
        if session.waiting is None:
            answer(reply())
        else:
            session.waiting.append((answer, reply))

    def _opened(self, session: LiveSession, request: int) -> Reply:
        if self.failed:
            return Refused(request=request, reason=RefusalReason.DISK_FAILED, detail=self.failed)
        return SessionOpened(
            request=request,
            session=session.identifier,
            host=session.host,
            ports=session.ports(),
            capture_path=str(session.file.path),
        )

    def _create(self, command: OpenSession) -> LiveSession:
        if self._store.free_bytes < self._config.min_free_bytes:
            raise CommandRefused(RefusalReason.DISK_FULL, f"{self._store.free_bytes} bytes free")
        if len(self._roster.by_name) >= self._max_sessions:
            raise CommandRefused(RefusalReason.NO_FREE_PORT, "no file descriptor left for another capture")
        now = self._clock()
        streams = self._roster.allocate(command.streams, now)
        host = self._config.advertised_host or streams[0].pair.host
        try:
            file = self._create_file(command, streams, host)
        except BaseException:
            self._roster.give_back(streams)
            raise
        session = LiveSession(
            identifier=command.session, slot=-1, requested=list(command.streams), file=file, host=host, streams={}
        )
        self._roster.enter(session)
        for stream in streams:
            self._connect(session, stream, adopt=command.adopt)
        self._source.add(session, now)
        if command.adopt:
            self._source.adopt(session, streams)
        else:
            self._source.disown(streams)
        self.syncer.sync_files(self._store.to_sync(file), partial(self._open_synced, session))
        return session

    def _connect(self, session: LiveSession, stream: LiveStream, *, adopt: bool) -> None:
        self._source.connect(stream, adopt=adopt)
        self._roster.connect(session, stream)
        self._reading.enter(stream, self._clock(), self._wall_ns(), adopt=adopt)

    def _create_file(self, command: OpenSession, streams: Sequence[LiveStream], host: str) -> CaptureFile:
        body = model.Session(
            session=command.session,
            writer=self._config.writer,
            host=host,
            wall_ns=self._wall_ns(),
            monotonic_ns=int(self._clock() * _S_TO_NS),
            adopted=command.adopt,
            descriptor=command.descriptor,
            streams=[stored_stream(stream.spec) for stream in streams],
        )
        return self._store.create(body)

    def _open_synced(self, session: LiveSession, outcome: Outcome) -> None:
        if outcome is not None:
            self._fail(f"{session.file.path}: {outcome.strerror}")
        waiting, session.waiting = session.waiting, None
        for answer, reply in waiting or ():
            answer(reply())

    def _modify(self, command: ModifySession) -> Reply:
        self._require_working()
        check_command(command.session, command.streams)
        session = self._find(command.session)
        # What has arrived until now belongs to the old table: recorded if it was recording, discarded if it was paused.
        self._source.drain(session)
        now = self._clock()
        wanted = {spec.index: spec for spec in command.streams}
        staying = {
            index
            for index, stream in session.streams.items()
            if index in wanted and wanted[index].port in {0, stream.spec.port}
        }
        fresh = self._roster.allocate([spec for spec in command.streams if spec.index not in staying], now)
        for index in [index for index in session.streams if index not in staying]:
            self._finish_stream(session, session.streams[index], now)
        for index in staying:
            self._roster.change(session.streams[index], wanted[index])
            self._reading.change(session.streams[index], now, self._wall_ns())
        for stream in fresh:
            self._connect(session, stream, adopt=False)
        session.streams = dict(sorted(session.streams.items()))
        self._source.refresh(session)
        table = [stored_stream(stream.spec) for stream in session.streams.values()]
        session.file.event(model.Streams(at_ns=self._wall_ns(), cause=command.cause, streams=table))
        session.file.flush()
        return SessionModified(
            request=command.request, session=session.identifier, host=session.host, ports=session.ports()
        )

    def _close(self, command: CloseSession, answer: Answer) -> None:
        ended = self._ended.get(command.session)
        if ended is not None:
            answer(msgspec.structs.replace(ended, request=command.request))
            return
        if command.session not in self._closing:
            self._require_working()
            self._end(self._find(command.session), command.cause)
        self._closing[command.session].append((answer, command.request))

    def _end(self, session: LiveSession, cause: str) -> None:
        self._source.drain(session)
        now = self._clock()
        for stream in list(session.streams.values()):
            self._finish_stream(session, stream, now)
        totals = sorted(session.finished, key=lambda one: one.index)
        session.file.end(model.End(cause=cause, at_ns=self._wall_ns(), streams=totals))
        self._source.remove(session)
        self._roster.leave(session)
        closed = SessionClosed(
            request=0,
            session=session.identifier,
            capture_path=str(session.file.path),
            streams=[stream_report(one) for one in totals],
        )
        self._closing[session.identifier] = []
        self.syncer.sync_files((session.file.fd,), partial(self._end_synced, session, closed))

    def _end_synced(self, session: LiveSession, closed: SessionClosed, outcome: Outcome) -> None:
        session.file.close()
        waiting = self._closing.pop(session.identifier)
        if outcome is not None:
            self._fail(f"{session.file.path}: {outcome.strerror}")
            for answer, request in waiting:
                answer(Refused(request=request, reason=RefusalReason.DISK_FAILED, detail=self.failed))
            return
        self._ended[session.identifier] = closed
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        for answer, request in waiting:
            answer(msgspec.structs.replace(closed, request=request))

    def _finish_stream(self, session: LiveSession, stream: LiveStream, now: float) -> None:
        dropped = self._source.untold_drops(stream)
        if dropped:
            since = int(self._table.last_arrival_ns[stream.row])
            self._intake.sifter.tell_drops(stream.row, 0, dropped, since, self._wall_ns())
        self._reading.leave(stream, self._wall_ns())
        session.finished.append(self._roster.disconnect(session, stream, now))

    def _list(self, command: ListSessions) -> Reply:
        return SessionList(
            request=command.request,
            standstill=self._standstill.number,
            sessions=[
                session_summary(self._table, session)
                for session in self._roster.by_name.values()
                if command.session in {"", session.identifier}
            ],
        )

    def _find(self, identifier: str) -> LiveSession:
        session = self._roster.by_name.get(identifier)
        if session is None:
            raise CommandRefused(RefusalReason.UNKNOWN_SESSION, "no such session in this writer")
        return session

    def _require_working(self) -> None:
        if self.failed:
            raise CommandRefused(RefusalReason.DISK_FAILED, self.failed)

    # Faults and the end

    def _fail(self, reason: str) -> None:
        """Stop capturing for good: after an error the kernel may have thrown away what it said it had taken."""
        if self.failed:
            return
        self.failed = reason
        self._standstill.forget()
        _log.critical("writer failed", extra={"writer": self._config.writer, "reason": reason})
        for session in self._roster.by_name.values():
            self._announcements.append(SessionFailed(session=session.identifier, detail=reason))

    def _synced(self, outcome: Outcome) -> None:
        self._syncing = False
        if outcome is not None:
            self._fail(f"{self._config.capture_dir}: {outcome.strerror}")

    def _tell_clock_step(self) -> None:
        """Look for one; before anything in a capture gets a time: it would be taken for one before the step."""
        step = self._clock_watch.step_ns()
        if not step or self.failed:
            return
        _log.warning("wall clock stepped", extra={"writer": self._config.writer, "step_ns": step})
        self._table.clock_stepped(step)
        for session in self._roster.by_name.values():
            session.file.event(model.Clock(at_ns=self._wall_ns(), step_ns=step))

    def stop(self, cause: str) -> None:
        """End every capture that is still open, with this cause, and make it durable."""
        try:
            if self._standstill.look():
                self.withholding.give_up(self._clock(), self._wall_ns())
            for session in [] if self.failed else list(self._roster.by_name.values()):
                self._end(session, cause)
        except LostError as error:
            self._fail(str(error))
        self.syncer.close(_STOP_S)
        self._arena.close()
        self._store.close()
