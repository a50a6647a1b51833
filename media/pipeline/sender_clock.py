"""Sources of one sender aligned by its own clock: RTCP sender reports, RFC 3550 §6.4.1 and §6.5.1.

Arrival times place each source within the jitter of the network. Where the sender tells, for several sources under one
CNAME, which RTP timestamps belong to which moment of its clock, their relation to each other follows from that; their
common place in time still comes from arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from media.container import Capture
from media.pipeline.alignment import Anchor
from media.pipeline.capture_clock import CaptureClock
from media.rtp.reported_clock import TRUST_SECONDS, ReportedClock
from media.rtp.rtcp import ntp_to_unix_ns, parse_rtcp
from media.rtp.sequence import TIMESTAMP_MODULUS, nearest_extended
from media.rtp.source import MAX_LATENESS_SECONDS

MAX_READINGS: Final = 4096
"""Per source: more than five hours of reports at the usual interval, and a median needs no more."""

_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One sender report: media and sender clock read together."""

    ntp_ns: int
    """Sender clock, as nanoseconds since 1970."""
    rtp_timestamp: int
    """Wrapped."""
    arrival_ns: int


@dataclass(slots=True)
class SenderClocks:
    """What RTCP said about the sources of a recording."""

    readings: dict[tuple[int, int], list[Reading]] = field(default_factory=dict)
    """By stream and SSRC."""
    cnames: dict[tuple[int, int], str] = field(default_factory=dict)
    """By stream and SSRC."""

    def reported(self) -> dict[tuple[int, int], ReportedClock]:
        """Return the reports of each source, by stream and SSRC, in order of arrival."""
        found = {}
        for source, readings in self.readings.items():
            ordered = sorted(readings, key=lambda reading: reading.arrival_ns)
            found[source] = ReportedClock(
                np.array([reading.arrival_ns for reading in ordered], np.int64),
                np.array([reading.ntp_ns for reading in ordered], np.int64),
                np.array([reading.rtp_timestamp for reading in ordered], np.uint32),
            )
        return found


def read_sender_clocks(captures: Iterable[Capture]) -> SenderClocks:
    """Return what the RTCP packets of all captures say."""
    clocks = SenderClocks()
    for capture in captures:
        clock = CaptureClock(capture)
        for batch in capture.rtcp():
            streams, arrivals = batch.records["stream"].tolist(), clock.arrivals(batch).tolist()
            for position, (stream, arrival_ns) in enumerate(zip(streams, arrivals, strict=True)):
                _read(clocks, stream, arrival_ns, batch.packet(position))
    return clocks


def align(anchors: Sequence[Anchor], clocks: SenderClocks) -> int:
    """Move `wall_ns` of anchors whose sources share a sender; return the greatest move, ns.

    Those that were held up from their beginning are moved to where they began.
    """
    _set_back(anchors, clocks)
    senders: dict[str, list[tuple[Anchor, int]]] = {}
    for anchor in anchors:
        source = (anchor.runs[0].flow.stream, anchor.ssrc)
        at_base = _sender_time_at_base(anchor, clocks.readings.get(source, []))
        cname = clocks.cnames.get(source)
        if cname and at_base is not None:
            senders.setdefault(cname, []).append((anchor, at_base))
    greatest = 0
    for members in senders.values():
        behind = _median([anchor.wall_ns - at_base for anchor, at_base in members])
        for anchor, at_base in members:
            move = at_base + behind - anchor.wall_ns
            # What contradicts arrival by more is wrong: a queue holds back all sources of a sender alike.
            if abs(move) <= TRUST_SECONDS * _NANOSECONDS:
                anchor.wall_ns += move
                anchor.adjusted_ns = move
                greatest = max(greatest, abs(move))
    return greatest


def _read(clocks: SenderClocks, stream: int, arrival_ns: int, datagram: bytes) -> None:
    compound = parse_rtcp(datagram)
    if compound is None:
        return
    for ssrc, cname in compound.cnames.items():
        clocks.cnames[stream, ssrc] = cname
    for report in compound.sender_reports:
        readings = clocks.readings.setdefault((stream, report.ssrc), [])
        # RFC 3550 §6.4.1: a sender without a wall clock sets the NTP time to zero.
        if report.ntp_timestamp and len(readings) < MAX_READINGS:
            ntp_ns = ntp_to_unix_ns(report.ntp_timestamp, arrival_ns)
            readings.append(Reading(ntp_ns, report.rtp_timestamp, arrival_ns))


def _set_back(anchors: Sequence[Anchor], clocks: SenderClocks) -> None:
    """Place sources by the arrival of their reports, if these say of all parties that packets were held up alike.

    Who was late in all that was heard of it began earlier than its first arrivals say, and how much later each party's
    came is chance. One party's reports alone are not believed: some senders count their timestamps from elsewhere.
    """
    found = {}
    for anchor in anchors:
        told = _told(anchor, clocks.readings.get((anchor.runs[0].flow.stream, anchor.ssrc), []))
        if not told:
            return
        found[anchor] = _median([anchor.wall_at(timestamp) - reading.arrival_ns for reading, timestamp in told])
    late = found.values()
    if len({anchor.party for anchor in found}) < 2 or max(late) - min(late) > TRUST_SECONDS * _NANOSECONDS:
        return
    if min(late) > TRUST_SECONDS * _NANOSECONDS and max(late) <= MAX_LATENESS_SECONDS * _NANOSECONDS:
        for anchor, late_ns in found.items():
            anchor.wall_ns -= late_ns


def _sender_time_at_base(anchor: Anchor, readings: Sequence[Reading]) -> int | None:
    """Return the sender's clock at the anchor's base; None if no report of the anchor's time tells."""
    found = [
        reading.ntp_ns - (timestamp - anchor.base) * _NANOSECONDS // anchor.clock_rate
        for reading, timestamp in _told(anchor, readings)
    ]
    return _median(found) if found else None


def _told(anchor: Anchor, readings: Sequence[Reading]) -> list[tuple[Reading, int]]:
    """Return the reports of the anchor's time, each with its extended timestamp."""
    found = []
    for reading in readings:
        if anchor.wall_at(anchor.start) <= reading.arrival_ns <= anchor.wall_at(anchor.end) + _NANOSECONDS:
            expected = anchor.base + (reading.arrival_ns - anchor.wall_ns) * anchor.clock_rate // _NANOSECONDS
            found.append((reading, nearest_extended(reading.rtp_timestamp, expected, TIMESTAMP_MODULUS)))
    return found


def _median(values: Sequence[int]) -> int:
    """Return the median, rounded down; exact for nanoseconds since 1970."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) // 2
