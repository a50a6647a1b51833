"""Interarrival jitter, RFC 3550 §6.4.1 and A.8, over whole arrays; wrap-safe. It does not choose the packets."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAIN: Final = 1.0 / 16.0
_KEEP: Final = 1.0 - _GAIN
_BLOCK: Final = 4096
"""Packets per step: (15/16)^-4096 is 1e115, far inside a double; all terms are positive, so nothing cancels."""

_DECAY: Final = _KEEP ** np.arange(1, _BLOCK + 1, dtype=np.float64)


class JitterEstimator:
    """Running estimate of one source, fed in order of arrival.

    The arrival clock may be any clock that does not jump. For telephone-event, feed the first packet of each event
    only (RFC 4733 §2.5.1.3: the others repeat its timestamp and would look like jitter).
    """

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        """Hz; RTP timestamp units per second."""
        self.units = 0.0
        """The estimate after the latest packet, RTP timestamp units (what a receiver report carries, as an integer)."""
        self.maximum_units = 0.0
        """The highest estimate so far, RTP timestamp units."""
        self._sum = 0.0
        self._count = 0
        self._transit: float | None = None

    @property
    def milliseconds(self) -> float:
        """The latest estimate, ms."""
        return self.units * 1000.0 / self.clock_rate

    @property
    def maximum_milliseconds(self) -> float:
        """The highest estimate, ms."""
        return self.maximum_units * 1000.0 / self.clock_rate

    @property
    def mean_milliseconds(self) -> float:
        """The estimate averaged over all packets fed, ms; 0 before the second packet."""
        return self._sum / self._count * 1000.0 / self.clock_rate if self._count else 0.0

    def feed(self, arrival_ns: NDArray[np.int64], extended_timestamps: NDArray[np.int64]) -> None:
        """Take packets in order of arrival: shape (n,) each, nanoseconds and *extended* timestamps."""
        if not len(arrival_ns):
            return
        # Whole seconds and the rest apart: nanoseconds since 1970 times a clock rate do not fit into 64 bits.
        seconds, nanoseconds = np.divmod(arrival_ns, 1_000_000_000)
        whole = seconds * self.clock_rate - extended_timestamps
        base = int(whole[0]) if self._transit is None else self._base
        self._base = base
        transit = (whole - base) + nanoseconds * (self.clock_rate / 1e9)
        if self._transit is None:
            differences = np.abs(np.diff(transit))
        else:
            differences = np.abs(np.diff(transit, prepend=self._transit))
        self._transit = float(transit[-1])
        for start in range(0, len(differences), _BLOCK):
            self._advance(differences[start : start + _BLOCK])

    def restart(self) -> None:
        """Forget the last transit time: the source restarted its timestamps, the next packet starts afresh."""
        self._transit = None

    _base = 0

    def _advance(self, differences: NDArray[np.float64]) -> None:
        """Apply J += (|D| - J)/16 to each difference at once: J_n = k^n (J_0 + sum of D_i / (16 k^i)), k = 15/16."""
        decay = _DECAY[: len(differences)]
        estimates = decay * (self.units + np.cumsum(_GAIN * differences / decay))
        self.units = float(estimates[-1])
        self.maximum_units = max(self.maximum_units, float(estimates.max()))
        self._sum += float(estimates.sum())
        self._count += len(estimates)
