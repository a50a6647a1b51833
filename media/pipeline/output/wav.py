"""WAV and RF64 files whose header is right from the first byte, because the number of frames is known before.

RIFF as in "Multimedia Programming Interface and Data Specifications 1.0" (Microsoft, IBM, 1991) and its 1994 revision
(formats 6 and 7, fact chunk, INFO list); RF64 as in EBU Tech 3306, for files that 32 bits cannot measure.
"""

from __future__ import annotations

import enum
import struct
from pathlib import Path
from typing import Final

from media.errors import LocalError
from media.pipeline.errors import OutputFailed
from media.pipeline.output.base import NO_TAGS, Frames, Tags

_LARGEST_RIFF: Final = 0xFFFF_FFFF
_UNKNOWN: Final = 0xFFFF_FFFF
"""What RF64 writes where the size is in the ds64 chunk."""


class WavEncoding(enum.IntEnum):
    """Format tags."""

    PCM16 = 1
    ALAW = 6
    MULAW = 7

    @property
    def octets(self) -> int:
        """Bytes per sample."""
        return 2 if self is WavEncoding.PCM16 else 1


_INFO: Final = {"title": b"INAM", "date": b"ICRD", "comment": b"ICMT", "software": b"ISFT"}


def wav_header(encoding: WavEncoding, sample_rate: int, channels: int, frames: int, tags: Tags = NO_TAGS) -> bytes:
    """Return everything in front of the samples; RF64 if the file will exceed 4 GiB."""
    block = channels * encoding.octets
    size = frames * block
    fields = struct.pack("<HHIIHH", encoding, channels, sample_rate, sample_rate * block, block, 8 * encoding.octets)
    if encoding is not WavEncoding.PCM16:
        # Formats other than PCM tell the size of their extension, and how many frames there are.
        fields += struct.pack("<H", 0)
    chunks = struct.pack("<4sI", b"fmt ", len(fields)) + fields
    if encoding is not WavEncoding.PCM16:
        chunks += struct.pack("<4sII", b"fact", 4, min(frames, _UNKNOWN))
    chunks += _info(tags)
    riff = len(b"WAVE") + len(chunks) + 8 + size + size % 2
    if riff <= _LARGEST_RIFF:
        return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + chunks + struct.pack("<4sI", b"data", size)
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff + 36, size, frames, 0)
    return struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE") + sizes + chunks + struct.pack("<4sI", b"data", _UNKNOWN)


def _info(tags: Tags) -> bytes:
    """Return the INFO list; nothing without tags. Texts are UTF-8, as readers of today take them."""
    items = b""
    for name, text in tags._asdict().items():
        if text:
            content = text.encode() + b"\0"
            items += struct.pack("<4sI", _INFO[name], len(content)) + content + b"\0" * (len(content) % 2)
    return struct.pack("<4sI4s", b"LIST", 4 + len(items), b"INFO") + items if items else b""


class WavFile:
    """A WAV file of a known number of frames.

    Args:
        path: created; an existing file is overwritten.
        encoding: codes are written as they come, samples little-endian.
        sample_rate: Hz.
        channels: interleaved.
        frames: exactly as many as will be written.
        tags: about the recording.

    """

    def __init__(
        self,
        path: Path,
        encoding: WavEncoding,
        sample_rate: int,
        channels: int,
        frames: int,
        *,
        tags: Tags = NO_TAGS,
    ) -> None:
        self._path = path
        self._encoding = encoding
        self._missing = frames
        self._padded = frames * channels * encoding.octets % 2 == 1
        try:
            self._file = path.open("wb")
            self._file.write(wav_header(encoding, sample_rate, channels, frames, tags))
        except OSError as error:
            raise OutputFailed(str(path), str(error.strerror)) from error

    def write(self, frames: Frames) -> None:
        """Append frames."""
        self._missing -= len(frames)
        width = "<i2" if self._encoding is WavEncoding.PCM16 else "u1"
        try:
            self._file.write(frames.astype(width, order="C", copy=False).data)
        except OSError as error:
            raise OutputFailed(str(self._path), str(error.strerror)) from error

    def close(self) -> None:
        """Pad the data chunk to a whole word (RIFF) and close."""
        try:
            if self._padded:
                self._file.write(b"\0")
            self._file.close()
        except OSError as error:
            raise OutputFailed(str(self._path), str(error.strerror)) from error
        if self._missing:
            raise LocalError(f"{self._path}: {self._missing} frames fewer than its header says")
