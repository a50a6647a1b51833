"""Reads a finished recording for the oracle: WAV by the RIFF chunks themselves, other containers by libsndfile.

WAV is read here, not by a library, because the companded octets must be seen exactly as they are stored (RFC 2361
format tags 6 and 7), and because a wrong header is a defect of the recorder that a lenient reader would hide.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from recorder.simulator.g711 import Octets, Samples

_EXTENSIBLE: Final = 0xFFFE
_IN_DS64: Final = 0xFFFFFFFF
_MAX_CHANNELS: Final = 8


class AudioFileError(Exception):
    """The file is not what a finished recording may be; the text says how."""


class Encoding(enum.StrEnum):
    """How samples are stored."""

    MU_LAW = "mu-law"
    A_LAW = "A-law"
    PCM16 = "16-bit PCM"


_TAGS: Final = {(1, 16): Encoding.PCM16, (6, 8): Encoding.A_LAW, (7, 8): Encoding.MU_LAW}


@dataclass(frozen=True, slots=True, eq=False)
class RecordedAudio:
    """All samples of a recording."""

    encoding: Encoding
    sample_rate: int
    """Hz."""
    frames: Octets | Samples
    """Shape (frames, channels); uint8 for companded, int16 for linear."""


def read_recording(path: Path) -> RecordedAudio:
    """Read a recording.

    Raises:
        AudioFileError: missing, damaged, or of a kind that cannot be compared.

    """
    try:
        with path.open("rb") as file:
            magic = file.read(12)
        if magic[:4] in (b"RIFF", b"RF64") and magic[8:12] == b"WAVE":
            return _read_wav(path.read_bytes())
        frames, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}") from None
    except soundfile.LibsndfileError as error:
        raise AudioFileError(f"{path}: {error}") from None
    return RecordedAudio(Encoding.PCM16, rate, frames)


def _read_wav(content: bytes) -> RecordedAudio:
    encoding: Encoding | None = None
    channels = rate = large_data = 0
    riff_size = struct.unpack_from("<I", content, 4)[0]
    position = 12
    while position + 8 <= len(content):
        name, size = content[position : position + 4], struct.unpack_from("<I", content, position + 4)[0]
        body = position + 8
        if name == b"ds64":
            riff_size, large_data = struct.unpack_from("<QQ", content, body)
        elif name == b"fmt ":
            encoding, channels, rate = _read_format(content[body : body + size])
        elif name == b"data":
            size = large_data if size == _IN_DS64 else size
            if encoding is None:
                raise AudioFileError("the WAV data chunk comes before its format")
            if body + size > len(content):
                raise AudioFileError(f"the WAV header promises {size} octets of audio, {len(content) - body} are there")
            if riff_size + 8 != len(content):
                raise AudioFileError(f"the WAV header says {riff_size + 8} octets, the file has {len(content)}")
            return RecordedAudio(encoding, rate, _shape(content[body : body + size], encoding, channels))
        position = body + size + size % 2
    raise AudioFileError("the WAV file has no data chunk")


def _read_format(chunk: bytes) -> tuple[Encoding, int, int]:
    if len(chunk) < 16:
        raise AudioFileError("the WAV format chunk is cut short")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]  # the sub-format's first octets are the plain tag
    encoding = _TAGS.get((tag, bits))
    if encoding is None or not 1 <= channels <= _MAX_CHANNELS or block != channels * bits // 8:
        raise AudioFileError(f"WAV format {tag} with {bits} bits, {channels} channels, block {block} is not readable")
    return encoding, channels, rate


def _shape(audio: bytes, encoding: Encoding, channels: int) -> Octets | Samples:
    octets_of_sample = 2 if encoding is Encoding.PCM16 else 1
    if len(audio) % (channels * octets_of_sample):
        raise AudioFileError("the WAV data ends in the middle of a frame")
    if encoding is Encoding.PCM16:
        return np.frombuffer(audio, "<i2").astype(np.int16).reshape(-1, channels)
    return np.frombuffer(audio, np.uint8).reshape(-1, channels)
