"""Who a mixer says is heard in its packets: CSRC lists counted by stream, RFC 3550 §5.1 and §7.1.

Vectorised, and next to nothing where no packet has such a list. What the sources are called is said by RTCP
(`media.pipeline.sender_clock`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.pipeline.report import Contributor
from media.pipeline.stream_table import StreamTable
from media.rtp.packet import contributing_sources

MAX_CONTRIBUTORS: Final = 1024
"""Of one recording; a sender that draws new identifiers for each packet must not fill the memory."""


@dataclass(slots=True)
class _Heard:
    packets: int
    seconds: float
    first_ns: int
    last_ns: int


class Contributors:
    """Counts the contributing sources of one recording.

    Args:
        table: names the stream of each row and the clock rate of each codec.

    """

    def __init__(self, table: StreamTable) -> None:
        self._table = table
        self._heard: dict[tuple[int, int, int], _Heard] = {}
        """By party, stream and CSRC, in order of appearance."""

    def add(self, index: NDArray[np.void], data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Take packets, in any order; duplicates count.

        Args:
            index: dtype `PACKET`, measured.
            data: the bytes that hold the packets.
            offsets: where each of them begins in `data`.

        """
        entries, csrcs = contributing_sources(data, offsets)
        if not entries.size:
            return
        rates = np.array([use.clock_rate for use in self._table.codecs], np.float64)
        rows, arrivals = index["row"][entries].astype(np.int64), index["arrival_ns"][entries]
        seconds = index["duration"][entries] / rates[index["codec"][entries]]
        names, named = np.unique(rows << 32 | csrcs, return_inverse=True)
        packets = np.bincount(named)
        totals = np.bincount(named, seconds)
        first, last = np.full(len(names), arrivals.max()), np.full(len(names), arrivals.min())
        np.minimum.at(first, named, arrivals)
        np.maximum.at(last, named, arrivals)
        for number, name in enumerate(names.tolist()):
            stream = self._table.rows[name >> 32].stream
            self._count(
                (stream.party, stream.index, name & 0xFFFFFFFF),
                _Heard(int(packets[number]), float(totals[number]), int(first[number]), int(last[number])),
            )

    def of(self, party: int, stream: int, cnames: Mapping[tuple[int, int], str]) -> list[Contributor]:
        """Return who was heard in a stream, longest first.

        Args:
            party: of the stream.
            stream: m-line position.
            cnames: by stream and source, as RTCP said.

        """
        found = [
            Contributor(
                csrc=csrc,
                cname=cnames.get((stream, csrc), ""),
                packets=heard.packets,
                seconds=round(heard.seconds, 3),
                first_arrival_ns=heard.first_ns,
                last_arrival_ns=heard.last_ns,
            )
            for (of_party, of_stream, csrc), heard in self._heard.items()
            if (of_party, of_stream) == (party, stream)
        ]
        return sorted(found, key=lambda one: -one.seconds)

    def _count(self, key: tuple[int, int, int], more: _Heard) -> None:
        heard = self._heard.get(key)
        if heard is None:
            if len(self._heard) < MAX_CONTRIBUTORS:
                self._heard[key] = more
            return
        heard.packets += more.packets
        heard.seconds += more.seconds
        heard.first_ns = min(heard.first_ns, more.first_ns)
        heard.last_ns = max(heard.last_ns, more.last_ns)
