"""One RTP source told apart from its own restarts: extended numbers and runs, RFC 3550 §5.1, §8.2 and A.1.

A *run* is a stretch of one SSRC during which sequence numbers and timestamps go on as the wire and the arrival clock
predict. A restarted sender, a media clock that stood still or leapt, and a sequence number space that began anew each
start another run; nothing of either side is dropped. A sender that is late begins none: its numbers say so where
packets of it are lost meanwhile, its pace where it catches up, its reports where it sends any. Pure: no packet bytes,
no files. It puts nothing in order and counts no loss (`media.rtp.ordering` does).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.rtp.reported_clock import NO_REPORTS, TRUST_SECONDS, ReportedClock
from media.rtp.sequence import (
    MAX_DROPOUT,
    MAX_MISORDER,
    MIN_SEQUENTIAL,
    SEQUENCE_MODULUS,
    Extended,
    extend_sequence_numbers,
    extend_timestamps,
    nearest_extended,
    sequence_steps,
    signed_distance,
)

STRAY: Final = -1
"""Run of a packet that fits nowhere and is followed by nothing of its kind: not valid by RFC 3550 A.1."""

CLOCK_STEP_SECONDS: Final = 0.5
"""A lasting step of the media clock against the arrival clock above this starts a run. Below it lie jitter buffers of
gateways and queueing; above it the ear notices that two parties no longer answer each other."""

MAX_LATENESS_SECONDS: Final = 60.0
"""A packet that fits by both of its numbers belongs to its run although it came so much too late or too early: as long
as `MAX_DROPOUT`, at 50 packets/s."""

LASTING_PACKETS: Final = 50
"""Packets after which a step of the media clock counts as lasting: a second of speech. A stall that ends with fewer
behind it, at the end of a source, is taken for one of the network."""

_CATCHES_UP: Final = 0.25
"""Fall of the lag per media time: a source that gains more sends what it had, faster than it can be spoken. It was
held up, and its clock went on; a clock that stood still has nothing to send that fast."""

_STALL_SECONDS: Final = 0.25
"""A lag that rises by more between two packets is no pace: something holds them up."""

_MOST_UNDECIDED: Final = 6000
"""Packets that wait until it is known whether a step of the media clock lasts: two minutes of speech."""

_SLOWEST: Final = 0.2
"""Speed, media clock to arrival clock, of a sender that falls behind during a gap. A clock that stood still while some
packets were lost, as around a hold, shows as less; what follows it would come too early against the other party."""

_LEVEL_PACKETS: Final = 100
"""Latest packets whose least lag is the run's level: two seconds at 50 packets/s, more than a burst lasts."""

_FIRST_CYCLE: Final = SEQUENCE_MODULUS
"""Extended numbers of a run start in cycle 1, so that packets reordered before its first one stay positive."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Where packets belong, in order of arrival; all arrays of shape (n,)."""

    runs: NDArray[np.int32]
    """Number of the run, from 0; `STRAY` for a packet that is not valid."""
    extended_sequence_numbers: Extended
    """Continuous inside a run; not comparable between runs."""
    extended_timestamps: Extended
    """RTP timestamp units; one space for all runs of the source. Meaningless for strays."""
    late: NDArray[np.bool_]
    """They came later than they were sent, by more than the network may hold them: they do not tell the time."""


@dataclass(slots=True)
class _Run:
    """The run that is going on."""

    number: int
    highest: int
    """Highest extended sequence number."""
    timestamp: int
    """Extended timestamp of the packet with the highest sequence number."""
    level: float
    """Least recent lag, RTP timestamp units: arrival clock minus media clock."""
    packet_units: int
    """RTP timestamp units per packet, as last seen."""
    least: float
    """Least lag of all its packets."""
    began_ns: int
    """Arrival of the first packet or report that can be of it."""
    latest_ns: int
    """Arrival of its latest packet so far."""
    late_above: float = np.inf
    """Lag above which a packet is late; infinite while the sender is on time."""


class SourceTracker:
    """Locates the packets of one SSRC of one stream, fed in order of arrival.

    Args:
        clock_rate: Hz.
        reports: the sender reports of this SSRC, those to come included.

    """

    def __init__(self, clock_rate: int, reports: ReportedClock = NO_REPORTS) -> None:
        self.clock_rate = clock_rate
        self._reports = reports
        self._run = _Run(-1, 0, 0, 0.0, 0, 0.0, 0, 0)
        self._origin_ns = 0
        self._last_lag = 0.0

    @property
    def runs(self) -> int:
        """Number of runs so far."""
        return self._run.number + 1

    def locate(
        self,
        sequence_numbers: NDArray[np.uint16],
        timestamps: NDArray[np.uint32],
        durations: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
        *,
        final: bool = False,
    ) -> Located:
        """Locate the next packets; shape (n,) each.

        The result may be shorter than the input: the last packets (fewer than `LASTING_PACKETS`) are left undecided
        when only their successors can tell whether they are the start of something. Feed the undecided rest again, in
        front of what comes next. `final` says that nothing comes next, and decides everything.

        Args:
            sequence_numbers: as on the wire.
            timestamps: as on the wire.
            durations: RTP timestamp units that each packet covers; for telephone-event the duration it tells.
            arrival_ns: any clock that does not jump.
            final: no more packets follow.

        """
        count = len(sequence_numbers)
        if not count:
            return _nothing()
        if self._run.number < 0:
            self._begin(int(sequence_numbers[0]), int(timestamps[0]), int(durations[0]), int(arrival_ns[0]))
        run = self._run
        extended_timestamps = extend_timestamps(timestamps, run.timestamp)
        lags = self._lags(extended_timestamps, durations, arrival_ns)
        steps = sequence_steps(sequence_numbers, run.highest)
        lag_steps = np.abs(np.diff(lags, prepend=self._last_lag))
        forward = np.diff(extended_timestamps, prepend=run.timestamp) > 0
        breaks = (lag_steps > self._tolerance) | (steps >= MAX_DROPOUT) | (steps <= -MAX_MISORDER)
        # A sequence number that does not rise while the timestamp does is a new count, not reordering.
        breaks |= (steps <= 0) & forward
        batch = _Batch(sequence_numbers, extended_timestamps, lags, arrival_ns)
        if breaks.any():
            return self._locate_pieces(batch, np.flatnonzero(breaks), final=final)
        extended = extend_sequence_numbers(sequence_numbers, run.highest)
        self._advance(extended, batch)
        return Located(np.full(count, run.number, np.int32), extended, extended_timestamps, lags > run.late_above)

    def _begin(self, sequence_number: int, timestamp: int, duration: int, arrival_ns: int) -> None:
        self._origin_ns = arrival_ns
        self._last_lag = float(-timestamp - duration)
        lag = self._last_lag
        # A report may come before the first packet.
        self._run = _Run(0, _FIRST_CYCLE + sequence_number, timestamp, lag, 0, lag, 0, arrival_ns)

    def _lags(
        self, extended_timestamps: Extended, durations: NDArray[np.int64], arrival_ns: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return arrival clock minus media clock at the end of each packet, RTP timestamp units."""
        arrivals = (arrival_ns - self._origin_ns) * (self.clock_rate / 1e9)
        return arrivals - (extended_timestamps + durations)

    def _advance(self, extended: Extended, batch: _Batch) -> None:
        """Take accepted packets of the current run, at least one, into its state; `extended` are their numbers."""
        run, lags = self._run, batch.lags
        if len(extended) > 1:
            apart = np.diff(batch.extended_timestamps)
            usable = np.flatnonzero((np.diff(extended) == 1) & (apart > 0))
            if usable.size:
                run.packet_units = int(apart[usable[-1]])
        last = int(extended.argmax())
        if extended[last] >= run.highest:
            run.highest = int(extended[last])
            run.timestamp = int(batch.extended_timestamps[last])
        run.level = float(lags[-_LEVEL_PACKETS:].min())
        run.least = min(run.least, float(lags.min()))
        if run.level <= run.late_above:
            run.late_above = np.inf
        run.latest_ns = int(batch.arrival_ns[-1])
        self._last_lag = float(lags[-1])

    def _locate_pieces(self, batch: _Batch, breaks: NDArray[np.intp], *, final: bool) -> Located:
        """Decide piece by piece where the packets between two breaks belong."""
        count = len(batch.sequence_numbers)
        runs = np.full(count, STRAY, np.int32)
        extended = np.zeros(count, np.int64)
        late = np.zeros(count, np.bool_)
        edges = sorted({0, count, *breaks.tolist()})
        least = np.minimum.reduceat(batch.lags, edges[:-1])
        decided = count
        for position, (start, end) in enumerate(itertools.pairwise(edges)):
            piece, lag = batch.piece(start, end), float(least[position])
            first = self._number_in_run(piece, lag)
            number, late_above = self._run.number, min(self._run.late_above, self._run.level + self._tolerance)
            if first is not None and first > self._run.highest and self._lasts(least[position:]):
                # Both numbers follow, and the clock does not: a stall of the network, a step of the media clock, or a
                # sender that has fallen behind.
                if self._keeps_pace(batch, start):
                    if self._goes_on(first, piece, lag):
                        self._run.level, self._run.late_above = lag, late_above
                    else:
                        first = self._restart(piece, lag)
                elif not final:
                    decided = start
                    break
            if first is None:
                single = end - start < MIN_SEQUENTIAL
                if single and end == count and not final:
                    decided = start
                    break
                if single and end != count:
                    continue
                first = self._restart(piece, lag)
            runs[start:end] = self._run.number
            if self._run.number == number:
                late[start:end] = piece.lags > late_above
            steps = sequence_steps(piece.sequence_numbers, first)
            extended[start:end] = first + np.cumsum(steps, dtype=np.int64)
            level = self._run.level
            self._advance(extended[start:end], piece)
            if abs(lag - level) > self._tolerance:
                # Packets that came late or early say nothing about where the media clock stands.
                self._run.level = level
        return Located(runs[:decided], extended[:decided], batch.extended_timestamps[:decided], late[:decided])

    @property
    def _tolerance(self) -> float:
        return CLOCK_STEP_SECONDS * self.clock_rate

    def _lasts(self, least_lags: NDArray[np.float64]) -> bool:
        """Say whether none of the lags to come returns to the run's level."""
        return bool((np.abs(least_lags - self._run.level) > self._tolerance).all())

    def _keeps_pace(self, batch: _Batch, start: int) -> bool:
        """Say whether as many packets as count as lasting follow one another as fast as they were made.

        Until they do, whoever sends is held up again or still catches up, or there is too little to tell.
        """
        if len(batch.lags) - start >= _MOST_UNDECIDED:
            return True
        within = LASTING_PACKETS - 1
        # Nearly always the first ones do.
        for until in (start + LASTING_PACKETS, len(batch.lags)):
            lags, media = batch.lags[start:until], batch.extended_timestamps[start:until]
            stalls = np.cumsum(np.diff(lags, prepend=lags[:1]) > _STALL_SECONDS * self.clock_rate)
            fall = lags[:-within] - lags[within:]
            most = _CATCHES_UP * np.maximum(media[within:] - media[:-within], 0)
            if ((fall <= most) & (stalls[within:] == stalls[:-within])).any():
                return True
        return False

    def _goes_on(self, first: int, piece: _Batch, lag: float) -> bool:
        """Say whether a piece whose numbers follow, and whose lag is another, is of the same media clock.

        So it is where sequence numbers and timestamps agree on the length of the gap before it and most of that was
        sent; or where nothing is late any more.
        """
        run = self._run
        missing = first - run.highest - 1
        units = int(piece.extended_timestamps[0]) - run.timestamp - run.packet_units
        agreed = abs(units - missing * run.packet_units) <= run.packet_units
        if lag < run.level:
            return agreed
        sent = missing > 0 and units >= _SLOWEST * (units + lag - run.level)
        return (agreed and sent) or self._is_late(piece)

    def _is_late(self, piece: _Batch) -> bool:
        """Say whether sender reports tell that the media clock went on through the gap before the piece.

        Then what comes is late, by as much as it may be. Once it is, and no report follows, it is taken to have become
        later still.
        """
        run = self._run
        before, after = self._reports.around(run.began_ns, run.latest_ns, int(piece.arrival_ns[0]))
        if len(before) and len(after):
            return before.goes_on_in(after, self.clock_rate)
        if len(after):
            lags = after.lags(self._origin_ns, self.clock_rate, run.timestamp)
            return bool((lags - run.least <= TRUST_SECONDS * self.clock_rate).any())
        lags = before.lags(self._origin_ns, self.clock_rate, run.timestamp)
        return bool((run.level - lags > self._tolerance).any())

    def _number_in_run(self, piece: _Batch, least_lag: float) -> int | None:
        """Return the extended sequence number of the piece's first packet, or None if it is not of the current run."""
        run = self._run
        number = int(piece.sequence_numbers[0])
        step = signed_distance(number, run.highest, SEQUENCE_MODULUS)
        units = int(piece.extended_timestamps[0]) - run.timestamp
        if abs(least_lag - run.level) <= self._tolerance:
            if -MAX_MISORDER < step < MAX_DROPOUT:
                # RFC 3550 A.1: "in order, with permissible gap", or reordered; but both numbers must go the same way.
                return run.highest + step if self._same_way(step, units) else None
            if -MAX_DROPOUT < step < 0 and units < 0:
                # Further back than A.1 calls reordering, which knows sequence numbers only; but the media clock says
                # the same, so it is a late packet or a copy of one. A new count would begin at a later timestamp.
                return run.highest + step
            return self._after_dropout(number, units)
        near = abs(least_lag - run.level) <= MAX_LATENESS_SECONDS * self.clock_rate
        fits = self._same_way(step, units) and abs(step) < MAX_DROPOUT
        return run.highest + step if near and fits else None

    def _same_way(self, step: int, units: int) -> bool:
        """Say whether sequence number and timestamp agree on the direction in time.

        Forward, the timestamp may stand still or lie a little behind (telephone-event repeats its first one).
        """
        return units >= -self._tolerance if step > 0 else units <= 0

    def _after_dropout(self, number: int, units: int) -> int | None:
        """Return the extended sequence number after a long pause that the media clock confirms.

        The cycles that were missed follow from the time that passed. None if the numbers do not follow from it: the
        sender began to count anew while its media clock went on.
        """
        run = self._run
        if run.packet_units <= 0:
            return None
        packets = round(units / run.packet_units)
        found = nearest_extended(number, run.highest + packets)
        if abs(found - run.highest - packets) > MAX_MISORDER + abs(packets) // 4 or found < run.highest - MAX_DROPOUT:
            return None
        return found

    def _restart(self, piece: _Batch, level: float) -> int:
        """Begin a run with the piece and return its first extended sequence number."""
        first = _FIRST_CYCLE + int(piece.sequence_numbers[0])
        timestamp = int(piece.extended_timestamps[0])
        began_ns = int(piece.arrival_ns[0])
        number, units = self._run.number + 1, self._run.packet_units
        self._run = _Run(number, first, timestamp, level, units, level, began_ns, began_ns)
        return first


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Packets in order of arrival, shape (n,) each."""

    sequence_numbers: NDArray[np.uint16]
    extended_timestamps: Extended
    lags: NDArray[np.float64]
    arrival_ns: NDArray[np.int64]

    def piece(self, start: int, end: int) -> _Batch:
        part = slice(start, end)
        return _Batch(
            self.sequence_numbers[part], self.extended_timestamps[part], self.lags[part], self.arrival_ns[part]
        )


def _nothing() -> Located:
    empty = np.zeros(0, np.int64)
    return Located(np.zeros(0, np.int32), empty, empty, np.zeros(0, np.bool_))
