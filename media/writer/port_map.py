"""From the destination port of a packet to whose it is, as one look-up, and back from sorted packets to batches."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media.writer.table import NO_SESSION


class Fate(enum.IntEnum):
    """What becomes of the packets of a port; also their order."""

    RTP = 0
    RTCP = 1
    PAUSED = 2
    SAVED_RTP = 3
    """Of a port that a successor reserves for adoption."""
    SAVED_RTCP = 4
    UNWANTED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """Packets of one fate, port by port, sessions together."""

    positions: NDArray[np.int64]
    """Of the packets among those that were sorted."""
    rows: NDArray[np.int64]
    """Port rows that have packets."""
    counts: NDArray[np.int64]
    """Packets of each."""

    def parts(self, limit: int, slots: NDArray[np.int64]) -> Iterator[Sorted]:
        """Yield this in parts of `limit` packets at most; a session is cut only if it alone is more.

        Args:
            limit: packets.
            slots: session of each row of the table.

        """
        edges = np.concatenate(([0], np.cumsum(self.counts)))
        mine = slots[self.rows]
        ends = edges[1:][np.append(mine[1:] != mine[:-1], True)] if len(mine) else edges[:0]
        start = 0
        while start < len(self.positions):
            fitting = ends[(ends > start) & (ends <= start + limit)]
            stop = int(fitting[-1]) if len(fitting) else min(start + limit, len(self.positions))
            counts = np.diff(np.clip(edges, start, stop))
            some = np.flatnonzero(counts)
            yield Sorted(self.positions[start:stop], self.rows[some], counts[some])
            start = stop


class PortMap:
    """Ranks of ports, so that sorting packets by rank puts them in order of fate, session and port.

    Args:
        ports: RTP port of each row; RTCP is the next one.
        with_rtcp: rows whose RTCP port is ours as well.

    """

    def __init__(self, ports: Sequence[int], with_rtcp: Sequence[bool]) -> None:
        self._rows = len(ports)
        self._unwanted = 2 * self._rows
        self._code_of_port = np.full(1 << 16, self._unwanted, np.int64)
        """By the two octets of a port as they lie in a header, read as a little-endian number."""
        for row, (port, rtcp) in enumerate(zip(ports, with_rtcp, strict=True)):
            self._code_of_port[_swapped(port)] = 2 * row
            if rtcp:
                self._code_of_port[_swapped(port + 1)] = 2 * row + 1
        self._rank_of_port: NDArray[Any] = np.empty(0, np.uint16)
        self._code_of_rank = np.empty(0, np.int64)
        self._first_rank: list[int] = []

    def arrange(self, slots: NDArray[np.int64], paused: NDArray[np.bool_], reserved: NDArray[np.bool_]) -> None:
        """Take note of what the ports are used for now; arguments by row."""
        open_ports = slots != NO_SESSION
        fates = np.full((self._rows, 2), Fate.UNWANTED, np.int64)
        fates[reserved] = (Fate.SAVED_RTP, Fate.SAVED_RTCP)
        fates[open_ports, 0] = np.where(paused[open_ports], Fate.PAUSED, Fate.RTP)
        fates[open_ports, 1] = Fate.RTCP
        every = np.append(fates.ravel(), Fate.UNWANTED)
        order = np.lexsort((np.append(np.repeat(slots, 2), NO_SESSION), every))
        ranks: NDArray[Any] = np.empty(len(order), np.uint16 if len(order) < 1 << 16 else np.uint32)
        ranks[order] = np.arange(len(order))
        self._rank_of_port = ranks[self._code_of_port]
        self._code_of_rank = order
        self._first_rank = np.searchsorted(every[order], np.arange(len(Fate) + 1)).tolist()

    def sort(self, ranks: NDArray[Any]) -> dict[Fate, Sorted]:
        """Return packets by fate; those that are unwanted are left out."""
        counts = np.bincount(ranks, minlength=len(self._code_of_rank))
        order = np.argsort(ranks, kind="stable")
        edges = np.concatenate(([0], np.cumsum(counts)))
        found: dict[Fate, Sorted] = {}
        for fate in list(Fate)[:-1]:
            first, last = self._first_rank[fate], self._first_rank[fate + 1]
            positions = order[edges[first] : edges[last]]
            if len(positions):
                some = first + np.flatnonzero(counts[first:last])
                found[fate] = Sorted(positions, self._code_of_rank[some] // 2, counts[some])
        return found

    def ranks(self, ports: NDArray[np.uint16]) -> NDArray[Any]:
        """Return the rank of each packet by its destination port as it lies in the header."""
        return self._rank_of_port[ports]

    def floods(self, ranks: NDArray[Any], limit: float) -> list[tuple[int, int]]:
        """Return the ports of ours with more packets than the limit: row, and 0 for RTP or 1 for RTCP."""
        if len(ranks) <= limit:
            return []
        codes = self._code_of_rank[np.flatnonzero(np.bincount(ranks) > limit)]
        return [divmod(code, 2) for code in codes.tolist() if code != self._unwanted]

    @property
    def unwanted(self) -> int:
        """Return a rank of packets that nobody wants."""
        return len(self._code_of_rank) - 1

    def rows(self, ports: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Return the row of each port as it lies in a header; the number of rows where it is none of ours."""
        return self._code_of_port[ports] // 2


def _swapped(port: int) -> int:
    return (port & 0xFF) << 8 | port >> 8
