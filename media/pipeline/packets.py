"""Batches of RTP packets as the pipeline hands them from stage to stage: an index and the bytes it points into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PACKET: Final = np.dtype(
    [
        ("arrival_ns", np.int64),
        ("payload_start", np.int64),
        ("extended_sequence_number", np.int64),
        ("extended_timestamp", np.int64),
        ("payload_length", np.int32),
        ("duration", np.int32),
        ("rtp_timestamp", np.uint32),
        ("ssrc", np.uint32),
        ("run", np.int32),
        ("row", np.int32),
        ("codec", np.int32),
        ("sequence_number", np.uint16),
        ("payload_type", np.uint8),
        ("kind", np.uint8),
    ],
    align=True,
)
"""One packet. `row` and `codec` index the stream table, `duration` is in RTP timestamp units; `run` and the extended
numbers are filled when the packet is located."""

_OPAQUE: Final = np.dtype((np.void, PACKET.itemsize))
"""The same bytes without fields: numpy copies records field by field, fifteen times slower."""


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """Packets in some order; `payload_start` counts in `octets`."""

    index: NDArray[np.void]
    """dtype `PACKET`."""
    octets: NDArray[np.uint8]

    @staticmethod
    def none() -> Packets:
        """Return no packets."""
        return Packets(np.zeros(0, PACKET), np.zeros(0, np.uint8))

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: NDArray[np.intp]) -> Packets:
        """Return the packets at some positions; the bytes are shared, the index may be."""
        if _follow_one_another(positions):
            return self.part(int(positions[0]), int(positions[-1]) + 1)
        # Indexing records by positions takes forty times as long as `take`.
        return Packets(self.index.take(positions), self.octets)

    def part(self, start: int, end: int) -> Packets:
        """Return packets that follow one another; index and bytes are shared."""
        return Packets(self.index[start:end], self.octets)

    def compact(self) -> Packets:
        """Return the same packets with bytes of their own, payloads back to back."""
        lengths = self.index["payload_length"].astype(np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        index = self.index.view(_OPAQUE).copy().view(PACKET)
        index["payload_start"] = starts
        positions = np.arange(int(ends[-1]) if len(ends) else 0)
        return Packets(index, self.octets[positions + np.repeat(self.index["payload_start"] - starts, lengths)])


def _follow_one_another(positions: NDArray[np.intp]) -> bool:
    spans = len(positions) > 0 and int(positions[-1] - positions[0]) + 1 == len(positions)
    return spans and bool((np.diff(positions) == 1).all())


def distinct(values: NDArray[np.integer]) -> list[int]:
    """Return the different values in rising order; quick where all are equal, as they mostly are."""
    if not len(values):
        return []
    first = values[0]
    return [int(first)] if (values == first).all() else [int(value) for value in np.unique(values)]


def joined(parts: Sequence[Packets]) -> Packets:
    """Return the packets of all parts in the order of the parts."""
    real = [part for part in parts if len(part)]
    if not real:
        return Packets.none()
    if len(real) == 1:
        return real[0]
    index = np.concatenate([part.index.view(_OPAQUE) for part in real]).view(PACKET)
    count, base = 0, 0
    for part in real:
        index["payload_start"][count : count + len(part)] += base
        count += len(part)
        base += len(part.octets)
    return Packets(index, np.concatenate([part.octets for part in real]))
