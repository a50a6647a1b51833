"""Runs of all sources on one timeline: which belong to one media clock, and where it starts. Pure.

Runs of one SSRC whose timestamps go on as the wall clock does share an *anchor*: they are joined by RTP timestamp, to
the sample, also across captures of different writers. Other runs stand where their arrival says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from media.pipeline.envelope import drift_ppm, drift_spread_ns, offset_ns
from media.pipeline.flow import FlowKey
from media.pipeline.survey import FlowSurvey, RunSurvey
from media.rtp.sequence import TIMESTAMP_MODULUS, signed_distance
from media.rtp.source import CLOCK_STEP_SECONDS

JOIN_SECONDS: Final = 0.04
"""Two sources of a party that meet with less than this between or over each other are put end to end: it is within the
error of arrival times, and a source that follows another neither repeats nor leaves out anything."""

_NANOSECONDS: Final = 1_000_000_000


@dataclass(slots=True, eq=False)
class PlacedRun:
    """A run on its anchor."""

    flow: FlowKey
    run: int
    survey: RunSurvey
    shift: int
    """RTP timestamp units to add to the run's extended timestamps for the anchor's."""


@dataclass(slots=True, eq=False)
class Anchor:
    """One media clock of one source; timestamps in the space of its first run."""

    party: int
    ssrc: int
    clock_rate: int
    base: int
    """Extended timestamp that `wall_ns` belongs to."""
    wall_ns: int = 0
    """Wall clock of the sample `base`."""
    runs: list[PlacedRun] = field(default_factory=list)
    origin: int = 0
    """Extended timestamp of the timeline's zero; set by `place`."""
    layer: int = 0
    """Sources of a party that sound at the same time lie in different layers."""
    adjusted_ns: int = 0
    """How far sender reports moved `wall_ns`."""
    drift_ppm: float | None = None
    """Media clock against wall clock; None if the source is too short to tell."""
    drift_spread_ns: float = 0.0
    """How far the least lags lie from that drift."""

    @property
    def start(self) -> int:
        """First timestamp of any run."""
        return min(placed.survey.start + placed.shift for placed in self.runs)

    @property
    def end(self) -> int:
        """Last timestamp of any run, exclusive."""
        return max(placed.survey.end + placed.shift for placed in self.runs)

    def wall_at(self, timestamp: int) -> int:
        """Return the wall clock of a timestamp, ns."""
        return self.wall_ns + (timestamp - self.base) * _NANOSECONDS // self.clock_rate

    def points(self) -> list[tuple[int, int]]:
        """Return (media time, least lag) of all runs, both as if counted from `base`; ns."""
        found = []
        for placed in self.runs:
            media = (placed.survey.base + placed.shift - self.base) * _NANOSECONDS // self.clock_rate
            found += [(at + media, lag - media) for at, lag in placed.survey.envelope.points()]
        return sorted(found)


def find_anchors(surveys: Mapping[FlowKey, FlowSurvey]) -> list[Anchor]:
    """Return the anchors of all sources, in order of their first packet's arrival."""
    sources: dict[tuple[int, int, int], list[PlacedRun]] = {}
    for key, flow in surveys.items():
        runs = sources.setdefault((key.party, key.ssrc, key.clock_rate), [])
        runs.extend(PlacedRun(key, number, survey, 0) for number, survey in flow.runs.items())
    anchors: list[Anchor] = []
    for (party, ssrc, clock_rate), runs in sources.items():
        own: list[Anchor] = []
        for placed in sorted(runs, key=lambda run: run.survey.first_arrival_ns):
            anchor = next((anchor for anchor in reversed(own) if _continues(anchor, placed)), None)
            if anchor is None:
                anchor = Anchor(party, ssrc, clock_rate, placed.survey.base)
                own.append(anchor)
            anchor.runs.append(placed)
            anchor.wall_ns = offset_ns(anchor.points())
        anchors += own
    for anchor in anchors:
        points = anchor.points()
        anchor.drift_ppm = drift_ppm(points)
        anchor.drift_spread_ns = drift_spread_ns(points, anchor.drift_ppm)
    return sorted(anchors, key=lambda anchor: anchor.runs[0].survey.first_arrival_ns)


def place(anchors: Iterable[Anchor]) -> int:
    """Set `origin` and `layer` of all anchors; return the wall clock of the timeline's zero, ns (0 without anchors)."""
    ordered = sorted(anchors, key=lambda anchor: anchor.wall_at(anchor.start))
    if not ordered:
        return 0
    zero_ns = ordered[0].wall_at(ordered[0].start)
    for party in sorted({anchor.party for anchor in ordered}):
        _place_party([anchor for anchor in ordered if anchor.party == party], zero_ns)
    return zero_ns


def _continues(anchor: Anchor, placed: PlacedRun) -> bool:
    """Say whether the run goes on with the anchor's media clock; if so, set its shift."""
    survey = placed.survey
    lag = offset_ns(survey.envelope.points())
    elapsed = (lag - anchor.wall_ns) * anchor.clock_rate // _NANOSECONDS
    # Extended timestamps of a restarted run may lie whole cycles off.
    apart = signed_distance(survey.base - anchor.base, elapsed)
    if abs(apart) > CLOCK_STEP_SECONDS * anchor.clock_rate:
        return False
    cycles = (elapsed + apart - (survey.base - anchor.base)) // TIMESTAMP_MODULUS
    placed.shift = cycles * TIMESTAMP_MODULUS
    return True


def _place_party(anchors: list[Anchor], zero_ns: int) -> None:
    """Place the anchors of one party, given in order of their start."""
    latest: tuple[int, int] | None = None
    """End of what is placed, as a fraction: units and clock rate."""
    layers: list[tuple[int, int]] = []
    for anchor in anchors:
        frame = _rounded((anchor.wall_at(anchor.start) - zero_ns) * anchor.clock_rate, _NANOSECONDS)
        if latest is not None:
            joined = -(-latest[0] * anchor.clock_rate // latest[1])
            if abs(frame - joined) <= JOIN_SECONDS * anchor.clock_rate:
                frame = joined
        anchor.origin = anchor.start - frame
        end = (frame + anchor.end - anchor.start, anchor.clock_rate)
        anchor.layer = next(
            (number for number, taken in enumerate(layers) if frame * taken[1] >= taken[0] * anchor.clock_rate),
            len(layers),
        )
        layers[anchor.layer : anchor.layer + 1] = [end]
        if latest is None or end[0] * latest[1] > latest[0] * end[1]:
            latest = end


def _rounded(numerator: int, denominator: int) -> int:
    """Return the nearest whole number, half-way up; exact for any size."""
    return (2 * numerator + denominator) // (2 * denominator)
