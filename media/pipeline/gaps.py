"""What each party's timeline lacks, and why: every frame without audio lies in a gap with one cause. Pure.

A gap is the complement of the audio received; its cause is the strongest explanation that covers it. So audio that came
late, or from another source, takes a gap away, and no cause can be forgotten or told twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.pipeline.intervals import Intervals
from media.pipeline.report import Gap, GapCause, GapKind
from media.pipeline.stream_table import PacketKind

EDGE_SECONDS: Final = 0.2
"""A party that starts later or ends earlier than the others by no more than this is in time: no gap is declared."""

PAUSE_SLACK_SECONDS: Final = 0.25
"""Around a pause, silence of up to this is the pause's: writer and signalling do not switch at the same instant."""

KIND_OF: Final[dict[GapCause, GapKind]] = {
    GapCause.NETWORK: GapKind.LOST,
    GapCause.KERNEL_DROP: GapKind.LOST,
    GapCause.NOT_AUTHENTICATED: GapKind.LOST,
    GapCause.WRITER_FAILOVER: GapKind.LOST,
    GapCause.NO_SESSION: GapKind.LOST,
    GapCause.PAUSED: GapKind.PAUSED,
    GapCause.MASKED: GapKind.PAUSED,
    GapCause.REDACTED: GapKind.PAUSED,
    GapCause.COMFORT_NOISE: GapKind.SILENT,
    GapCause.TELEPHONE_EVENT: GapKind.SILENT,
    GapCause.NOT_SENT: GapKind.SILENT,
    GapCause.SOURCE_CHANGE: GapKind.SILENT,
    GapCause.NOT_STARTED: GapKind.SILENT,
    GapCause.ENDED_EARLY: GapKind.SILENT,
    GapCause.NO_MEDIA: GapKind.SILENT,
    GapCause.UNDECODABLE: GapKind.SILENT,
}

STRENGTH: Final = (
    GapCause.SOURCE_CHANGE,
    GapCause.NO_SESSION,
    GapCause.WRITER_FAILOVER,
    GapCause.NOT_STARTED,
    GapCause.ENDED_EARLY,
    GapCause.NO_MEDIA,
    GapCause.NOT_AUTHENTICATED,
    GapCause.NOT_SENT,
    GapCause.COMFORT_NOISE,
    GapCause.NETWORK,
    GapCause.KERNEL_DROP,
    GapCause.TELEPHONE_EVENT,
    GapCause.UNDECODABLE,
    GapCause.MASKED,
    GapCause.PAUSED,
    GapCause.REDACTED,
)
"""Causes, weakest first. What a source's own numbers say outweighs what is concluded from captures."""


@dataclass(frozen=True, slots=True, eq=False)
class PartyTimeline:
    """What is known of one party; all intervals in frames of the output."""

    party: int
    audio: Intervals
    """Where audio was received and can be played."""
    causes: Mapping[GapCause, Intervals]
    """Explanations; they may overlap each other and the audio."""
    heard: tuple[int, int] | None
    """From the first packet to the end of the last one; None if none came."""


def pause_with_slack(audio: Intervals, start: int, end: int, slack: int) -> tuple[int, int]:
    """Return a pause widened by up to `slack` frames on each side, but never across audio.

    Silence that touches the pause is the pause's; a packet that was lost before it or after it is not.
    """
    before, after = audio.ends[audio.starts < start], audio.starts[audio.ends > end]
    widest_start = max(start - slack, min(start, int(before[-1]))) if len(before) else start - slack
    widest_end = min(end + slack, max(end, int(after[0]))) if len(after) else end + slack
    return widest_start, widest_end


def find_gaps(timeline: PartyTimeline, frames: int, sample_rate: int) -> list[Gap]:
    """Return the gaps of a party in `[0, frames)`, in order, none touching another of the same cause."""
    missing = timeline.audio.complement(0, frames)
    if not len(missing):
        return []
    causes = {**timeline.causes, **_edges(timeline, frames)}
    sets = [(STRENGTH.index(cause), found) for cause, found in causes.items() if len(found)]
    borders = [missing.starts, missing.ends]
    for _, found in sets:
        borders += [found.starts, found.ends]
    cuts = np.unique(np.clip(np.concatenate(borders), 0, frames))
    starts, ends = cuts[:-1], cuts[1:]
    inside = missing.contains(starts)
    starts, ends = starts[inside], ends[inside]
    strongest = np.zeros(len(starts), np.int64)
    for strength, found in sorted(sets, key=lambda item: item[0]):
        strongest[found.contains(starts)] = strength
    gaps = _merge(timeline.party, starts, ends, strongest)
    edge = EDGE_SECONDS * sample_rate
    return [gap for gap in gaps if gap.cause not in _EDGE_CAUSES or gap.frames > edge]


_EDGE_CAUSES: Final = (GapCause.NOT_STARTED, GapCause.ENDED_EARLY)


def _edges(timeline: PartyTimeline, frames: int) -> dict[GapCause, Intervals]:
    """Return the causes before a party's first packet and after its last one."""
    if timeline.heard is None:
        return {GapCause.NO_MEDIA: Intervals.of((0, frames))}
    start, end = timeline.heard
    return {GapCause.NOT_STARTED: Intervals.of((0, start)), GapCause.ENDED_EARLY: Intervals.of((end, frames))}


def _merge(party: int, starts: NDArray[np.int64], ends: NDArray[np.int64], strongest: NDArray[np.int64]) -> list[Gap]:
    """Return gaps from neighbouring pieces of one cause."""
    if not len(starts):
        return []
    opens = np.ones(len(starts), np.bool_)
    opens[1:] = (starts[1:] != ends[:-1]) | (strongest[1:] != strongest[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(starts)) - 1
    gaps = []
    for start, end, strength in zip(
        starts[first].tolist(), ends[last].tolist(), strongest[first].tolist(), strict=True
    ):
        cause = STRENGTH[strength]
        gaps.append(Gap(party=party, start_frame=start, frames=end - start, kind=KIND_OF[cause], cause=cause))
    return gaps


def hole_causes(
    holes: NDArray[np.void],
    kernel_drops: Intervals,
    seams: NDArray[np.bool_],
    unauthentic: Intervals | None = None,
) -> dict[GapCause, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return what the holes of one run say, as starts and ends in extended timestamps.

    As much of a hole as the missing packets can have covered is lost, from its front; the rest was not sent. Nothing
    tells where in a hole the missing packets belong, only how many they are.

    Args:
        holes: dtype `HOLE`.
        kernel_drops: when the kernel dropped datagrams of this stream; wall clock, ns.
        seams: whether a hole lies between captures of different writers, shape (n,).
        unauthentic: when packets of this stream did not authenticate; wall clock, ns. None for never.

    """
    starts, ends = holes["start"], holes["end"]
    lost_until = np.minimum(ends, starts + holes["missing_units"])
    # The clock that stamped the packets stamps the drops: they fall between the packets on either side.
    dropped = kernel_drops.overlap(holes["arrival_before_ns"], holes["arrival_after_ns"] + 1) > 0
    refused = ~dropped & (
        (unauthentic or Intervals.empty()).overlap(holes["arrival_before_ns"], holes["arrival_after_ns"] + 1) > 0
    )
    network = ~dropped & ~refused & ~seams
    noise = holes["kind_before"] == PacketKind.COMFORT_NOISE
    return {
        GapCause.WRITER_FAILOVER: (starts[seams], lost_until[seams]),
        GapCause.KERNEL_DROP: (starts[dropped & ~seams], lost_until[dropped & ~seams]),
        GapCause.NOT_AUTHENTICATED: (starts[refused & ~seams], lost_until[refused & ~seams]),
        GapCause.NETWORK: (starts[network], lost_until[network]),
        GapCause.COMFORT_NOISE: (lost_until[noise], ends[noise]),
        GapCause.NOT_SENT: (lost_until[~noise], ends[~noise]),
    }


def longest_lost(gaps: Sequence[Gap]) -> int:
    """Return the frames of the longest gap of kind lost; 0 without one."""
    return max((gap.frames for gap in gaps if gap.kind is GapKind.LOST), default=0)
