"""G.722 at 64 kbit/s, RFC 3551 §4.5.2, decoded by the public-domain package `G722` or, without it, by FFmpeg.

Both are optional; `g722_format` is None where neither is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, FrameDecoder, Payloads, Samples
from media.pipeline.codec.ffmpeg import FfmpegDecoder, can_decode

try:
    import G722 as package
except ImportError:
    package = None

CLOCK_RATE: Final = 8000
"""Hz of the RTP timestamps; the audio has 16 kHz (checklist R11)."""
SAMPLE_RATE: Final = 16_000
_BIT_RATE: Final = 64_000


class _Library(Protocol):
    def decode(self, data: bytes) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class Wideband:
    """G.722: one octet holds two samples and lasts one timestamp unit."""

    make_decoder: Callable[[], FrameDecoder]
    sample_rate: int = SAMPLE_RATE

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return one unit for each octet."""
        return payloads.lengths

    def decoder(self) -> FrameDecoder:
        """Return a decoder."""
        return self.make_decoder()


class WidebandDecoder:
    """Decodes payloads of any length; the state goes on from one to the next."""

    def __init__(self, library: _Library) -> None:
        self._library = library

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload; any octets are G.722."""
        return [np.array(self._library.decode(payload), np.int16) for payload in payloads]


def _with(make_decoder: Callable[[], FrameDecoder]) -> FormatFactory:
    def g722(codec: Codec) -> Wideband | None:
        return Wideband(make_decoder) if codec.clock_rate == CLOCK_RATE and codec.channels == 1 else None

    return g722


def _package_decoder() -> FrameDecoder:
    return WidebandDecoder(package.G722(SAMPLE_RATE, _BIT_RATE))


def _ffmpeg_decoder() -> FrameDecoder:
    return FfmpegDecoder("g722", SAMPLE_RATE)


g722_format: Final[FormatFactory | None] = (
    _with(_package_decoder) if package is not None else _with(_ffmpeg_decoder) if can_decode("g722") else None
)
"""Returns the format of a G722 codec; None if nothing installed decodes it."""
