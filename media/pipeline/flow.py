"""Slices of packets taken apart into flows: one source of one stream each, located, in order, without duplicates.

Both passes of finalising run the same packets through here and therefore see the same. RFC 3550 §8.2: the SSRC names a
source; a new SSRC is a new source and both are kept (checklist R3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.pipeline.packets import Packets, joined
from media.pipeline.stream_table import StreamTable
from media.rtp.ordering import Resequencer
from media.rtp.reported_clock import NO_REPORTS, ReportedClock
from media.rtp.source import STRAY, SourceTracker

QUIET_NS: Final = 5_000_000_000
"""A source that has sent nothing for so long is not waited for: what it held back is given out."""

MAX_FLOWS: Final = 1024
"""Sources of one recording; a sender that draws a new SSRC for each packet must not fill the memory."""


class FlowKey(NamedTuple):
    """What makes packets one source's."""

    party: int
    stream: int
    ssrc: int
    clock_rate: int
    session: int = 0
    """Recording session, by number. A sender that begins anew may use the numbers of the session before."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowPackets:
    """What one slice adds to one flow."""

    key: FlowKey
    arrived: Packets
    """Newly located packets in order of arrival, duplicates included, strays left out."""
    ordered: Packets
    """Packets whose turn it is, each sequence number once, in order of run and sequence number."""
    overdue: int
    """So many of `ordered`, at its front, came too late for their turn."""
    late: NDArray[np.bool_]
    """Which of `arrived` do not tell the time."""


class Flow:
    """One source of one stream."""

    def __init__(self, key: FlowKey, reports: ReportedClock) -> None:
        self.key = key
        self.duplicates = 0
        self.strays = 0
        self.latest_ns = 0
        self.resequencer = Resequencer()
        self.tracker = SourceTracker(key.clock_rate, reports)
        self._undecided = Packets.none()
        self._held = Packets.none()

    @property
    def waiting(self) -> bool:
        """True while packets wait for newer ones."""
        return bool(len(self._undecided) or len(self._held))

    def feed(self, packets: Packets, *, flush: bool) -> FlowPackets:
        """Take the next packets in order of arrival; with `flush`, give out everything that waits."""
        if len(packets):
            self.latest_ns = int(packets.index["arrival_ns"][-1])
        arrived, late = self._locate(joined([self._undecided, packets]), final=flush)
        queue = joined([self._held, arrived])
        index = queue.index
        ordered = self.resequencer.order(index["run"], index["extended_sequence_number"], flush=flush)
        self._held = queue.take(ordered.held).compact()
        self.duplicates += ordered.duplicates
        return FlowPackets(self.key, arrived, queue.take(ordered.emitted), ordered.overdue, late)

    def _locate(self, packets: Packets, *, final: bool) -> tuple[Packets, NDArray[np.bool_]]:
        index = packets.index
        located = self.tracker.locate(
            index["sequence_number"],
            index["rtp_timestamp"],
            index["duration"].astype(np.int64),
            index["arrival_ns"],
            final=final,
        )
        decided = len(located.runs)
        self._undecided = packets.part(decided, len(packets)).compact()
        index["run"][:decided] = located.runs
        index["extended_sequence_number"][:decided] = located.extended_sequence_numbers
        index["extended_timestamp"][:decided] = located.extended_timestamps
        valid = located.runs != STRAY
        self.strays += decided - int(valid.sum())
        if valid.all():
            return packets.part(0, decided), located.late
        return packets.take(np.flatnonzero(valid)), located.late[valid]


class Demultiplexer:
    """Distributes slices over flows.

    Args:
        table: names party and stream of each row, and the clock rate of each codec.
        reports: sender reports by stream and SSRC.

    """

    def __init__(self, table: StreamTable, reports: Mapping[tuple[int, int], ReportedClock]) -> None:
        self.flows: dict[FlowKey, Flow] = {}
        """In order of appearance."""
        self.refused = 0
        """Packets of sources beyond `MAX_FLOWS`."""
        self._reports = reports
        streams = [(row.session, row.stream.party, row.stream.index) for row in table.rows]
        self._streams = sorted(set(streams))
        self._stream_of = np.array([self._streams.index(stream) for stream in streams], np.int64)
        self._clocks = sorted({use.clock_rate for use in table.codecs})
        self._clock_of = np.array([self._clocks.index(use.clock_rate) for use in table.codecs], np.int64)

    def feed(self, packets: Packets, *, last: bool) -> Iterator[FlowPackets]:
        """Take a slice and yield what each flow makes of it; with the last one, also what still waits."""
        latest = int(packets.index["arrival_ns"].max(initial=0))
        fed: set[FlowKey] = set()
        for key, own in self._split(packets):
            flow = self.flows.get(key)
            if flow is None:
                if len(self.flows) >= MAX_FLOWS:
                    self.refused += len(own)
                    continue
                flow = self.flows[key] = Flow(key, self._reports.get((key.stream, key.ssrc), NO_REPORTS))
            fed.add(key)
            yield flow.feed(own, flush=last)
        for key, flow in self.flows.items():
            if key not in fed and flow.waiting and (last or latest - flow.latest_ns > QUIET_NS):
                yield flow.feed(Packets.none(), flush=True)

    def _split(self, packets: Packets) -> Iterator[tuple[FlowKey, Packets]]:
        """Yield the packets of each source, in order of arrival, sources in order of appearance."""
        index = packets.index
        if not len(index):
            return
        names = self._stream_of[index["row"]] << 40 | self._clock_of[index["codec"]] << 32 | index["ssrc"]
        positions = np.arange(len(names))
        while len(positions):
            name = int(names[0])
            own = names == name
            session, party, stream = self._streams[name >> 40]
            key = FlowKey(party, stream, name & 0xFFFFFFFF, self._clocks[name >> 32 & 0xFF], session)
            yield key, _by_arrival(packets.take(positions[own]))
            positions, names = positions[~own], names[~own]


def _by_arrival(packets: Packets) -> Packets:
    arrivals = packets.index["arrival_ns"]
    if (np.diff(arrivals) >= 0).all():
        return packets
    return packets.take(np.argsort(arrivals, kind="stable"))
