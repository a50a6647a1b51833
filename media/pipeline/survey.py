"""First pass over a recording: what each source sent, when, and what is missing of it. Writes nothing.

Memory grows with the number of gaps, not with the length of the recording.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.pipeline.envelope import LagEnvelope
from media.pipeline.flow import FlowKey, FlowPackets
from media.pipeline.intervals import Intervals
from media.pipeline.packets import PACKET, Packets, distinct
from media.pipeline.stream_table import PacketKind
from media.rtp.jitter import JitterEstimator

HOLE: Final = np.dtype(
    [
        ("start", np.int64),
        ("end", np.int64),
        ("missing", np.int64),
        ("missing_units", np.int64),
        ("arrival_before_ns", np.int64),
        ("arrival_after_ns", np.int64),
        ("row_before", np.int32),
        ("row_after", np.int32),
        ("kind_before", np.uint8),
    ],
    align=True,
)
"""Nothing between two packets that follow one another: `start` and `end` are extended timestamps, `missing` counts
sequence numbers, `missing_units` is what these may have covered, each as long as the longest packet so far."""

_NANOSECONDS: Final = 1_000_000_000
_RUN_SHIFT: Final = 44


class Extent(NamedTuple):
    """Where the audio of one run in one slice begins, for knowing when a part of the output is finished."""

    slice: int
    start: int
    """Extended timestamp."""


@dataclass(slots=True, eq=False)
class RunSurvey:
    """One run of one source; times in extended timestamps."""

    base: int
    """Timestamp of the first packet that came; media times of `envelope` count from it."""
    first_arrival_ns: int
    start: int
    end: int
    envelope: LagEnvelope = field(default_factory=LagEnvelope)
    extents: list[Extent] = field(default_factory=list)
    _audio: list[Intervals] = field(default_factory=list)
    _undecodable: list[Intervals] = field(default_factory=list)
    _events: list[Intervals] = field(default_factory=list)
    _holes: list[NDArray[np.void]] = field(default_factory=list)

    @property
    def audio(self) -> Intervals:
        """Where decodable audio was received."""
        return Intervals.merged(*self._audio)

    @property
    def undecodable(self) -> Intervals:
        """Where audio was received that nothing decodes."""
        return Intervals.merged(*self._undecodable)

    @property
    def events(self) -> Intervals:
        """Where telephone-events were signalled."""
        return Intervals.merged(*self._events)

    @property
    def holes(self) -> NDArray[np.void]:
        """All holes, dtype `HOLE`."""
        return np.concatenate([np.zeros(0, HOLE), *self._holes])

    def cover(self, packets: Packets) -> None:
        """Take the timestamps that packets cover."""
        index = packets.index
        starts = index["extended_timestamp"]
        ends = starts + index["duration"]
        self.start = min(self.start, int(starts.min()))
        self.end = max(self.end, int(ends.max()))
        for kind, found in (
            (PacketKind.AUDIO, self._audio),
            (PacketKind.UNDECODABLE, self._undecodable),
            (PacketKind.EVENT, self._events),
        ):
            own = index["kind"] == kind
            if own.all():
                found.append(Intervals.union(starts, ends))
            elif own.any():
                found.append(Intervals.union(starts[own], ends[own]))

    def add_holes(self, holes: NDArray[np.void]) -> None:
        """Take holes between packets of this run."""
        if len(holes):
            self._holes.append(holes)


class FlowSurvey:
    """Everything that is kept of one source."""

    def __init__(self, key: FlowKey) -> None:
        self.key = key
        self.runs: dict[int, RunSurvey] = {}
        self.packets = 0
        self.octets = 0
        self.late = 0
        self.payload_types: set[int] = set()
        self.codecs: set[int] = set()
        """Positions in the stream table's codecs."""
        self.first_arrival_ns = 0
        self.last_arrival_ns = 0
        self.jitter = JitterEstimator(key.clock_rate)
        self._highest = -1
        self._event_timestamp = -1
        self._jitter_run = -1
        self._longest = 0
        """RTP timestamp units of the longest audio packet so far."""
        self._run = -1
        """Run of the latest packet in order of sequence number."""
        self._last = np.zeros(0, PACKET)
        """That packet."""
        self._end = 0
        """Extended timestamp up to which the run has come."""

    def add(self, given: FlowPackets, number: int) -> None:
        """Take what slice `number` adds to the flow."""
        if len(given.arrived):
            self._add_arrived(given.arrived, given.late)
        if given.overdue:
            late = given.ordered.part(0, given.overdue)
            for run, packets in by_run(late):
                self._cover(run, packets, number)
        for run, packets in by_run(given.ordered.part(given.overdue, len(given.ordered))):
            self._cover(run, packets, number)
            self._add_holes(run, packets)

    def _add_arrived(self, packets: Packets, late: NDArray[np.bool_]) -> None:
        index = packets.index
        arrivals = index["arrival_ns"]
        self.packets += len(index)
        self.octets += int(index["payload_length"].sum(dtype=np.int64))
        self.payload_types.update(distinct(index["payload_type"]))
        self.codecs.update(distinct(index["codec"]))
        self.first_arrival_ns = min(self.first_arrival_ns or int(arrivals[0]), int(arrivals.min()))
        self.last_arrival_ns = max(self.last_arrival_ns, int(arrivals.max()))
        numbers = (index["run"].astype(np.int64) << _RUN_SHIFT) + index["extended_sequence_number"]
        highest = np.maximum.accumulate(np.append(self._highest, numbers))
        self.late += int((numbers < highest[:-1]).sum())
        self._highest = int(highest[-1])
        start = 0
        for run, own in by_run(packets):
            self._add_times(run, own, late[start : start + len(own)])
            start += len(own)

    def _add_times(self, run: int, packets: Packets, late: NDArray[np.bool_]) -> None:
        """Feed jitter and envelope with packets of one run in order of arrival."""
        index = packets.index
        if run != self._jitter_run:
            self.jitter.restart()
            self._jitter_run = run
        timed = self._first_of_events(packets)
        self.jitter.feed(index["arrival_ns"][timed], index["extended_timestamp"][timed])
        if run not in self.runs:
            base = int(index["extended_timestamp"][0])
            self.runs[run] = RunSurvey(base, int(index["arrival_ns"][0]), base, base)
        survey = self.runs[run]
        # Comfort noise and events are sent when the sender likes; audio tells the time, if there is any.
        telling = ((index["kind"] == PacketKind.AUDIO) | (index["kind"] == PacketKind.UNDECODABLE)) & ~late
        if not telling.all():
            index = index.take(np.flatnonzero(telling)) if telling.any() else index
        media = (index["extended_timestamp"] - survey.base) * _NANOSECONDS // self.key.clock_rate
        lengths = index["duration"].astype(np.int64) * _NANOSECONDS // self.key.clock_rate
        if telling.any() or not survey.envelope.points():
            survey.envelope.feed(media, index["arrival_ns"] - media - lengths)

    def _first_of_events(self, packets: Packets) -> NDArray[np.bool_]:
        """Mark the packets that jitter is computed from: of each telephone-event the first (checklist R9)."""
        index = packets.index
        timed = np.ones(len(index), np.bool_)
        events = np.flatnonzero(index["kind"] == PacketKind.EVENT)
        if events.size:
            stamps = index["extended_timestamp"][events]
            before = np.append(self._event_timestamp, stamps[:-1])
            timed[events] = stamps != before
            self._event_timestamp = int(stamps[-1])
        return timed

    def _cover(self, run: int, packets: Packets, number: int) -> None:
        survey = self.runs[run]
        survey.cover(packets)
        audio = packets.index["kind"] == PacketKind.AUDIO
        if audio.any():
            survey.extents.append(Extent(number, int(packets.index["extended_timestamp"][audio].min())))

    def _add_holes(self, run: int, packets: Packets) -> None:
        """Compare each packet with the one before it, in order of sequence number."""
        index = packets.index
        if self._run == run:
            index = np.concatenate([self._last, index])
        else:
            self._run, self._end = run, int(index["extended_timestamp"][0])
        sounding = (index["kind"] == PacketKind.AUDIO) | (index["kind"] == PacketKind.UNDECODABLE)
        self._longest = max(self._longest, int(index["duration"].max(initial=0, where=sounding)))
        starts = index["extended_timestamp"]
        ends = np.maximum(np.maximum.accumulate(starts + index["duration"]), self._end)
        before = np.flatnonzero(starts[1:] > ends[:-1])
        if before.size:
            self.runs[run].add_holes(self._describe(index, ends, before))
        self._last, self._end = index[-1:].copy(), int(ends[-1])

    def _describe(self, index: NDArray[np.void], ends: NDArray[np.int64], before: NDArray[np.intp]) -> NDArray[np.void]:
        """Return the holes behind the packets at `before`."""
        holes = np.zeros(len(before), HOLE)
        after = before + 1
        numbers = index["extended_sequence_number"]
        holes["start"] = ends[before]
        holes["end"] = index["extended_timestamp"][after]
        holes["missing"] = numbers[after] - numbers[before] - 1
        holes["missing_units"] = holes["missing"] * self._longest
        holes["arrival_before_ns"] = index["arrival_ns"][before]
        holes["arrival_after_ns"] = index["arrival_ns"][after]
        holes["row_before"] = index["row"][before]
        holes["row_after"] = index["row"][after]
        holes["kind_before"] = index["kind"][before]
        return holes


class Survey:
    """All sources of a recording, fed slice by slice."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, FlowSurvey] = {}
        """In order of appearance."""

    def add(self, given: FlowPackets, number: int) -> None:
        """Take what slice `number` adds to one flow."""
        if given.key not in self.flows:
            self.flows[given.key] = FlowSurvey(given.key)
        self.flows[given.key].add(given, number)


def by_run(packets: Packets) -> Iterator[tuple[int, Packets]]:
    """Yield packets run by run; they are in order of run."""
    runs = packets.index["run"]
    if not len(runs):
        return
    if runs[0] == runs[-1]:
        yield int(runs[0]), packets
        return
    edges = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(runs)]
    for start, end in itertools.pairwise(edges):
        yield int(runs[start]), packets.part(start, end)
