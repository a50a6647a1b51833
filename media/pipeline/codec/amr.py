"""AMR and AMR-WB over RTP, RFC 4867: how a payload holds frames; decoded by FFmpeg through PyAV, an optional package.

Both ways of packing are read: octet-aligned and bandwidth-efficient, one channel, any number of frames. Interleaving,
frame checksums and robust sorting (RFC 4867 §4.4) are refused: such a codec is undecodable, its packets stay captured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import FormatFactory, Payloads, Samples
from media.pipeline.codec.ffmpeg import FfmpegDecoder, can_decode

FRAME_MS: Final = 20
MOST_FRAMES: Final = 12
"""Of one payload: 240 ms, the longest packet time that RFC 4867 §8.1 names as an example of `maxptime`."""
_REFUSED: Final = ("interleaving", "crc", "robust-sorting")

# Bits of speech or comfort noise for each frame type (RFC 4867 §3.6, 3GPP TS 26.101 and 26.201); -1: reserved.
_NARROWBAND: Final = (95, 103, 118, 134, 148, 159, 204, 244, 39, -1, -1, -1, -1, -1, -1, 0)
_WIDEBAND: Final = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40, -1, -1, -1, -1, 0, 0)


@dataclass(frozen=True, slots=True)
class Amr:
    """One of the two codecs, as negotiated."""

    sample_rate: int
    """Hz of the audio and of the RTP timestamps: 8,000 or 16,000."""
    octet_aligned: bool
    decoder_name: str
    """FFmpeg's."""

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return 20 ms for each entry of the table of contents; 0 for a payload that does not hold what it lists."""
        units = self.sample_rate * FRAME_MS // 1000
        return np.array(
            [
                len(self.frames(payloads.octets[start : start + length].tobytes())) * units
                for start, length in zip(payloads.starts.tolist(), payloads.lengths.tolist(), strict=True)
            ],
            np.int64,
        )

    def frames(self, payload: bytes) -> list[bytes]:
        """Return the frames of a payload in storage format (RFC 4867 §5.3); none if it is not of this format."""
        sizes = _NARROWBAND if self.sample_rate == 8000 else _WIDEBAND
        return _aligned(payload, sizes) if self.octet_aligned else _efficient(payload, sizes)

    def decoder(self) -> AmrDecoder:
        """Return a decoder."""
        return AmrDecoder(self)


class AmrDecoder:
    """Decodes the frames of payloads; frames without data become the comfort noise that the decoder makes of them."""

    def __init__(self, format_: Amr) -> None:
        self._format = format_
        self._frames = FfmpegDecoder(format_.decoder_name, format_.sample_rate)

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload; None for one that is not of the format."""
        return [self._decode(self._format.frames(payload)) for payload in payloads]

    def _decode(self, frames: list[bytes]) -> Samples | None:
        parts = [part for part in self._frames.decode(frames) if part is not None]
        return np.concatenate(parts) if frames and len(parts) == len(frames) else None


def _aligned(payload: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Return the frames of an octet-aligned payload, RFC 4867 §4.4: a request octet, the table, whole octets."""
    table = []
    for entry in payload[1 : MOST_FRAMES + 1]:
        table.append(entry)
        if not entry & 0x80:
            break
    else:
        return []
    frames, position = [], 1 + len(table)
    for entry in table:
        bits = sizes[entry >> 3 & 0x0F]
        octets = (bits + 7) // 8
        if bits < 0 or position + octets > len(payload):
            return []
        frames.append(bytes([entry & 0x7C]) + payload[position : position + octets])
        position += octets
    return frames


def _efficient(payload: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Return the frames of a bandwidth-efficient payload, RFC 4867 §4.3: bit after bit, padded."""
    left = 8 * len(payload) - 4
    bits = int.from_bytes(payload)
    table: list[int] = []
    while True:
        left -= 6
        if left < 0 or len(table) == MOST_FRAMES:
            return []
        entry = bits >> left & 0x3F
        table.append(entry)
        if not entry & 0x20:
            break
    frames = []
    for entry in table:
        size = sizes[entry >> 1 & 0x0F]
        left -= size
        if size < 0 or left < 0:
            return []
        octets = (size + 7) // 8
        speech = (bits >> left & ((1 << size) - 1)) << (8 * octets - size)
        frames.append(bytes([(entry & 0x1F) << 2]) + speech.to_bytes(octets))
    return frames


def _factory(sample_rate: int, decoder_names: Sequence[str]) -> FormatFactory | None:
    name = next((name for name in decoder_names if can_decode(name)), None)
    if name is None:
        return None

    def amr(codec: Codec) -> Amr | None:
        told = dict(re.findall(r"([\w-]+)\s*=\s*(\w+)", codec.fmtp.lower()))
        if codec.clock_rate != sample_rate or codec.channels != 1 or any(told.get(key, "0") != "0" for key in _REFUSED):
            return None
        return Amr(sample_rate, told.get("octet-align", "0") == "1", name)

    return amr


# FFmpeg's own decoders make no comfort noise; OpenCORE's do.
amr_format: Final = _factory(8000, ("libopencore_amrnb", "amrnb"))
"""Returns the format of an AMR codec; None if nothing installed decodes it."""
amr_wb_format: Final = _factory(16_000, ("libopencore_amrwb", "amrwb"))
"""Returns the format of an AMR-WB codec; None if nothing installed decodes it."""
