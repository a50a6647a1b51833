"""Samples of a WAV or RF64 file where they lie on disk; the counterpart of `media.pipeline.output.wav`.

Maps the file: nothing is read before it is asked for, so that recordings of any length take the same memory. Formats
as in "Multimedia Programming Interface and Data Specifications 1.0" (tags 1, 6, 7) and EBU Tech 3306.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from media.healing.errors import SoundUnreadable
from media.pipeline.canvas import Rows
from media.pipeline.codec import Law

_LAWS: Final = {(1, 16): None, (6, 8): Law.ALAW, (7, 8): Law.MULAW}
"""By format tag and bits of a sample; None for 16-bit linear."""
_IN_DS64: Final = 0xFFFF_FFFF
_MAX_CHUNKS: Final = 64
"""Chunks in front of the samples; our own files have three."""


@dataclass(frozen=True, slots=True, eq=False)
class WavSource:
    """A file of interleaved samples."""

    path: Path
    law: Law | None
    """None for 16-bit linear samples."""
    sample_rate: int
    channels: int
    frames: int
    data_offset: int
    """Bytes in front of the samples."""
    _samples: NDArray[np.uint8 | np.int16]

    def read(self, channel: int, start: int, end: int) -> Rows:
        """Return the frames `[start, end)` of one channel, which must lie inside the file; contiguous."""
        found: Rows = np.ascontiguousarray(self._samples[start:end, channel])
        return found


def open_wav(path: Path) -> WavSource:
    """Read the header of a finished file; raises `SoundUnreadable`."""
    try:
        with path.open("rb") as file:
            return _open(path, file)
    except (OSError, struct.error, ValueError) as error:
        raise SoundUnreadable(str(path), str(error)) from error


def _open(path: Path, file: BinaryIO) -> WavSource:
    magic, _, kind = struct.unpack("<4sI4s", file.read(12))
    if magic not in (b"RIFF", b"RF64") or kind != b"WAVE":
        raise SoundUnreadable(str(path), "not a WAV file")
    large = 0
    layout: tuple[Law | None, int, int] | None = None
    for _ in range(_MAX_CHUNKS):
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data" and layout is not None:
            law, channels, sample_rate = layout
            octets = large if size == _IN_DS64 else size
            width = 2 if law is None else 1
            frames = octets // (channels * width)
            shape = (frames, channels)
            dtype = np.dtype("<i2") if law is None else np.dtype("u1")
            begin = file.tell()
            samples = np.memmap(path, dtype, "r", begin, shape) if frames else np.zeros(shape, dtype)
            return WavSource(path, law, sample_rate, channels, frames, begin, samples)
        body = file.read(size + size % 2)
        if name == b"ds64":
            large = struct.unpack_from("<Q", body, 8)[0]
        elif name == b"fmt ":
            layout = _layout(path, body)
    raise SoundUnreadable(str(path), "no samples behind its header")


def _layout(path: Path, chunk: bytes) -> tuple[Law | None, int, int]:
    tag, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if (tag, bits) not in _LAWS or not channels or not sample_rate:
        raise SoundUnreadable(str(path), f"WAV format {tag} with {bits} bits and {channels} channels")
    return _LAWS[tag, bits], channels, sample_rate
