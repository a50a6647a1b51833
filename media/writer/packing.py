"""Datagrams into the records and packed bytes of capture blocks, docs/storage-format.md. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.container.layout import RECORD
from media.writer.datagrams import Datagrams


@dataclass(slots=True, eq=False)
class Packed:
    """Packets ready to be appended, and where each one starts."""

    records: memoryview
    """`RECORD` per packet, as bytes."""
    data: memoryview
    """Packets back to back, as bytes."""
    edges: NDArray[np.int64]
    """Byte position in `data` before each packet and behind the last one; n + 1 numbers."""


def pack(
    datagrams: Datagrams,
    chosen: NDArray[np.int64] | None,
    lengths: NDArray[np.int64],
    arrival_ns: NDArray[np.int64],
    marks: NDArray[np.int64],
) -> Packed:
    """Lay packets out for a block, in the order given.

    Args:
        datagrams: where they lie.
        chosen: which of them, None for all.
        lengths: bytes of each chosen packet.
        arrival_ns: wall clock of each chosen packet.
        marks: stream, source and flags of each chosen packet, in the upper 48 bits.

    """
    count = len(lengths)
    records = np.empty((count, RECORD.itemsize // 8), np.int64)
    records[:, 0] = arrival_ns
    np.bitwise_or(lengths, marks, out=records[:, 1])
    data, edges = datagrams.lay_out(chosen, lengths)
    return Packed(_octets(records), _octets(data), edges)


def _octets(array: NDArray[np.int64] | NDArray[np.uint8]) -> memoryview:
    # A view of nothing cannot be cast.
    return array.data.cast("B") if array.size else memoryview(b"")
