"""What receiver reports say of each port's source, as numpy columns: RFC 3550 §6.4.1, A.3 and A.8.

Looked at only when a report is due: jitter comes from the packets of one visit, so from one in a dozen, the rest from
the port table. Lives where a successor finds it. Sends nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.batch import Batch
from media.writer.table import PortTable

STATE: Final = np.dtype(
    [
        ("base", "<i8"),
        ("highest", "<i8"),
        ("received", "<i8"),
        ("expected_before", "<i8"),
        ("received_before", "<i8"),
        ("sr_ns", "<i8"),
        ("source", "<u4"),
        ("sr", "<u4"),
        ("jitter", "<f4"),
        ("known", "<u4"),
    ]
)
"""First and highest extended sequence number, packets received; the same at the report before; arrival and middle 32
bits of the last SR; SSRC in network order as in memory; jitter in timestamp units; 1 once a source was heard."""
_WEIGHTS: Final = (15 / 16) ** np.arange(1 << 14) / 16
"""Of a packet by how many came after it, up to as many as a visit can bring."""
_MOST_LOST: Final = (1 << 23) - 1


class Statistics:
    """Reception figures of each port row.

    Args:
        table: columns by port row.
        room: bytes, shape (rows, `STATE.itemsize`).

    """

    def __init__(self, table: PortTable, room: NDArray[np.uint8]) -> None:
        self._table = table
        self._state = room.view(STATE)[:, 0]
        rows = len(self._state)
        self._seen = np.zeros(rows, np.int64)
        """Packets of the port table that are in `received`."""
        self._inherited = np.zeros(rows, np.bool_)
        self.clock_rate = np.full(rows, 8000, np.int64)
        """Hz, per row."""

    def enter(self, row: int, clock_rate: int, *, adopt: bool) -> None:
        """Begin with a stream; `adopt` goes on with what a predecessor counted."""
        if not adopt:
            self._state[row] = 0
        self._inherited[row] = adopt and bool(self._state["known"][row])
        self._seen[row] = 0
        self.clock_rate[row] = clock_rate

    def began(self, row: int, ssrc: int, sequence_number: int) -> None:
        """Take note of the first packet of a source, before it is counted; `ssrc` in network order as in memory."""
        state = self._state[row]
        self._seen[row] = self._total(row)
        if self._inherited[row] and int(state["source"]) == ssrc:
            # What lay between is in the capture of the predecessor, or was saved from it: not lost for all we know.
            ahead = int(_ahead(np.array(sequence_number), np.array(state["highest"])))
            state["received"] += max(0, ahead - 1)
            state["highest"] += max(0, ahead - 1)
        else:
            self._state[row] = 0
            state["source"], state["known"] = ssrc, 1
            state["base"] = sequence_number
            state["highest"] = sequence_number - 1
        self._inherited[row] = False

    def _total(self, row: int) -> int:
        # What was discarded in a pause was received as well.
        return int(self._table.packets[row] + self._table.paused[row])

    def observe(
        self, batch: Batch, chosen: NDArray[np.int64], ports: NDArray[np.int64], many: NDArray[np.int64]
    ) -> None:
        """Advance the jitter by accepted packets: J += (|D| - J)/16 for each packet and the one before it (A.8).

        Args:
            batch: where they are.
            chosen: their positions, port by port, in order of arrival.
            ports: the ports, none twice.
            many: packets of each port, at least one.

        """
        words = batch.words[chosen]
        units = np.diff(words[:, 1].byteswap()).view(np.int32)
        rates = np.repeat(self.clock_rate[ports] / 1e9, many)[1:]
        difference = np.abs(np.diff(batch.arrival_ns[chosen]) * rates - units)
        # The same timestamp twice is an event that goes on (RFC 4733 §2.5.1.3), not a late packet.
        usable = (units != 0) & (words[1:, 2] == words[:-1, 2])
        stops = np.cumsum(many)
        usable[stops[:-1] - 1] = False
        weights = np.zeros(len(words))
        weights[1:] = np.where(usable, _WEIGHTS[np.repeat(stops, many)[1:] - np.arange(2, len(words) + 1)], 0.0)
        starts = stops - many
        kept = 1.0 - np.add.reduceat(weights, starts)
        weights[1:] *= difference
        self._state["jitter"][ports] = kept * self._state["jitter"][ports] + np.add.reduceat(weights, starts)

    def sender_report(self, batch: Batch, chosen: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Take note of sender reports among RTCP packets: for LSR and DLSR."""
        words = batch.words[chosen]
        sr = ((words[:, 0] >> 8 & 0xFF) == 200) & (words[:, 1] == self._state["source"][rows])
        if sr.any():
            late, early = words[sr, 2].byteswap() & 0xFFFF, words[sr, 3].byteswap() >> 16
            self._state["sr"][rows[sr]] = late << 16 | early
            self._state["sr_ns"][rows[sr]] = batch.arrival_ns[chosen[sr]]

    def known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of which ports a source was heard."""
        found: NDArray[np.bool_] = self._state["known"][rows] != 0
        return found

    def blocks(self, rows: NDArray[np.int64], now_ns: int) -> list[tuple[int, int, int, int, int, int]]:
        """Return the six words of a report block for each port, and begin the next interval (§6.4.1, A.3)."""
        total = self._table.packets[rows] + self._table.paused[rows]
        # The last packet, of a source that was not observed: it may have fallen silent before.
        sequence = (self._table.last_word[rows].byteswap() & 0xFFFF).astype(np.int64)
        ahead = _ahead(sequence, self._state["highest"][rows])
        self._state["highest"][rows] += np.where(total > self._seen[rows], np.maximum(ahead, 0), 0)
        state = self._state[rows]
        received = state["received"] + total - self._seen[rows]
        self._seen[rows] = total
        expected = state["highest"] - state["base"] + 1
        lost = np.clip(expected - received, -_MOST_LOST - 1, _MOST_LOST)
        expected_now, received_now = expected - state["expected_before"], received - state["received_before"]
        lost_now = np.maximum(expected_now - received_now, 0)
        fraction = np.minimum((lost_now << 8) // np.maximum(expected_now, 1), 255)
        delay = np.where(state["sr_ns"] > 0, np.maximum(now_ns - state["sr_ns"], 0) * 65536 // 1_000_000_000, 0)
        self._state["received"][rows] = self._state["received_before"][rows] = received
        self._state["expected_before"][rows] = expected
        columns = (
            state["source"].byteswap(),
            fraction << 24 | lost & 0xFFFFFF,
            state["highest"] & 0xFFFFFFFF,
            state["jitter"].astype(np.int64),
            state["sr"],
            delay & 0xFFFFFFFF,
        )
        return list(zip(*(column.tolist() for column in columns), strict=True))


def _ahead(sequence: NDArray[np.int64], highest: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how far sequence numbers are ahead of extended ones, by the nearer way round."""
    found: NDArray[np.int64] = (sequence - highest + (1 << 15)) % (1 << 16) - (1 << 15)
    return found
