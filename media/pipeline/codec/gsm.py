"""GSM full rate, RFC 3551 §4.5.8, decoded by the libgsm inside libsndfile."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import Payloads, Samples

FRAME_OCTETS: Final = 33
FRAME_UNITS: Final = 160
"""20 ms at 8 kHz."""
_SIGNATURE: Final = 0xD
"""Upper half of the first octet of each frame."""
_PREROLL: Final = 50
"""Frames of the past that the decoder's filters are given before a stretch: with steady tones the difference to a
decoder that never stopped is then below -40 dB."""


@dataclass(frozen=True, slots=True)
class Gsm:
    """GSM 06.10 at 8 kHz."""

    sample_rate: int = 8000

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the whole frames in each payload."""
        return payloads.lengths // FRAME_OCTETS * FRAME_UNITS

    def decoder(self) -> GsmDecoder:
        """Return a decoder."""
        return GsmDecoder()


def gsm_format(codec: Codec) -> Gsm | None:
    """Return the format of a GSM codec."""
    return Gsm() if codec.clock_rate == 8000 and codec.channels == 1 else None


class GsmDecoder:
    """Decodes stretches of frames."""

    def __init__(self) -> None:
        self._before = b""

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload; None for one whose first frame lacks the signature."""
        valid = [len(payload) >= FRAME_OCTETS and payload[0] >> 4 == _SIGNATURE for payload in payloads]
        frames = [
            payload[: len(payload) // FRAME_OCTETS * FRAME_OCTETS] if good else b""
            for payload, good in zip(payloads, valid, strict=True)
        ]
        whole = self._before + b"".join(frames)
        if not whole:
            return [None] * len(payloads)
        samples, _ = soundfile.read(
            io.BytesIO(whole), dtype="int16", samplerate=8000, channels=1, format="RAW", subtype="GSM610"
        )
        audio = samples[len(self._before) // FRAME_OCTETS * FRAME_UNITS :]
        self._before = whole[-_PREROLL * FRAME_OCTETS :]
        ends = np.cumsum([len(part) // FRAME_OCTETS * FRAME_UNITS for part in frames])
        parts = np.split(audio, ends[:-1])
        return [part if good else None for part, good in zip(parts, valid, strict=True)]
