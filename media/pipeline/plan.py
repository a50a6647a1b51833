"""From a survey to a plan: where every packet goes, how long the output is, and what it lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.container import Capture, Drops, Unauthentic
from media.pipeline.alignment import Anchor, PlacedRun, find_anchors, place
from media.pipeline.capture_clock import corrected_end, corrected_events
from media.pipeline.codec import Law, SampleFormat
from media.pipeline.drift import NO_SLIPS, Slips, correct_drift
from media.pipeline.errors import TimelineTooLong
from media.pipeline.flow import FlowKey
from media.pipeline.gaps import PAUSE_SLACK_SECONDS, PartyTimeline, find_gaps, hole_causes, pause_with_slack
from media.pipeline.intervals import Intervals
from media.pipeline.report import Gap, GapCause
from media.pipeline.sender_clock import SenderClocks, align
from media.pipeline.stream_table import CodecUse, PacketKind, StreamTable
from media.pipeline.survey import Survey

MAX_SECONDS: Final = 14 * 24 * 3600
"""Longest timeline. Only a wrong clock makes a recording longer than two weeks, and it would fill the disk."""

SEAM_SLACK_NS: Final = 200_000_000
"""Packets of two parties do not end at the same instant; so much around a seam between captures is the seam's."""

_NANOSECONDS: Final = 1_000_000_000
_DEFAULT_RATE: Final = 8000
"""Hz of an output without any decodable audio."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the packets of one run go."""

    party: int
    layer: int
    origin: int
    slips: Slips

    def positions(self, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions, in clock units, of packets with these extended timestamps."""
        return timestamps - self.origin + self.slips.units(timestamps)


class Missing(NamedTuple):
    """Sequence numbers that a source did not bring."""

    paused: int
    """Packets that pauses explain."""
    bursts: int
    """How often packets were lost outside of pauses, those that followed one another once."""


class _LateHole(NamedTuple):
    """What a late sender did not bring: when it was spoken, and when the packets beside it came; wall clock, ns."""

    start_ns: int
    end_ns: int
    before_ns: int
    after_ns: int

    def spoken(self, start: int, end: int) -> tuple[int, int]:
        """Return when that was spoken which would have come from `start` to `end`, as far as it is of the hole.

        How late that was is known only on either side; what may be of it is.
        """
        late = self.before_ns - self.start_ns, self.after_ns - self.end_ns
        return max(start - max(late), self.start_ns), min(end - min(late), self.end_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything the rendering pass must know."""

    zero_ns: int
    sample_rate: int
    """Hz of the timeline's frames."""
    law: Law | None
    """The companding law of all audio, if it has one."""
    frames: int
    placements: Mapping[tuple[FlowKey, int], Placement]
    settled: Sequence[int]
    """For each slice, the second up to which the output is final once the slice has been placed."""
    audio: Mapping[int, Intervals]
    """Per party, where there is audio; frames."""
    sessions: Mapping[int, Mapping[int, Intervals]]
    """Per party and recording session, where there is audio; frames."""
    gaps: Sequence[Gap]
    missing: Mapping[FlowKey, Missing]
    """Of each source."""
    drifts: Mapping[FlowKey, float | None]
    """Parts per million, of the longest run of each source."""
    adjusted_ns: int
    """Greatest shift that sender reports caused."""
    slips: Mapping[int, int]
    """Per party, how many samples were repeated (more than 0) or covered to keep it with the others."""


@dataclass(frozen=True, slots=True, eq=False)
class _CaptureTimes:
    """What the captures say by the wall clock, ns."""

    pauses: Mapping[int, Intervals]
    """Per party."""
    drops: Mapping[int, Intervals]
    """Per stream."""
    unauthentic: Mapping[int, Intervals]
    """Per stream."""
    seams: Sequence[tuple[GapCause, int, int]]


def make_plan(
    captures: Sequence[Capture],
    table: StreamTable,
    survey: Survey,
    *,
    slices: int,
    clocks: SenderClocks,
    sample_rate: int | None,
    keep_together: bool = True,
) -> Plan:
    """Lay out a recording.

    Args:
        captures: in order of their opening.
        table: of the captures.
        survey: complete.
        slices: number of slices surveyed.
        clocks: what sender reports said.
        sample_rate: Hz of the output, None for the highest rate of the audio.
        keep_together: correct the drift of parties against each other.

    """
    anchors = find_anchors(survey.flows)
    adjusted_ns = align(anchors, clocks)
    slips = correct_drift(anchors) if keep_together else {}
    zero_ns = place(anchors)
    used = _used(table.codecs, survey)
    rate, law = _rate_and_law(used, sample_rate)
    layout = _Layout(zero_ns, rate, anchors, slips)
    times = _capture_times(captures, table)
    timelines = [layout.timeline(party, times, table) for party in table.parties]
    frames = max((timeline.heard[1] for timeline in timelines if timeline.heard), default=0)
    if frames > MAX_SECONDS * rate:
        raise TimelineTooLong(f"{frames // rate} s of timeline; the clock of a capture must have been wrong")
    return Plan(
        zero_ns=zero_ns,
        sample_rate=rate,
        law=law,
        frames=frames,
        placements=layout.placements(),
        settled=layout.settled(slices),
        audio={timeline.party: timeline.audio for timeline in timelines},
        sessions={party: layout.sessions(party) for party in table.parties},
        gaps=[gap for timeline in timelines for gap in find_gaps(timeline, frames, rate)] if frames else [],
        missing=layout.missing(times),
        drifts=_drifts(anchors),
        adjusted_ns=adjusted_ns,
        slips=_slips_of_parties(slips),
    )


class _Layout:
    """Anchors seen as frames of the output."""

    def __init__(
        self, zero_ns: int, sample_rate: int, anchors: Sequence[Anchor], slips: Mapping[Anchor, Slips]
    ) -> None:
        self._zero_ns = zero_ns
        self._rate = sample_rate
        self._anchors = anchors
        self._slips = slips

    def timeline(self, party: int, times: _CaptureTimes, table: StreamTable) -> PartyTimeline:
        """Return what is known of a party."""
        causes: dict[GapCause, list[Intervals]] = {cause: [] for cause in GapCause}
        audio: list[Intervals] = []
        heard: list[Intervals] = []
        for anchor in self._anchors:
            if anchor.party != party:
                continue
            heard.append(self._frames(anchor, Intervals.of((anchor.start, max(anchor.end, anchor.start + 1)))))
            for placed in anchor.runs:
                survey = placed.survey
                audio.append(self._frames(anchor, survey.audio, placed.shift))
                causes[GapCause.UNDECODABLE].append(self._frames(anchor, survey.undecodable, placed.shift))
                cause = GapCause.MASKED if table.masks(placed.flow.stream) else GapCause.TELEPHONE_EVENT
                causes[cause].append(self._frames(anchor, survey.events, placed.shift))
                for cause, found in self._holes(placed, times, table).items():
                    causes[cause].append(self._frames(anchor, found, placed.shift))
        for cause, start, end in times.seams:
            causes[cause].append(Intervals.of((self._frame(start), self._frame(end))))
        for stream in {row.stream.index for row in table.rows if row.stream.party == party}:
            for start, end in times.unauthentic.get(stream, Intervals.empty()).pairs():
                causes[GapCause.NOT_AUTHENTICATED].append(Intervals.of((self._frame(start), self._frame(end))))
        sounding = Intervals.merged(*audio)
        slack = self._frame(round(PAUSE_SLACK_SECONDS * _NANOSECONDS)) - self._frame(0)
        for start, end in self._pauses(party, times):
            paused = pause_with_slack(sounding, self._frame(start), self._frame(end), slack)
            causes[GapCause.PAUSED].append(Intervals.of(paused))
        whole = Intervals.merged(*heard)
        return PartyTimeline(
            party,
            sounding,
            {cause: Intervals.merged(*found) for cause, found in causes.items() if found},
            (int(whole.starts[0]), int(whole.ends[-1])) if len(whole) else None,
        )

    def sessions(self, party: int) -> dict[int, Intervals]:
        """Return where each recording session brought audio of a party."""
        found: dict[int, list[Intervals]] = {}
        for anchor in self._anchors:
            for placed in anchor.runs if anchor.party == party else ():
                audio = self._frames(anchor, placed.survey.audio, placed.shift)
                found.setdefault(placed.flow.session, []).append(audio)
        return {session: Intervals.merged(*sets) for session, sets in sorted(found.items())}

    def placements(self) -> dict[tuple[FlowKey, int], Placement]:
        """Return where the packets of each run go."""
        return {
            (placed.flow, placed.run): Placement(
                anchor.party,
                anchor.layer,
                anchor.origin - placed.shift,
                self._slips.get(anchor, NO_SLIPS).shifted(placed.shift),
            )
            for anchor in self._anchors
            for placed in anchor.runs
        }

    def settled(self, slices: int) -> list[int]:
        """Return, per slice, the second before which no later slice places anything."""
        first = np.full(slices + 1, np.iinfo(np.int64).max)
        for anchor in self._anchors:
            for placed in anchor.runs:
                for extent in placed.survey.extents:
                    start = np.array([extent.start + placed.shift])
                    second = int(self._units(anchor, start)[0]) // anchor.clock_rate
                    first[extent.slice] = min(first[extent.slice], second)
        later = np.minimum.accumulate(first[::-1])[::-1][1:]
        return [int(second) for second in later]

    def missing(self, times: _CaptureTimes) -> dict[FlowKey, Missing]:
        """Return what each source did not bring, and how much of that falls into pauses."""
        found: dict[FlowKey, Missing] = {}
        for anchor in self._anchors:
            pauses = times.pauses.get(anchor.party, Intervals.empty())
            for placed in anchor.runs:
                holes = placed.survey.holes
                before, after = holes["arrival_before_ns"], holes["arrival_after_ns"]
                covered = pauses.overlap(before, after)
                # More than half of the time; packets that changed places lie in no pause.
                paused = (covered > 0) & (2 * covered > after - before)
                known = found.get(placed.flow, Missing(0, 0))
                found[placed.flow] = Missing(
                    known.paused + int(holes["missing"][paused].sum()),
                    known.bursts + int((holes["missing"][~paused] > 0).sum()),
                )
        return found

    def _pauses(self, party: int, times: _CaptureTimes) -> Iterator[tuple[int, int]]:
        """Yield start and end of what a party spoke during each of its pauses, ns: who is late spoke it earlier."""
        pauses = times.pauses.get(party, Intervals.empty()).pairs()
        own = [anchor for anchor in self._anchors if anchor.party == party] if pauses else []
        late = [hole for anchor in own for hole in _late_holes(anchor)]
        for start, end in pauses:
            found = [hole.spoken(start, end) for hole in late if hole.before_ns < end and start < hole.after_ns]
            yield from [part for part in found if part[0] < part[1]] or [(start, end)]

    def _holes(self, placed: PlacedRun, times: _CaptureTimes, table: StreamTable) -> dict[GapCause, Intervals]:
        """Return what the holes of a run say, in extended timestamps."""
        holes = placed.survey.holes
        if not len(holes):
            return {}
        capture_of = np.array([row.capture for row in table.rows])
        seams = capture_of[holes["row_before"]] != capture_of[holes["row_after"]]
        drops = times.drops.get(placed.flow.stream, Intervals.empty())
        unauthentic = times.unauthentic.get(placed.flow.stream, Intervals.empty())
        found = hole_causes(holes, drops, seams, unauthentic)
        return {cause: Intervals.union(starts, ends) for cause, (starts, ends) in found.items()}

    def _frames(self, anchor: Anchor, found: Intervals, shift: int = 0) -> Intervals:
        """Return intervals of extended timestamps as intervals of frames; what touches a frame covers it."""
        if not len(found):
            return found
        starts = self._units(anchor, found.starts + shift) * self._rate // anchor.clock_rate
        ends = -(-self._units(anchor, found.ends + shift) * self._rate // anchor.clock_rate)
        return Intervals.union(starts, ends)

    def _units(self, anchor: Anchor, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of timestamps on the timeline, in units of the anchor's clock."""
        return timestamps - anchor.origin + self._slips.get(anchor, NO_SLIPS).units(timestamps)

    def _frame(self, wall_ns: int) -> int:
        return (wall_ns - self._zero_ns) * self._rate // _NANOSECONDS


def _late_holes(anchor: Anchor) -> Iterator[_LateHole]:
    for placed in anchor.runs:
        holes = placed.survey.holes
        edges = np.stack([holes["start"], holes["end"]]) + (placed.shift - anchor.base)
        spoken_ns = anchor.wall_ns + edges * _NANOSECONDS // anchor.clock_rate
        came_ns = np.stack([holes["arrival_before_ns"], holes["arrival_after_ns"]])
        late = ((came_ns - spoken_ns) > PAUSE_SLACK_SECONDS * _NANOSECONDS).any(axis=0)
        yield from map(_LateHole._make, np.concatenate([spoken_ns, came_ns])[:, late].T.tolist())


def _used(codecs: Sequence[CodecUse], survey: Survey) -> list[CodecUse]:
    """Return the codecs of the audio that was received and can be decoded."""
    found = {position for flow in survey.flows.values() for position in flow.codecs}
    return [codecs[position] for position in sorted(found) if codecs[position].kind is PacketKind.AUDIO]


def _rate_and_law(used: Sequence[CodecUse], sample_rate: int | None) -> tuple[int, Law | None]:
    rates = {use.format.sample_rate for use in used if use.format is not None}
    rate = sample_rate or max(rates, default=_DEFAULT_RATE)
    laws = {use.format.law if isinstance(use.format, SampleFormat) else None for use in used}
    return rate, laws.pop() if len(laws) == 1 and rates == {rate} else None


def _capture_times(captures: Sequence[Capture], table: StreamTable) -> _CaptureTimes:
    pauses: dict[int, list[Intervals]] = {}
    told: dict[type[Drops | Unauthentic], dict[int, list[Intervals]]] = {Drops: {}, Unauthentic: {}}
    for number, capture in enumerate(captures):
        end_ns = corrected_end(capture)
        for party, found in table.pauses(number).items():
            clipped = Intervals.union(found.starts, np.minimum(found.ends, end_ns))
            pauses.setdefault(party, []).append(clipped)
        for at_ns, event in corrected_events(capture):
            if isinstance(event, Drops | Unauthentic):
                since_ns = at_ns - (event.at_ns - event.since_ns)
                told[type(event)].setdefault(event.stream, []).append(Intervals.of((since_ns, at_ns + 1)))
    seams = _seams([(capture.session.wall_ns, corrected_end(capture), capture.end is not None) for capture in captures])
    for party, seam in _paused_seams(captures, table, seams):
        pauses.setdefault(party, []).append(seam)
    return _CaptureTimes(
        {party: Intervals.merged(*sets) for party, sets in pauses.items()},
        {stream: Intervals.merged(*sets) for stream, sets in told[Drops].items()},
        {stream: Intervals.merged(*sets) for stream, sets in told[Unauthentic].items()},
        seams,
    )


def _paused_seams(
    captures: Sequence[Capture], table: StreamTable, seams: Sequence[tuple[GapCause, int, int]]
) -> Iterator[tuple[int, Intervals]]:
    """Return party and time where a writer failed in a pause: it ended with the party paused, its replacement began so.

    With one of the two alone nothing says when in between the pause began or ended: that time is lost.
    """
    for cause, since_ns, until_ns in seams:
        if cause is not GapCause.WRITER_FAILOVER:
            continue
        ended_ns, began_ns = since_ns + SEAM_SLACK_NS, until_ns - SEAM_SLACK_NS
        left: set[int] = set()
        for number, capture in enumerate(captures):
            if since_ns <= corrected_end(capture) <= ended_ns:
                left |= table.paused_last(number)
        for number, capture in enumerate(captures):
            start_ns = capture.session.wall_ns
            if began_ns <= start_ns <= until_ns:
                for party in left & table.paused_first(number):
                    yield party, Intervals.of((ended_ns, start_ns))


def _seams(spans: Sequence[tuple[int, int, bool]]) -> list[tuple[GapCause, int, int]]:
    """Return the times between captures in which none was open."""
    seams = []
    latest_ns, ended = 0, True
    for start_ns, end_ns, complete in sorted(spans):
        if latest_ns and start_ns > latest_ns:
            cause = GapCause.NO_SESSION if ended else GapCause.WRITER_FAILOVER
            slack = 0 if ended else SEAM_SLACK_NS
            seams.append((cause, latest_ns - slack, start_ns + slack))
        if end_ns >= latest_ns:
            latest_ns, ended = end_ns, complete
    return seams


def _slips_of_parties(slips: Mapping[Anchor, Slips]) -> dict[int, int]:
    found: dict[int, int] = {}
    for anchor, own in slips.items():
        found[anchor.party] = found.get(anchor.party, 0) + own.direction * len(own.at)
    return found


def _drifts(anchors: Sequence[Anchor]) -> dict[FlowKey, float | None]:
    longest: dict[FlowKey, Anchor] = {}
    for anchor in anchors:
        for placed in anchor.runs:
            known = longest.get(placed.flow)
            if known is None or anchor.end - anchor.start > known.end - known.start:
                longest[placed.flow] = anchor
    return {flow: anchor.drift_ppm for flow, anchor in longest.items()}
