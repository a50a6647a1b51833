"""What the generator sends, known again: checks every captured packet of a run, vectorised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.container import read_capture

SIZE = 172
WORDS = 40


@dataclass(frozen=True)
class Found:
    """What a run left on disk."""

    unique: int
    """Packets with right content, each sequence number of a stream counted once."""
    wrong: int
    """Packets whose content is not what was sent, or that are in another call's file."""
    duplicates: int


def _mix(stream: NDArray[np.uint32], sequence: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = stream * np.uint32(2654435761) ^ (sequence + np.uint32(0x9E3779B9)) * np.uint32(2246822519)
    x ^= x >> np.uint32(15)
    x *= np.uint32(2246822519)
    mixed: NDArray[np.uint32] = x ^ x >> np.uint32(13)
    return mixed


def _check(call: int, packets: NDArray[np.uint8], streams: NDArray[np.uint16]) -> tuple[NDArray[np.int64], int]:
    """Return stream * 2^32 + sequence of the right packets, and the number of wrong ones."""
    words = np.ascontiguousarray(packets[:, 12:]).view("<u4")
    stream, sequence = words[:, 1], words[:, 2]
    expected = _mix(stream, sequence)[:, None] + np.arange(WORDS, dtype=np.uint32)
    header = np.ascontiguousarray(packets[:, :12])
    right = (words[:, 0] == call) & (stream == 2 * call + streams) & (words[:, 3:] == expected[:, 3:]).all(axis=1)
    right &= (header[:, 0] == 0x80) & (header[:, 1] == 0)
    right &= header[:, 2:4].copy().view(">u2")[:, 0] == (sequence & np.uint32(0xFFFF))
    right &= header[:, 8:12].copy().view(">u4")[:, 0] == np.uint32(0x10000000) + stream
    return (stream.astype(np.int64) << 32 | sequence)[right], int((~right).sum())


def _add(identities: list[NDArray[np.int64]], wrong: int) -> Found:
    seen = np.concatenate(identities) if identities else np.empty(0, np.int64)
    unique = len(np.unique(seen))
    return Found(unique, wrong, len(seen) - unique)


def check_captures(paths: dict[int, Path]) -> Found:
    """Check the captures of a run, by call number."""
    identities, wrong = [], 0
    for call, path in paths.items():
        capture = read_capture(path)
        assert capture.complete, f"{path}: {capture.damage}"
        for batch in capture.packets():
            whole = batch.records["length"] == SIZE
            assert whole.all()
            packets = batch.data[batch.offsets[:, None] + np.arange(SIZE)]
            right, bad = _check(call, packets, batch.records["stream"])
            identities.append(right)
            wrong += bad
    return _add(identities, wrong)
