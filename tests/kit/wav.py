"""Read a G.711 WAV without the project's own code, for comparison byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class G711Wav(NamedTuple):
    """The encoded samples of each channel."""

    format_tag: int
    """6 is A-law, 7 is mu-law."""
    sample_rate: int
    channels: NDArray[np.uint8]
    """Shape (channels, frames)."""


def read_g711(path: Path) -> G711Wav:
    """Return format and encoded samples; fails the test on anything but a G.711 WAV."""
    data = path.read_bytes()
    assert data[:4] == b"RIFF"
    assert data[8:12] == b"WAVE"
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    offset = 12
    tag = rate = count = 0
    while offset < len(data):
        name = data[offset : offset + 4]
        (size,) = struct.unpack_from("<I", data, offset + 4)
        body = offset + 8
        if name == b"fmt ":
            tag, count, rate, _, align, bits = struct.unpack_from("<HHIIHH", data, body)
            assert (align, bits) == (count, 8)
        elif name == b"data":
            assert body + size <= len(data)
            samples = np.frombuffer(data, np.uint8, size, body).reshape(-1, count).T
            return G711Wav(tag, rate, samples)
        offset = body + size + size % 2
    raise AssertionError("no data chunk")
