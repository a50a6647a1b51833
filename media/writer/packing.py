"""Datagrams into the records and packed bytes of capture blocks, docs/storage-format.md. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.container.layout import RECORD
from media.writer.arena import HEAD, Datagrams


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
    shortest, longest = (int(lengths.min()), int(lengths.max())) if count else (0, 0)
    if shortest == longest <= HEAD:
        edges = np.arange(count + 1, dtype=np.int64) * longest
        rows = datagrams.heads if chosen is None else datagrams.heads[chosen]
        data = np.ascontiguousarray(rows[:, :longest]).reshape(-1)
    else:
        edges = np.zeros(count + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        data = _mixed(datagrams, chosen, lengths, edges)
    return Packed(_octets(records), _octets(data), edges)


def _octets(array: NDArray[np.int64] | NDArray[np.uint8]) -> memoryview:
    # A view of nothing cannot be cast.
    return array.data.cast("B") if array.size else memoryview(b"")


def _mixed(
    datagrams: Datagrams, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64], edges: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Copy packets of different lengths: one scatter for each length that occurs, never one step per packet."""
    data = np.empty(int(edges[-1]), np.uint8)
    sizes, group = np.unique(lengths, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(sizes)))
    start = 0
    for size, end in zip(sizes.tolist(), ends.tolist(), strict=True):
        members = order[start:end]
        start = end
        slots = members if chosen is None else chosen[members]
        _scatter(data, edges[members], datagrams.heads, slots, min(size, HEAD))
        _scatter(data, edges[members] + HEAD, datagrams.rests, slots, size - HEAD)
    return data


def _scatter(
    data: NDArray[np.uint8],
    positions: NDArray[np.int64],
    source: NDArray[np.uint8],
    slots: NDArray[np.int64],
    width: int,
) -> None:
    if width > 0:
        # Every place of `data` as the start of a row: overlapping, and written at the packets' starts only.
        windows = np.ndarray((data.size - width + 1, width), np.uint8, data, 0, (1, 1))
        windows[positions] = source[slots, :width]
