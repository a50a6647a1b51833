"""Payloads by independent encoders; README.md beside this file says which."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def payloads(name: str) -> list[bytes]:
    """The payloads of one file."""
    data = (Path(__file__).parent / name).read_bytes()
    found, position = [], 0
    while position < len(data):
        (length,) = struct.unpack_from(">H", data, position)
        found.append(data[position + 2 : position + 2 + length])
        position += 2 + length
    return found


def original(rate: int, seconds: float = 1.0) -> NDArray[np.float64]:
    """What was encoded."""
    time = np.arange(int(rate * seconds)) / rate
    tones = sum(level * np.sin(2 * np.pi * pitch * time) for level, pitch in ((0.5, 200), (0.3, 600), (0.15, 1400)))
    sound: NDArray[np.float64] = 9000 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    return sound


def likeness(decoded: NDArray[np.int16], rate: int, longest_delay_ms: float = 30.0) -> tuple[float, float]:
    """Correlation of decoded audio with the original at the best delay, and that delay in ms."""
    # Nothing of the tones lies above 1,400 Hz: every so many samples tell as much as all of them.
    sent, heard = original(8000), decoded[:: rate // 8000]
    delays = round(8 * longest_delay_ms)
    count = min(len(sent), len(heard)) - delays
    best = (0.0, 0.0)
    for delay in range(delays):
        found = float(np.corrcoef(sent[:count], heard[delay : delay + count])[0, 1])
        best = max(best, (found, delay / 8))
    return best
