"""Speex over RTP, RFC 5574, decoded by FFmpeg through PyAV, an optional package.

A payload holds frames bit after bit and no length; each frame tells its mode, and the mode how many bits it has. Modes
are those of the Speex manual, tables 9.1 and 10.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, Payloads, Samples
from media.pipeline.codec.ffmpeg import FfmpegDecoder, can_decode

FRAME_MS: Final = 20
MOST_FRAMES: Final = 10
"""Of one payload; RFC 5574 §3.3 advises against more than one or a few."""

# Bits of a narrowband frame without its flag, and of a layer above it with its header; by mode.
_NARROWBAND: Final = (5, 43, 119, 160, 220, 300, 364, 492, 79)
_LAYER: Final = (4, 36, 112, 192, 352)
_LEAST_BITS: Final = 5
"""Of the smallest frame: a flag and a mode."""


@dataclass(frozen=True, slots=True)
class Speex:
    """Speex of one bandwidth."""

    sample_rate: int
    """Hz of the audio and of the RTP timestamps: 8,000, 16,000 or 32,000."""

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return 20 ms for each narrowband frame; 0 for a payload without a whole one."""
        units = self.sample_rate * FRAME_MS // 1000
        return np.array(
            [
                len(frames_of(payloads.octets[start : start + length].tobytes())) * units
                for start, length in zip(payloads.starts.tolist(), payloads.lengths.tolist(), strict=True)
            ],
            np.int64,
        )

    def decoder(self) -> SpeexDecoder:
        """Return a decoder."""
        return SpeexDecoder(self.sample_rate)


class SpeexDecoder:
    """Decodes frame by frame: FFmpeg has to be told beforehand how many a payload holds, and the sender may vary it."""

    def __init__(self, sample_rate: int) -> None:
        self._frames = FfmpegDecoder("speex", sample_rate)

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload, None for one that is not Speex."""
        return [self._decode(frames_of(payload)) for payload in payloads]

    def _decode(self, frames: list[bytes]) -> Samples | None:
        parts = [part for part in self._frames.decode(frames) if part is not None]
        return np.concatenate(parts) if frames and len(parts) == len(frames) else None


def frames_of(payload: bytes) -> list[bytes]:
    """Return the whole frames of a payload, each narrowband frame with its layers, filled up to whole octets."""
    bits, total = int.from_bytes(payload), 8 * len(payload)
    borders: list[int] = []
    """Where frames begin, in bits."""
    position = 0
    while total - position >= _LEAST_BITS:
        head = bits >> (total - position - _LEAST_BITS) & 0x1F
        is_layer = head >> 4 == 1
        mode, sizes = (head >> 1 & 0x07, _LAYER) if is_layer else (head & 0x0F, _NARROWBAND)
        if mode >= len(sizes) or position + sizes[mode] > total or (is_layer and not borders):
            break
        if not is_layer:
            if len(borders) == MOST_FRAMES:
                break
            borders.append(position)
        position += sizes[mode]
    return [
        _filled(bits >> (total - end) & ((1 << (end - start)) - 1), end - start)
        for start, end in itertools.pairwise([*borders, position])
    ]


def _filled(bits: int, count: int) -> bytes:
    """Return bits as octets; what is left over says that no more frames follow: a zero, then ones (RFC 5574 §3.3)."""
    spare = -count % 8
    return ((bits << spare) | ((1 << spare) - 1 >> 1)).to_bytes((count + spare) // 8)


def _speex(codec: Codec) -> Speex | None:
    return Speex(codec.clock_rate) if codec.clock_rate in (8000, 16_000, 32_000) and codec.channels == 1 else None


speex_format: Final[FormatFactory | None] = _speex if can_decode("speex") else None
"""Returns the format of a Speex codec; None if nothing installed decodes it."""
