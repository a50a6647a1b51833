"""Serial numbers of RTP: 16-bit sequence numbers and 32-bit timestamps made continuous, RFC 3550 §5.1 and A.1.

The only place of the project where numbers that wrap are compared. Pure arithmetic over numpy arrays: it knows no
packet, keeps no state, and does not decide whether a jump is a loss or a restart (`media.rtp.source` does).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_DROPOUT: Final = 3000
"""Packets; a forward jump below it is loss, not a restart (RFC 3550 A.1: one minute at 50 packets/s)."""

MAX_MISORDER: Final = 100
"""Packets; a backward step of up to this is reordering, not a restart (RFC 3550 A.1: two seconds)."""

MIN_SEQUENTIAL: Final = 2
"""Packets in sequence that confirm a restart (RFC 3550 A.1)."""

SEQUENCE_MODULUS: Final = 1 << 16
TIMESTAMP_MODULUS: Final = 1 << 32

Extended = NDArray[np.int64]
"""Numbers that no longer wrap: congruent to what was on the wire, in the order in which they were given."""


def sequence_steps(sequence_numbers: NDArray[np.uint16], previous: int) -> NDArray[np.int16]:
    """Return how far each sequence number is from the one before it, the first from `previous` (wrapped or extended).

    Shape (n,) in, (n,) out; -32768..32767, negative for a number that lies behind: the nearer way round is taken.
    """
    before = np.empty_like(sequence_numbers)
    if len(before):
        before[0] = previous % SEQUENCE_MODULUS
        before[1:] = sequence_numbers[:-1]
    return (sequence_numbers - before).view(np.int16)


def extend_sequence_numbers(sequence_numbers: NDArray[np.uint16], previous: int) -> Extended:
    """Return extended sequence numbers, each taken as nearest to the one before it; the first to extended `previous`.

    Shape (n,), uint16 as on the wire, in order of arrival; out int64. A reordered number goes back and the next one
    forward again, so reordering around a wrap costs nothing. A jump of more than 32,767 is read the wrong way round:
    split the array at such jumps first.
    """
    return previous + np.cumsum(sequence_steps(sequence_numbers, previous), dtype=np.int64)


def extend_timestamps(timestamps: NDArray[np.uint32], reference: int) -> Extended:
    """Return extended RTP timestamps, each taken as nearest to the extended `reference`.

    Shape (n,), uint32 as on the wire, any order; out int64. One reference serves all, so a wrong timestamp harms only
    itself; it must be closer than 2^31 units (74 h at 8 kHz) to each of them.
    """
    distances = (timestamps - np.uint32(reference % TIMESTAMP_MODULUS)).view(np.int32)
    return reference + distances.astype(np.int64)


def nearest_extended(number: int, expected: int, modulus: int = SEQUENCE_MODULUS) -> int:
    """Return the extended number that is congruent to `number` and nearest to `expected`; half-way goes down."""
    half = modulus // 2
    return expected + (number - expected + half) % modulus - half


def signed_distance(later: int, earlier: int, modulus: int = TIMESTAMP_MODULUS) -> int:
    """Return `later - earlier` by the nearer way round, in -modulus/2 .. modulus/2 - 1."""
    half = modulus // 2
    return (later - earlier + half) % modulus - half
