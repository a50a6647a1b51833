"""Codecs decoded by FFmpeg through PyAV, an optional package: G.729 (RFC 3551 §4.5.6).

PyAV's wheel carries GPL parts, so nothing of the recorder requires it; see docs/dependencies.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, Payloads, Samples

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.codeccontext import AudioCodecContext

try:
    import av
except ImportError:
    av = None  # type: ignore[assignment]  # the package is optional

G729_OCTETS: Final = 10
G729_UNITS: Final = 80
"""10 ms at 8 kHz."""


def can_decode(name: str) -> bool:
    """Say whether PyAV is installed and its FFmpeg has the decoder."""
    return av is not None and name in av.codecs_available


def decode_file(file: BinaryIO, format_: str) -> Samples:
    """Return the mono audio of a file of one of FFmpeg's formats, shape (samples,); empty if FFmpeg refuses it."""
    try:
        with av.open(file, "r", format=format_) as container:
            parts = [_linear(frame) for frame in container.decode(container.streams.audio[0])]
    except av.error.FFmpegError:
        return np.zeros(0, np.int16)
    return np.concatenate([np.zeros(0, np.int16), *parts])


class FfmpegDecoder:
    """One decoder of FFmpeg, mono.

    Args:
        name: FFmpeg's.
        sample_rate: Hz of the decoded audio.

    """

    def __init__(self, name: str, sample_rate: int) -> None:
        self._context = cast("AudioCodecContext", av.CodecContext.create(name, "r"))
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
        return np.concatenate([np.zeros(0, np.int16), *(_linear(frame) for frame in frames)])


def _linear(frame: AudioFrame) -> Samples:
    """Return 16-bit samples; some decoders give floating point, where 1 is full scale."""
    samples = frame.to_ndarray().reshape(-1)
    linear: Samples = (
        np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
        if np.issubdtype(samples.dtype, np.floating)
        else samples.astype(np.int16)
    )
    return linear


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
