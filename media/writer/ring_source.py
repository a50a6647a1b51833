"""Packet source B: one memory-mapped ring for all ports of a writer (docs/adr/0014). No commands, no files.

A visit reads every frame once: it sorts the packets by session, appends them in parts, and gives the frames back when
all of it is appended. So what a killed writer had not finished is still in the ring, and its successor finds it. While
there is no writer, the supervisor lets the sockets take their datagrams themselves; a successor adopts both.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from media.container import model
from media.writer.arena import PER_CALL, RTCP_BIT, Arena, Discarder
from media.writer.config import PortPair
from media.writer.diversion import LAST_TURNS, TURNS, Diversion
from media.writer.frames import LAYOUTS, FrameDatagrams, Heads, Layout, gather, straighten
from media.writer.intake import Intake
from media.writer.kernel import CONTROL_TIME, dropped_datagrams, drops_since
from media.writer.packet_socket import DATA, FRAME, accept_datagrams, refuse_datagrams
from media.writer.packet_source import Take, Turn
from media.writer.port_map import Fate, PortMap, Sorted
from media.writer.ring import PacketRing, Run
from media.writer.ring_queue import LongPackets
from media.writer.slots import Slots
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import NO_SESSION, PortTable

_log: Final = logging.getLogger(__name__)

_ROUND: Final = 1 << 16
"""Frames that are sorted together at most."""
_PART: Final = 4096
"""Packets appended in one go: some 2 ms of work, after which commands have their turn."""
_STALE_LIMIT: Final = 64 * PER_CALL
_TORN_S: Final = 0.05
"""Seconds that a drain waits for a frame that a processor is still filling: others have arrived behind it."""
_FLOOD: Final = 2000
"""Packets of one port in a reading, of 65,536 at most, up to which it is no flood."""
_FLOOD_RATE: Final = 5000
"""Packets a second and port up to which it is none, where a reading was late."""
_SAVED_LIMIT: Final = 1 << 18
"""Packets kept for adoption, 100 MB: 10 s of 500 streams; beyond, a successor would eat the memory of the host."""


class RingSource:
    """Empties packet rings into captures; implements `PacketSource`.

    Args:
        rings: the writer's rings, in use by nobody else.
        arena: what is remembered across writers, and memory to read sockets.
        intake: what appends.
        table: columns by port row.
        pairs: granted ports.
        streams: open streams by port row.
        reserved: port rows that wait for adoption.
        wall_ns: wall clock.

    """

    def __init__(
        self,
        rings: Sequence[PacketRing],
        arena: Arena,
        intake: Intake,
        table: PortTable,
        *,
        pairs: Sequence[PortPair],
        streams: Sequence[LiveStream | None],
        reserved: NDArray[np.int64],
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._rings = rings
        self._queues = [LongPackets(ring.sock) for ring in rings]
        self._arena = arena
        self._intake = intake
        self._table = table
        self._streams = streams
        self._wall_ns = wall_ns
        self._family = pairs[0].rtp.family
        self._map = PortMap([pair.port for pair in pairs], [pair.rtcp is not None for pair in pairs])
        self._paused = np.zeros(len(pairs), np.bool_)
        self._reserved = np.zeros(len(pairs), np.bool_)
        self._reserved[reserved] = True
        self._waiting = np.zeros(len(pairs), np.bool_)
        """Ports of streams whose keys are still to come: their sockets take the packets, as without a ring."""
        self._changed = True
        self._sessions: dict[int, LiveSession] = {}
        self._saved: dict[int, list[FrameDatagrams]] = {}
        self._saved_packets = 0
        self._work: Iterator[None] | None = None
        self._begun: float | None = None
        self._since_s: float | None = None
        self._visited_ns = wall_ns()
        self._discarder = Discarder()
        self._diversion = Diversion(
            rings, arena, intake, table, pairs=pairs, streams=streams, reserved=self._reserved, wall_ns=wall_ns
        )
        self._flooding: set[tuple[int, int]] = set()
        self._flood_limit = math.inf
        self._read_at: float | None = None
        # What a predecessor left is taken first: a full ring would lose what the sockets refuse from here on.
        self._finish(self._reading())
        for pair in pairs:
            for sock in (pair.rtp, pair.rtcp):
                if sock is not None:
                    refuse_datagrams(sock)
        for ring in rings:
            ring.untold_drops()

    def add(self, session: LiveSession, now: float) -> None:
        """Read for a session from now on."""
        self._sessions[session.slot] = session
        self.refresh(session)

    def remove(self, session: LiveSession) -> None:
        """Read for a session no more."""
        del self._sessions[session.slot]
        self._changed = True

    def refresh(self, session: LiveSession) -> None:
        """Take note of a session's changed streams."""
        for stream in session.streams.values():
            self._paused[stream.row] = not stream.spec.recording
            if self._waiting[stream.row] and not stream.awaits_keys:
                self._wait(stream, on=False)
                self._take_what_waited(stream)
        self._changed = True

    def connect(self, stream: LiveStream, *, adopt: bool) -> None:
        """Let packets of a port belong to a stream from now on."""
        self._finish(self._work)
        self._work = None
        self._finish(self._reading())
        self._diversion.end(stream.row)
        self._wait(stream, on=stream.awaits_keys)
        if not adopt:
            for sock in (stream.pair.rtp, stream.pair.rtcp):
                if sock is not None:
                    self._discarder.discard(sock.fileno(), _STALE_LIMIT)
        self._reserved[stream.row] = False
        self._paused[stream.row] = not stream.spec.recording
        self._changed = True

    def untold_drops(self, stream: LiveStream) -> int:
        """Return drops of a diverted port: a ring drops for all ports alike, and a visit tells it."""
        return self._diversion.untold_drops(stream)

    def begin(self, now: float) -> None:
        """Begin to read everything that waits."""
        self._work = self._reading()
        self._since_s = 0.0 if self._begun is None else now - self._begun
        self._begun = now

    def due(self, now: float) -> Turn | None:
        """Return the next part of the reading."""
        if self._work is None:
            return None
        since_s, self._since_s = self._since_s, None
        # A part has packets of any session; all are told of with the first.
        return Turn(since_s or 0.0, () if since_s is None else list(self._sessions.values()), self._go_on)

    def drain(self, session: LiveSession) -> None:
        """Take everything that has arrived until now, for every session."""
        work, self._work = self._work, None
        self._finish(work)
        self._finish(self._reading(LAST_TURNS))
        deadline = time.monotonic() + _TORN_S
        while any(ring.torn for ring in self._rings) and time.monotonic() < deadline:
            time.sleep(_TORN_S / 100)
            self._finish(self._reading())

    def adopt(self, session: LiveSession, streams: Sequence[LiveStream]) -> None:
        """Append what waited for the ports of these streams, in the ring and in their sockets."""
        pieces: list[tuple[Take, FrameDatagrams | Slots, int]] = []
        for stream in streams:
            for kind, take in enumerate((self._intake.take_rtp, self._intake.take_rtcp)):
                found: list[FrameDatagrams | Slots] = [
                    *self._forget(stream.row, kind),
                    *(() if stream.awaits_keys else self._left_in_socket(stream, kind)),
                ]
                if stream.spec.recording and not stream.awaits_keys:
                    pieces += [(take, one, stream.row) for one in _without_repetition(found)]
        count = sum(len(datagrams) for _, datagrams, _ in pieces)
        if count:
            session.file.event(model.Recovered(packets=count, at_ns=self._wall_ns()))
        for take, datagrams, row in pieces:
            take(datagrams, np.array([row], np.int64), np.array([len(datagrams)], np.int64), recovered=True)

    def disown(self, streams: Sequence[LiveStream]) -> None:
        """Forget what was saved for ports that now serve another session."""
        for stream in streams:
            for kind in (0, 1):
                self._forget(stream.row, kind)

    def forget_saved(self) -> None:
        """Reserve nothing any more."""
        if self._reserved.any():
            if self._saved:
                _log.warning("saved packets belong to no adopted session", extra={"packets": self._saved_packets})
            self._saved.clear()
            self._saved_packets = 0
            self._reserved[:] = False
            self._changed = True

    def _wait(self, stream: LiveStream, *, on: bool) -> None:
        """Let the sockets of a stream take its packets for the time being, or the ring again."""
        if self._waiting[stream.row] != on:
            self._diversion.end(stream.row)
            self._waiting[stream.row] = on
            self._changed = True
            for kind, sock in enumerate((stream.pair.rtp, stream.pair.rtcp)):
                if sock is not None and on:
                    accept_datagrams(sock)
                    # Until now it has counted what it refused.
                    self._arena.told_drops[stream.row, kind] = dropped_datagrams(sock)
                elif sock is not None:
                    dropped = drops_since(sock, int(self._arena.told_drops[stream.row, kind]))
                    refuse_datagrams(sock)
                    if dropped:
                        self._intake.sifter.tell_drops(stream.row, kind, dropped, 0, self._wall_ns())

    def _take_what_waited(self, stream: LiveStream) -> None:
        """Append what the sockets of a stream took before its keys came; of a paused one it is dropped."""
        for kind, take in enumerate((self._intake.take_rtp, self._intake.take_rtcp)):
            for datagrams in self._left_in_socket(stream, kind):
                if stream.spec.recording or kind:
                    take(datagrams, np.array([stream.row], np.int64), np.array([len(datagrams)], np.int64))
                else:
                    self._table.paused[stream.row] += len(datagrams)

    def _forget(self, row: int, kind: int) -> list[FrameDatagrams]:
        found = self._saved.pop(2 * row + kind, [])
        self._saved_packets -= sum(map(len, found))
        return found

    def _left_in_socket(self, stream: LiveStream, kind: int) -> Iterator[Slots]:
        """Yield what a socket took while there was no writer."""
        sock = stream.pair.rtcp if kind else stream.pair.rtp
        if sock is None:
            return
        while True:
            found = self._arena.take_one(sock.fileno(), stream.pair.port | (RTCP_BIT if kind else 0))
            if found is None:
                return
            # The socket counts what it refused as dropped; that came through the ring.
            found.messages["control_length"] = np.minimum(found.messages["control_length"], CONTROL_TIME)
            yield found

    # Reading

    def _go_on(self) -> None:
        """Do a part of the work, so that commands have their turn in between."""
        if self._work is not None and next(self._work, self) is self:
            self._work = None

    def _finish(self, work: Iterator[None] | None) -> None:
        for _ in work or ():
            pass

    def _reading(self, turns: int = TURNS) -> Iterator[None]:
        """Read everything that waits, in so many calls for each diverted port; yields between parts."""
        now = time.monotonic()
        since, self._read_at = self._read_at, now
        self._flood_limit = math.inf if since is None else max(_FLOOD, _FLOOD_RATE * (now - since))
        for ring, queue in zip(self._rings, self._queues, strict=True):
            rounds = len(ring.memory) // (_ROUND * 256) + 1
            while rounds > 0:
                rounds -= 1
                runs = list(ring.filled(_ROUND))
                if not runs:
                    break
                yield from self._take_runs(ring, runs)
                for run in runs:
                    ring.release(run)
                if sum(len(run.frames) for run in runs) < _ROUND:
                    break
            while (frames := queue.take()) is not None:
                yield from self._take_loose(ring, frames)
        self._diversion.visit(turns)
        flooding, self._flooding = self._flooding, set()
        self._diversion.begin(flooding)
        self._tell_drops()

    def _take_runs(self, ring: PacketRing, runs: Sequence[Run]) -> Iterator[None]:
        self._arrange()
        frames, starts = [run.frames for run in runs], np.concatenate([run.starts for run in runs])
        heads = Heads(ring.memory, frames, starts, LAYOUTS[ring.family], self._family)
        ranks = self._map.ranks(heads.ports)
        self._flooding.update(self._map.floods(ranks, self._flood_limit))
        elsewhere = heads.copied | ~heads.plain
        if not elsewhere.any():
            yield from self._take(heads, ranks, FRAME)
            return
        odd = gather(ring.memory, starts[~heads.plain & ~heads.copied], FRAME).reshape(-1, FRAME)
        yield from self._take(heads, np.where(elsewhere, ranks.dtype.type(self._map.unwanted), ranks), FRAME)
        if len(odd):
            yield from self._take_loose(ring, odd)
        heads.blank(np.flatnonzero(elsewhere), FRAME)

    def _take_loose(self, ring: PacketRing, frames: NDArray[np.uint8]) -> Iterator[None]:
        """Take frames that are not plain, or not in the ring; nothing is left of them there."""
        layout = LAYOUTS[ring.family]
        self._arrange()
        whole = frames.copy()
        frames[:, DATA:] = 0
        if ring.family == socket.AF_INET:
            straighten(whole)
        starts = np.arange(len(whole), dtype=np.int64) * whole.shape[1]
        heads = Heads(whole.reshape(-1), [whole], starts, layout, self._family)
        ranks = self._map.ranks(heads.ports)
        if not heads.plain.all():
            self._tell_fragments(layout, whole[~heads.plain])
            ranks = np.where(heads.plain, ranks, ranks.dtype.type(self._map.unwanted))
        yield from self._take(heads, ranks, whole.shape[1])

    def _take(self, heads: Heads, ranks: NDArray[Any], width: int) -> Iterator[None]:
        table = self._table
        for fate, packets in self._map.sort(ranks).items():
            if fate is Fate.PAUSED:
                # The ring is overwritten when the kernel comes round to it, and that may be long after the call.
                heads.blank(packets.positions, width)
                table.paused[packets.rows] += packets.counts
                continue
            for part in packets.parts(_PART, table.session):
                chosen = heads.datagrams(part.positions)
                chosen.verify()
                rows, counts = part.rows, part.counts
                if chosen.bad.any():
                    chosen, rows, counts = self._without_bad(chosen, rows, counts)
                if fate in {Fate.SAVED_RTP, Fate.SAVED_RTCP}:
                    self._save(chosen, Sorted(part.positions, rows, counts), int(fate is Fate.SAVED_RTCP))
                elif len(chosen):
                    take = self._intake.take_rtp if fate is Fate.RTP else self._intake.take_rtcp
                    take(chosen, rows, counts)
                yield

    def _without_bad(
        self, datagrams: FrameDatagrams, rows: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[FrameDatagrams, NDArray[np.int64], NDArray[np.int64]]:
        """Count and leave out datagrams that the IP layer would have dropped."""
        owner = np.repeat(np.arange(len(rows)), counts)
        bad = np.bincount(owner[datagrams.bad], minlength=len(rows))
        self._table.malformed[rows] += bad
        left = counts - bad
        return datagrams.chosen(np.flatnonzero(~datagrams.bad)), rows[left > 0], left[left > 0]

    def _save(self, datagrams: FrameDatagrams, packets: Sorted, kind: int) -> None:
        if self._saved_packets + len(datagrams) > _SAVED_LIMIT:
            return
        self._saved_packets += len(datagrams)
        edges = np.concatenate(([0], np.cumsum(packets.counts))).tolist()
        for row, start, stop in zip(packets.rows.tolist(), edges[:-1], edges[1:], strict=True):
            self._saved.setdefault(2 * row + kind, []).append(datagrams.chosen(np.arange(start, stop)).copy())

    def _arrange(self) -> None:
        if self._changed:
            slots = np.where(self._waiting, NO_SESSION, self._table.session)
            self._map.arrange(slots, self._paused, self._reserved)
            self._changed = False

    def _tell_fragments(self, layout: Layout, frames: NDArray[np.uint8]) -> None:
        """Count and tell datagrams in fragments: the ring sees them before the kernel has put them together."""
        # IPv6: the fragment header lies between.
        place = layout.udp + 2 + (0 if layout.family == socket.AF_INET else 8)
        rows = self._map.rows(frames[:, place : place + 2].copy().view(np.uint16)[:, 0])
        for row, count in zip(*np.unique(rows[rows < len(self._paused)], return_counts=True), strict=True):
            stream = self._streams[int(row)]
            session = self._sessions.get(int(self._table.session[row]))
            if stream is None or session is None:
                continue
            self._table.malformed[row] += count
            told = model.Fragments(stream=stream.spec.index, packets=int(count), at_ns=self._wall_ns())
            session.file.event(told)

    def _tell_drops(self) -> None:
        """Tell every session that the ring was full: whose packets those were nobody knows."""
        dropped = sum(ring.untold_drops() for ring in self._rings)
        now_ns, since_ns = self._wall_ns(), self._visited_ns
        self._visited_ns = now_ns
        if dropped:
            self._intake.sifter.kernel_drops += dropped
            for session in self._sessions.values():
                for stream in session.streams.values():
                    session.file.event(
                        model.Drops(stream=stream.spec.index, packets=0, since_ns=since_ns, at_ns=now_ns)
                    )


def _without_repetition(found: Sequence[FrameDatagrams | Slots]) -> Iterator[FrameDatagrams | Slots]:
    """Yield datagrams, those of sockets only if the ring has not brought them: by arrival and first bytes."""
    seen: list[NDArray[np.uint64]] = []
    for datagrams in found:
        identity = datagrams.columns().words.view(np.uint64)[:, 0]
        if isinstance(datagrams, FrameDatagrams):
            seen.append(identity)
            yield datagrams
        else:
            fresh = np.flatnonzero(~np.isin(identity, np.concatenate(seen))) if seen else np.arange(len(identity))
            if len(fresh):
                yield datagrams.chosen(fresh)
