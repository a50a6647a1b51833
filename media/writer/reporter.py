"""Receiver reports: who gets one, when, and from which socket; RFC 3550 §6.2, §6.3 and §6.6, RFC 3605, RFC 5761.

A report needs the packets of one visit, so a stream whose time has come is marked, looked at in its next visit, and
reported on after it; one that is silent is reported on all the same.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError
from media.rtp.receiver_report import BLOCK, BLOCK_START, DEFAULT_BANDWIDTH_BPS, compound, intervals
from media.srtp import Context
from media.writer.batch import Batch
from media.writer.kernel import numeric_address
from media.writer.protocol import MasterKey, StreamSpec
from media.writer.statistics import Statistics
from media.writer.stream import LiveStream
from media.writer.table import PortTable

_LOOKS: Final = 10
"""Of the clock in the shortest interval: reports are made together, which costs a fraction of making each alone."""
_PACKET_SIZE: Final = 60.0
"""Bytes of a report as ours are, with a CNAME of 16 characters."""
_NEVER: Final = np.inf


@dataclass(slots=True, eq=False)
class _Line:
    """What one stream's reports are made of."""

    stream: LiveStream
    ssrc: int
    cname: str
    packet: bytearray
    """With a report block."""
    key: MasterKey | None
    protection: Context | None
    sent: int = 0


class Reporter:
    """Reports on all streams of a writer.

    Args:
        table: columns by port row.
        room: bytes, shape (rows, `STATE.itemsize`); outlives the process where a successor shall go on.
        minimum_s: shortest interval (RFC 3550: 5 s); 0 sends no reports at all.
        patience_s: how long a marked stream waits for packets.
        seed: for the spread of the intervals; None for chance.

    """

    def __init__(
        self, table: PortTable, room: NDArray[np.uint8], *, minimum_s: float, patience_s: float, seed: int | None = None
    ) -> None:
        rows = len(room)
        self.statistics = Statistics(table, room)
        self.waiting = False
        """Whether a stream is marked: `observe` then wants what is appended."""
        self._minimum_s = minimum_s
        self._patience_s = patience_s
        self._random = np.random.default_rng(seed)
        self._lines: list[_Line | None] = [None] * rows
        self._last_s = np.zeros(rows)
        self._due_s = np.full(rows, _NEVER)
        self._bandwidth = np.full(rows, DEFAULT_BANDWIDTH_BPS)
        self._marked = np.zeros(rows, np.bool_)
        self._observed = np.zeros(rows, np.bool_)
        self._begun = np.zeros(rows, np.bool_)
        """Whether a stream has had its first report."""
        self._looked_s = 0.0

    # Streams

    def enter(self, stream: LiveStream, now: float, *, adopt: bool) -> None:
        """Begin with a stream; `adopt` goes on with what a predecessor counted."""
        rates = [codec.clock_rate for codec in stream.spec.payload_types.values()]
        self.statistics.enter(stream.row, rates[0] if rates else 8000, adopt=adopt)
        self._set(stream, now, adopt=adopt)

    def change(self, stream: LiveStream, now: float) -> None:
        """Take a changed specification; counts and the time of the next report stay."""
        rates = [codec.clock_rate for codec in stream.spec.payload_types.values()]
        self.statistics.clock_rate[stream.row] = rates[0] if rates else 8000
        self._set(stream, now, adopt=False)

    def leave(self, stream: LiveStream) -> None:
        """End with a stream; say goodbye if anything was ever said (RFC 3550 §6.3.7)."""
        line = self._lines[stream.row]
        if line and line.sent:
            self._send(line, compound(line.ssrc, line.cname, block=False, leaving=True))
        self._forget(stream.row)

    def _set(self, stream: LiveStream, now: float, *, adopt: bool) -> None:
        row, reports, before = stream.row, stream.spec.reports, self._lines[stream.row]
        protection = stream.spec.protection
        key = protection.own if protection else None
        if reports is None or not self._minimum_s or (protection and key is None):
            self._forget(row)
            return
        if before and (before.ssrc, before.cname, before.key) == (reports.ssrc, reports.cname, key):
            before.stream = stream
            return
        ssrc = reports.ssrc
        if key and adopt:
            # Under one key and SSRC no SRTCP index may come twice (RFC 3711 §9.1), and a successor does not know the
            # last one.
            ssrc = int(self._random.integers(1, 1 << 32))
        self._lines[row] = _Line(
            stream,
            ssrc,
            reports.cname,
            compound(ssrc, reports.cname, block=True),
            key,
            Context(key.suite, key.key_salt, outbound=True) if key else None,
        )
        self._bandwidth[row] = reports.bandwidth_bps or DEFAULT_BANDWIDTH_BPS
        if before is None:
            self._last_s[row] = now
            # RFC 3550 §6.3.1: half of the minimum before the first report.
            self._due_s[row] = now + self._draw(np.array([row]), self._minimum_s / 2)[0]

    def _forget(self, row: int) -> None:
        self._lines[row] = None
        self._due_s[row] = _NEVER
        self._marked[row] = self._observed[row] = self._begun[row] = False

    def _draw(self, rows: NDArray[np.int64], minimum_s: float) -> NDArray[np.float64]:
        size = float(np.mean([len(line.packet) for row in rows.tolist() if (line := self._lines[row])] or [80]))
        return intervals(self._random.random(len(rows)), size, minimum_s=minimum_s, bandwidth_bps=self._bandwidth[rows])

    # Packets

    def observe(
        self, batch: Batch, chosen: NDArray[np.int64] | None, rows: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Look at accepted packets of marked streams, once for each report.

        Args:
            batch: where they are.
            chosen: their positions, None for all.
            rows: the ports that have some, none twice.
            counts: packets of each of these ports, in their order.

        """
        wanted = np.flatnonzero(self._marked[rows] & ~self._observed[rows])
        if wanted.size:
            ports, many = rows[wanted], counts[wanted]
            before = np.cumsum(many) - many
            places = np.repeat((np.cumsum(counts) - counts)[wanted] - before, many) + np.arange(int(many.sum()))
            self.statistics.observe(batch, places if chosen is None else chosen[places], ports, many)
            self._observed[ports] = True

    # Time

    def turn(self, now: float, wall_ns: int) -> None:
        """Send the reports that are due; call it between visits."""
        if now - self._looked_s < self._minimum_s / _LOOKS:
            return
        self._looked_s = now
        ready = np.flatnonzero(self._marked & (self._observed | (now - self._due_s > self._patience_s)))
        if ready.size:
            self._report(ready, now, wall_ns)
        expired = np.flatnonzero((self._due_s <= now) & ~self._marked)
        if expired.size:
            # RFC 3550 §6.3.6, reconsideration: what is drawn anew decides whether it is time.
            due = self._last_s[expired] + self._draw(expired, self._minimum_s)
            timely = (due <= now) | ~self._begun[expired]
            self._marked[expired[timely]] = True
            self._due_s[expired] = np.where(timely, now, due)
        self.waiting = bool(self._marked.any())

    def _report(self, rows: NDArray[np.int64], now: float, wall_ns: int) -> None:
        known = self.statistics.known(rows)
        reported = rows[known]
        for row, block in zip(reported.tolist(), self.statistics.blocks(reported, wall_ns), strict=True):
            line = self._lines[row]
            if line:
                BLOCK.pack_into(line.packet, BLOCK_START, *block)
                self._send(line, line.packet)
        for row in rows[~known].tolist():
            line = self._lines[row]
            if line:
                self._send(line, compound(line.ssrc, line.cname, block=False))
        self._marked[rows] = self._observed[rows] = False
        self._begun[rows] = True
        self._last_s[rows] = now
        self._due_s[rows] = now + self._draw(rows, self._minimum_s)

    def _send(self, line: _Line, packet: bytearray) -> None:
        stream = line.stream
        sock = stream.pair.rtp if stream.spec.rtcp_mux else stream.pair.rtcp
        target = destination(stream)
        if sock is None or target is None:
            return
        # What cannot be sent now is not worth keeping: the next report says it all again.
        with contextlib.suppress(OSError, MediaError):
            sock.sendto(line.protection.seal_rtcp(bytes(packet)) if line.protection else packet, target)
            line.sent += 1


def destination(stream: LiveStream) -> tuple[str, int] | None:
    """Return where reports on a stream go: where the SDP says, or where the sender really is if that is elsewhere."""
    spec: StreamSpec = stream.spec
    accepted, announced = stream.lock.accepted, stream.lock.announced
    found: tuple[str, int] | None = None
    # A host name is nobody: to look it up would hold up every stream of the writer.
    if spec.reports and spec.reports.port and numeric_address(spec.reports.host, 0, family=stream.family):
        found = spec.reports.host, spec.reports.port
    if accepted and (found is None or announced is None or accepted.host_key != announced.host_key):
        # Behind a translator: RTCP goes back to where RTCP, or else RTP, comes from.
        heard = stream.rtcp_from
        known = heard is not None and heard.host_key == accepted.host_key
        port = accepted.port if spec.rtcp_mux else accepted.port + 1
        found = (heard.host, heard.port) if heard is not None and known else (accepted.host, port)
    if found is None or not 0 < found[1] < 1 << 16:
        return None
    mapped = stream.family_is_six and ":" not in found[0]
    return (f"::ffff:{found[0]}" if mapped else found[0]), found[1]
