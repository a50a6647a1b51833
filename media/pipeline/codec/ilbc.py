"""iLBC over RTP, RFC 3952, decoded by FFmpeg through PyAV, an optional package.

FFmpeg has to know the frame size before it decodes, which PyAV cannot tell it: stretches go in as the file that RFC
3952 §4.1 describes. No independent encoder could be had, so what comes out is not held against anything.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, Payloads, Samples
from media.pipeline.codec.ffmpeg import can_decode, decode_file

_PREROLL: Final = 25
"""Frames of the past that the decoder is given before a stretch; each frame leans on the one before alone, the filters
behind it converge within a few."""


@dataclass(frozen=True, slots=True)
class _Mode:
    octets: int
    units: int


_MODES: Final = {20: _Mode(38, 160), 30: _Mode(50, 240)}
"""By milliseconds of a frame."""


@dataclass(frozen=True, slots=True)
class Ilbc:
    """iLBC at 8 kHz in one of its modes."""

    mode_ms: int
    sample_rate: int = 8000

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the whole frames in each payload."""
        mode = _MODES[self.mode_ms]
        return payloads.lengths // mode.octets * mode.units

    def decoder(self) -> IlbcDecoder:
        """Return a decoder."""
        return IlbcDecoder(self.mode_ms)


class IlbcDecoder:
    """Decodes stretches of frames."""

    def __init__(self, mode_ms: int) -> None:
        self._mode = _MODES[mode_ms]
        self._magic = f"#!iLBC{mode_ms}\n".encode()
        self._before = b""

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload; None for one without a whole frame, and for all that FFmpeg refuses."""
        counts = [len(payload) // self._mode.octets for payload in payloads]
        frames = [payload[: count * self._mode.octets] for payload, count in zip(payloads, counts, strict=True)]
        whole = self._before + b"".join(frames)
        if not whole:
            return [None] * len(payloads)
        audio = decode_file(io.BytesIO(self._magic + whole), "ilbc")
        if len(audio) != len(whole) // self._mode.octets * self._mode.units:
            self._before = b""
            return [None] * len(payloads)
        audio = audio[len(self._before) // self._mode.octets * self._mode.units :]
        self._before = whole[-_PREROLL * self._mode.octets :]
        parts = np.split(audio, np.cumsum([count * self._mode.units for count in counts])[:-1])
        return [part if count else None for part, count in zip(parts, counts, strict=True)]


def _ilbc(codec: Codec) -> Ilbc | None:
    told = re.search(r"\bmode\s*=\s*(\d+)", codec.fmtp)
    # RFC 3952 §5: without the parameter it is 30.
    mode = int(told[1]) if told else 30
    return Ilbc(mode) if mode in _MODES and codec.clock_rate == 8000 and codec.channels == 1 else None


ilbc_format: Final[FormatFactory | None] = _ilbc if can_decode("ilbc") else None
"""Returns the format of an iLBC codec; None if nothing installed decodes it."""
