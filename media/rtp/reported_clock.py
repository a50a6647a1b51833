"""What a source's sender reports say of its media clock, RFC 3550 §6.4.1: whether it went on while no packets came.

A report names one moment by the sender's wall clock and by its media clock, and arrives at once, however far the
packets lag behind. Pure: it parses nothing and knows no packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.rtp.sequence import Extended, extend_timestamps

TRUST_SECONDS: Final = 0.25
"""Two reports of one clock differ by less: that is what the network and a busy sender do to them."""

_NEAREST: Final = 3
"""Reports looked at on either side of a gap: one of them may have come late."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportedClock:
    """Sender reports of one SSRC in order of arrival; arrays of shape (n,)."""

    arrival_ns: NDArray[np.int64]
    """By the clock that stamped the source's packets."""
    ntp_ns: NDArray[np.int64]
    """Sender's wall clock."""
    timestamps: NDArray[np.uint32]
    """Its media clock at the same moment, as on the wire."""

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def around(self, began_ns: int, latest_ns: int, at_ns: int) -> tuple[ReportedClock, ReportedClock]:
        """Return the last reports from `began_ns` to `latest_ns` and the first ones from `at_ns` on.

        What came in the gap between says nothing: a clock that stands still may be reported as before or as after it.
        """
        first, last = np.searchsorted(self.arrival_ns, began_ns), np.searchsorted(self.arrival_ns, latest_ns, "right")
        after = int(np.searchsorted(self.arrival_ns, at_ns))
        return self._part(max(int(first), int(last) - _NEAREST), int(last)), self._part(after, after + _NEAREST)

    def lags(self, origin_ns: int, clock_rate: int, reference: int) -> NDArray[np.float64]:
        """Return arrival clock, counted from `origin_ns`, minus media clock, RTP timestamp units.

        Args:
            origin_ns: any arrival.
            clock_rate: Hz.
            reference: extended timestamp within 2^31 units of all reports.

        """
        return _lags(self.arrival_ns - origin_ns, clock_rate, extend_timestamps(self.timestamps, reference))

    def goes_on_in(self, later: ReportedClock, clock_rate: int) -> bool:
        """Say whether a report and a later one are of a clock that never stood still or leapt, both not empty.

        By the sender's wall clock, which knows nothing of the network, or by the times of arrival: the sender's may
        have been set meanwhile.
        """
        reference = int(self.timestamps[0])
        early, late = extend_timestamps(self.timestamps, reference), extend_timestamps(later.timestamps, reference)
        for own_ns, its_ns in ((self.ntp_ns, later.ntp_ns), (self.arrival_ns, later.arrival_ns)):
            before, after = (
                _lags(own_ns - own_ns[0], clock_rate, early),
                _lags(its_ns - own_ns[0], clock_rate, late),
            )
            if (np.abs(after[:, None] - before) <= TRUST_SECONDS * clock_rate).any():
                return True
        return False

    def _part(self, start: int, end: int) -> ReportedClock:
        return ReportedClock(self.arrival_ns[start:end], self.ntp_ns[start:end], self.timestamps[start:end])


def _lags(clock_ns: NDArray[np.int64], clock_rate: int, extended_timestamps: Extended) -> NDArray[np.float64]:
    return clock_ns.astype(np.float64) * (clock_rate / 1e9) - extended_timestamps


NO_REPORTS: Final = ReportedClock(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint32))
