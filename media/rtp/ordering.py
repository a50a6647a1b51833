"""Packets of one source in order of sequence number, each once, RFC 3550 A.1 and A.3; with what is missing counted.

Pure: works on numbers and returns positions. The caller keeps the packets that are held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.rtp.sequence import MAX_MISORDER, SEQUENCE_MODULUS, Extended

_RUN_SHIFT: Final = 44
"""Bits of a sort key below the run number: at 10,000 packets/s an extended sequence number fills them in 55 years."""

_NEVER: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """Positions in the arrays that were given."""

    emitted: NDArray[np.intp]
    """Packets whose turn it is, in order of run and sequence number. Those in front of `in_order` came too late."""
    overdue: int
    """So many of `emitted`, at its front, belong before packets that were emitted earlier."""
    held: NDArray[np.intp]
    """Packets whose predecessors may still come, in order; give them again, in front of the next ones."""
    duplicates: int
    """Packets dropped because their sequence number had been received; the first arrival is kept."""


class Resequencer:
    """Puts located packets of one source in order and drops duplicates.

    Holds back the latest `MAX_MISORDER` sequence numbers until newer ones come, so that reordering of up to that many
    packets is undone. Packets later than that are emitted out of order, still once.
    """

    def __init__(self) -> None:
        self.received = 0
        """Packets emitted: every sequence number once."""
        self._lost_before = 0
        self._run = _NEVER
        self._base = 0
        self._highest = 0
        self._received_in_run = 0
        self._seen = np.zeros(SEQUENCE_MODULUS, np.bool_)
        """Sequence numbers of the latest cycle that were emitted."""

    @property
    def lost(self) -> int:
        """Sequence numbers between the first and the last of each run that were not received (RFC 3550 A.3)."""
        return self._lost_before + self._lost_in_run

    @property
    def _lost_in_run(self) -> int:
        return self._highest - self._base + 1 - self._received_in_run if self._received_in_run else 0

    def order(self, runs: NDArray[np.int32], extended: Extended, *, flush: bool) -> Ordered:
        """Order packets, given in order of arrival: the held ones of the call before, then the new ones.

        Args:
            runs: number of the run of each packet, shape (n,); never falling, strays left out.
            extended: extended sequence numbers, shape (n,).
            flush: nothing newer is to be waited for; hold nothing back.

        """
        keys = (runs.astype(np.int64) << _RUN_SHIFT) + extended
        order = np.arange(len(keys))
        if not (np.diff(keys) > 0).all():
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
        fresh = np.ones(len(keys), np.bool_)
        fresh[1:] = np.diff(keys) != 0
        overdue = self._overdue(keys, fresh)
        duplicates = len(keys) - int(fresh.sum())
        order, keys, overdue = order[fresh], keys[fresh], overdue[fresh]
        until = len(keys) if flush or not len(keys) else int(np.searchsorted(keys, keys[-1] - MAX_MISORDER, "right"))
        # Overdue packets precede all that are waited for: they sort first.
        until = max(until, int(overdue.sum()))
        self._emit(keys[:until])
        return Ordered(order[:until], int(overdue.sum()), order[until:], duplicates)

    def _overdue(self, keys: NDArray[np.int64], fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark packets behind the emitted ones, and take those that were emitted before out of `fresh`."""
        highest = (self._run << _RUN_SHIFT) + self._highest
        overdue = keys <= highest if self._run != _NEVER else np.zeros(len(keys), np.bool_)
        if overdue.any():
            forgotten = keys <= highest - SEQUENCE_MODULUS
            fresh[overdue] &= ~(self._seen[keys[overdue] % SEQUENCE_MODULUS] | forgotten[overdue])
        return overdue

    def _emit(self, keys: NDArray[np.int64]) -> None:
        while len(keys):
            run = int(keys[0] >> _RUN_SHIFT)
            end = int(np.searchsorted(keys, (run + 1) << _RUN_SHIFT))
            self._emit_in_run(run, keys[:end] - (run << _RUN_SHIFT))
            keys = keys[end:]

    def _emit_in_run(self, run: int, extended: Extended) -> None:
        if run != self._run:
            self._lost_before += self._lost_in_run
            self._run, self._received_in_run = run, 0
            self._base = self._highest = int(extended[0])
            self._seen[:] = False
        rise = min(int(extended[-1]) - self._highest, SEQUENCE_MODULUS)
        if rise > 0:
            self._seen[(self._highest + 1 + np.arange(rise)) % SEQUENCE_MODULUS] = False
        self._base = min(self._base, int(extended[0]))
        self._highest = max(self._highest, int(extended[-1]))
        self._seen[extended[extended > self._highest - SEQUENCE_MODULUS] % SEQUENCE_MODULUS] = True
        self.received += len(extended)
        self._received_in_run += len(extended)
