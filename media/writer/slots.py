"""Datagrams as recvmmsg(2) leaves them: in slots of equal size, with names, control data and message headers beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Columns
from media.writer.kernel import MESSAGE, source_keys

HEAD: Final = 256
"""Bytes of a datagram in its packed slot: G.711 of 20 ms needs 172, of 30 ms 252. Packed slots keep the cache warm."""
REST: Final = 1792
"""Bytes for the rare longer datagram, apart; 2,048 in all: above any Ethernet frame."""
MAX_DATAGRAM: Final = HEAD + REST
_NANOSECONDS: Final = 1_000_000_000
_DROPS_WORD: Final = 6
"""Word of the control data that holds SO_RXQ_OVFL: behind the timestamp (4 words) and one cmsghdr (2 words)."""
_WORD32: Final = 0xFFFF_FFFF


@dataclass(slots=True, eq=False)
class Slots:
    """Datagrams as the kernel left them; views into an arena, valid until it is given back, or copies."""

    heads: NDArray[np.uint8]
    """Shape (n, HEAD)."""
    rests: NDArray[np.uint8]
    """Shape (n, REST)."""
    names: NDArray[np.uint64]
    """Packed source addresses, shape (n, 4)."""
    controls: NDArray[np.int64]
    """Ancillary data, shape (n, 8)."""
    messages: NDArray[np.void]
    """dtype `MESSAGE`."""

    def __len__(self) -> int:
        return len(self.messages)

    def columns(self) -> Columns:
        """Return what is looked at of every datagram."""
        # The columns lie far apart in the arena: each cache line is visited once, and copied together.
        messages = self.messages.view(np.uint64).reshape(-1, 8)[:, 5:8].copy()
        times = self.controls[:, 2:4].copy()
        return Columns(
            lengths=messages[:, 2].astype(np.int64),
            keys=source_keys(self.names, self.messages["name_length"]),
            words=self.heads.view(np.uint32)[:, :4].copy(),
            states=messages[:, :2],
            # One cmsghdr of two words, then a timespec.
            arrival_ns=times[:, 0] * _NANOSECONDS + times[:, 1],
        )

    def name(self, position: int) -> bytes:
        """Return one packed source address."""
        return bytes(self.names[position].data)

    def drop_counters(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sockets' drop counters as these datagrams brought them."""
        counters: NDArray[np.int64] = self.controls[positions, _DROPS_WORD] & _WORD32
        return counters

    def lay_out(
        self, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Copy chosen datagrams back to back; see `Datagrams`."""
        count = len(lengths)
        shortest, longest = (int(lengths.min()), int(lengths.max())) if count else (0, 0)
        if shortest == longest <= HEAD:
            rows = self.heads if chosen is None else self.heads[chosen]
            data = np.ascontiguousarray(rows[:, :longest]).reshape(-1)
            return data, np.arange(count + 1, dtype=np.int64) * longest
        edges = np.zeros(count + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        return self._mixed(chosen, lengths, edges), edges

    def take(self, start: int, stop: int) -> Slots:
        """Return the datagrams of a range, without copying."""
        here = slice(start, stop)
        return Slots(self.heads[here], self.rests[here], self.names[here], self.controls[here], self.messages[here])

    def chosen(self, positions: NDArray[np.int64]) -> Slots:
        """Return copies of some of the datagrams."""
        messages = self.messages.view(np.uint64).reshape(-1, 8)[positions].reshape(-1).view(MESSAGE)
        return Slots(
            self.heads[positions], self.rests[positions], self.names[positions], self.controls[positions], messages
        )

    def copy(self) -> Slots:
        """Return the same datagrams in memory of their own."""
        # As words: copying a structured array leaves out its padding, which readers of whole words rely on being zero.
        messages = self.messages.view(np.uint64).copy().view(MESSAGE)
        return Slots(self.heads.copy(), self.rests.copy(), self.names.copy(), self.controls.copy(), messages)

    def _mixed(
        self, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64], edges: NDArray[np.int64]
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
            _scatter(data, edges[members], self.heads, slots, min(size, HEAD))
            _scatter(data, edges[members] + HEAD, self.rests, slots, size - HEAD)
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
