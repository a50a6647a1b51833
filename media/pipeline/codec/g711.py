"""G.711 mu-law and A-law by table, RFC 3551 §4.5.14; bit-exact both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import Law, Payloads, Samples

_ALL: Final = np.arange(256, dtype=np.int32)


def _mulaw_expansion() -> Samples:
    """Return the 256 decoder output values of ITU-T G.711 table 2, scaled to 16 bits."""
    code = ~_ALL & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 0x07)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_expansion() -> Samples:
    """Return the 256 decoder output values of ITU-T G.711 table 1, scaled to 16 bits."""
    code = _ALL ^ 0x55
    segment = code >> 4 & 0x07
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, mantissa + 8, mantissa + 0x108 << np.maximum(segment, 1) - 1)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _compression(expansion: Samples) -> NDArray[np.uint8]:
    """Return the nearest code for each 16-bit value, indexed as uint16; half-way goes to the smaller magnitude."""
    order = np.argsort(expansion, kind="stable")
    levels = expansion[order].astype(np.int64)
    values = np.arange(-32768, 32768, dtype=np.int64)
    above = np.clip(np.searchsorted(levels, values), 1, len(levels) - 1)
    below = above - 1
    down, up = values - levels[below], levels[above] - values
    nearer = np.where((down < up) | ((down == up) & (values > 0)), below, above)
    table = np.empty(65536, np.uint8)
    table[values.astype(np.uint16)] = order[nearer]
    return table


EXPANSION: Final[dict[Law, Samples]] = {Law.MULAW: _mulaw_expansion(), Law.ALAW: _alaw_expansion()}
"""Code to 16-bit sample, shape (256,)."""

_COMPRESSION: Final = {law: _compression(values) for law, values in EXPANSION.items()}

SILENCE: Final[dict[Law, int]] = {Law.MULAW: 0xFF, Law.ALAW: 0xD5}
"""The code of the least positive value, as idle channels send it."""

# Mu-law has two zeros; encoders send the positive one.
_COMPRESSION[Law.MULAW][0] = SILENCE[Law.MULAW]


# `mode="clip"` below never clips, every index is in range; it spares numpy the check and half of the time.


def expand(codes: NDArray[np.uint8], law: Law) -> Samples:
    """Decode G.711 codes of any shape."""
    return np.take(EXPANSION[law], codes, mode="clip")


def compress(samples: Samples, law: Law) -> NDArray[np.uint8]:
    """Encode 16-bit samples of any shape to the nearest G.711 codes; the inverse of `expand` on its values."""
    return np.take(_COMPRESSION[law], samples.view(np.uint16), mode="clip")


@dataclass(frozen=True, slots=True)
class G711:
    """PCMU or PCMA at any clock rate; one octet is one sample and one RTP timestamp unit."""

    law: Law
    sample_rate: int

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return one unit for each octet."""
        return payloads.lengths

    def samples(self, payloads: NDArray[np.uint8]) -> Samples:
        """Decode by table."""
        return expand(payloads, self.law)


def g711_format(codec: Codec) -> G711 | None:
    """Return the format of a PCMU or PCMA codec; several channels in one stream are not supported."""
    return G711(Law(codec.name.upper()), codec.clock_rate) if codec.channels == 1 else None
