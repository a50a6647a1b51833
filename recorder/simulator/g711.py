"""G.711 companding, ITU-T G.711 tables 1a to 2b, written apart from `media` because the oracle must not share its code.

Encoding takes the nearest quantisation level. Does not know about RTP or files.
"""

from __future__ import annotations

import enum
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]

SAMPLE_RATE: Final = 8000
"""Hz."""


class Law(enum.StrEnum):
    """Companding law, named as in SDP (RFC 3551 table 4)."""

    PCMU = "pcmu"
    PCMA = "pcma"

    @property
    def payload_type(self) -> int:
        """Static RTP payload type."""
        return 0 if self is Law.PCMU else 8

    @property
    def silence(self) -> frozenset[int]:
        """Octets that stand for the smallest amplitude of either sign; what fills a gap."""
        return frozenset({0xFF, 0x7F} if self is Law.PCMU else {0xD5, 0x55})


@cache
def levels(law: Law) -> Samples:
    """Return the 16-bit sample of each of the 256 octets; shape (256,)."""
    octets = np.arange(256)
    if law is Law.PCMU:
        bits = ~octets & 0xFF
        magnitude = ((((bits & 0x0F) << 3) + 0x84) << ((bits >> 4) & 0x07)) - 0x84
        negative = bits & 0x80 != 0
    else:
        bits = octets ^ 0x55
        segment, step = (bits >> 4) & 0x07, (bits & 0x0F) << 4
        magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
        negative = bits & 0x80 == 0
    table = np.where(negative, -magnitude, magnitude).astype(np.int16)
    table.setflags(write=False)
    return table


def decode(octets: Octets, law: Law) -> Samples:
    """Return the 16-bit samples of companded octets, in their shape."""
    return levels(law)[octets]


def encode(samples: Samples, law: Law) -> Octets:
    """Return for each 16-bit sample the octet of the nearest level."""
    table = levels(law).astype(np.int32)
    order = np.argsort(table, kind="stable")
    ascending = table[order]
    midpoints = (ascending[1:] + ascending[:-1]) // 2
    return order[np.searchsorted(midpoints, samples.astype(np.int32), side="left")].astype(np.uint8)
