"""The timer values of RFC 3261 table 4 and RFC 6026 §8.11, as values that a test can scale. Owns no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """Base values in seconds and what follows from them."""

    t1: float = 0.5
    """Estimate of the round-trip time."""
    t2: float = 4.0
    """Longest interval between retransmissions of non-INVITE requests and of responses to INVITE."""
    t4: float = 5.0
    """Longest time a message remains in the network."""
    d: float = 32.0
    """Timer D over UDP: "an absolute minimum of 32 s is used instead of basing Timer D on T1" (RFC 6026 §8.4)."""

    @property
    def timeout(self) -> float:
        """Seconds of timers B, F, H, J, L and M: 64*T1."""
        return 64 * self.t1

    @property
    def late_trying(self) -> float:
        """Seconds after which a client's Timer E has been reset to T2: 3.5 s by default (RFC 4320 §4.1)."""
        elapsed = 0.0
        interval = self.t1
        while interval < self.t2:
            elapsed += interval
            interval *= 2
        return elapsed
