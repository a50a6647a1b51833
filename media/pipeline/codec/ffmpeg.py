"""Codecs decoded by FFmpeg through PyAV, an optional package: G.729 (RFC 3551 §4.5.6).

PyAV's wheel carries GPL parts, so nothing of the recorder requires it; see docs/dependencies.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, Payloads, Samples

try:
    import av
except ImportError:
    av = None

G729_OCTETS: Final = 10
G729_UNITS: Final = 80
"""10 ms at 8 kHz."""


def can_decode(name: str) -> bool:
    """Say whether PyAV is installed and its FFmpeg has the decoder."""
    return av is not None and name in av.codecs_available


class FfmpegDecoder:
    """One decoder of FFmpeg, mono.

    Args:
        name: FFmpeg's.
        sample_rate: Hz of the decoded audio.

    """

    def __init__(self, name: str, sample_rate: int) -> None:
        self._context = av.CodecContext.create(name, "r")
        self._context.sample_rate = sample_rate
        self._context.layout = "mono"

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload, None for one that FFmpeg refuses."""
        return [self._decode(payload) for payload in payloads]

    def _decode(self, payload: bytes) -> Samples | None:
        try:
            frames = self._context.decode(av.Packet(payload)) if payload else []
        except av.error.FFmpegError:
            return None
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.int16)


@dataclass(frozen=True, slots=True)
class G729:
    """G.729 and its annexes A and B at 8 kHz."""

    sample_rate: int = 8000

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the whole speech frames; a comfort noise frame of two octets (annex B) covers nothing."""
        return payloads.lengths // G729_OCTETS * G729_UNITS

    def decoder(self) -> G729Decoder:
        """Return a decoder."""
        return G729Decoder()


class G729Decoder(FfmpegDecoder):
    """Leaves comfort noise frames out, which FFmpeg takes for errors."""

    def __init__(self) -> None:
        super().__init__("g729", 8000)

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of the speech frames of each payload."""
        return super().decode([payload[: len(payload) // G729_OCTETS * G729_OCTETS] for payload in payloads])


def _g729(codec: Codec) -> G729 | None:
    return G729() if codec.clock_rate == 8000 and codec.channels == 1 else None


g729_format: Final[FormatFactory | None] = _g729 if can_decode("g729") else None
"""Returns the format of a G729 codec; None if nothing installed decodes it."""
