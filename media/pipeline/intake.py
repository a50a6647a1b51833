"""Captures read side by side, a bounded slice of packets at a time.

Takes headers apart and looks up party, codec and duration; orders nothing by sequence number and drops nothing that is
RTP of a known stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from media.container import Capture, PacketBatch
from media.pipeline.capture_clock import CaptureClock
from media.pipeline.codec import Payloads
from media.pipeline.contributors import Contributors
from media.pipeline.packets import PACKET, Packets, distinct, joined
from media.pipeline.stream_table import UNKNOWN, StreamTable, durations
from media.rtp.packet import parse_headers

BATCH_BYTES: Final = 4 << 20
"""Of capture per read: some 4 minutes of a two-party G.711 session. Each slice costs the same many calls of numpy."""


class Intake:
    """One reading of the captures of a recording, from their beginning.

    Args:
        captures: in order of their opening; they may overlap in time.
        table: of the same captures.

    """

    def __init__(self, captures: Sequence[Capture], table: StreamTable) -> None:
        self._captures = captures
        self._table = table
        self.contributors = Contributors(table)
        """Of the packets read so far."""
        self.malformed = 0
        """Packets read so far that are not RTP."""
        self.unknown = 0
        """Packets read so far of a stream that no table names."""

    def slices(self) -> Iterator[tuple[Packets, bool]]:
        """Yield all packets, about `BATCH_BYTES` of each capture at a time, and whether these are the last ones.

        Inside a slice they are in any order.

        Captures that overlap in time are read side by side, so packets that two of them hold come into one slice or
        into neighbouring ones.
        """
        readings = [self._read(number, capture) for number, capture in enumerate(self._captures)]
        pending = [next(reading, None) for reading in readings]
        while any(packets is not None for packets in pending):
            horizon = min(int(packets.index["arrival_ns"].max()) for packets in pending if packets is not None)
            parts: list[Packets] = []
            for number, packets in enumerate(pending):
                if packets is None:
                    continue
                due = packets.index["arrival_ns"] <= horizon
                if due.all():
                    parts.append(packets)
                    pending[number] = next(readings[number], None)
                elif due.any():
                    parts.append(packets.take(np.flatnonzero(due)).compact())
                    pending[number] = packets.take(np.flatnonzero(~due)).compact()
            yield joined(parts), not any(packets is not None for packets in pending)

    def _read(self, number: int, capture: Capture) -> Iterator[Packets]:
        clock = CaptureClock(capture)
        for batch in capture.packets(BATCH_BYTES):
            packets = self._packets(number, clock, batch)
            if len(packets):
                yield packets

    def _packets(self, capture: int, clock: CaptureClock, batch: PacketBatch) -> Packets:
        records = batch.records
        headers = parse_headers(batch.data, batch.offsets, records["length"])
        streams = records["stream"].astype(np.int64)
        arrivals = clock.arrivals(batch)
        rows = self._table.rows_of(capture, streams, arrivals)
        offsets = batch.offsets
        usable = headers["valid"] & (rows != UNKNOWN)
        self.malformed += int((~headers["valid"]).sum())
        self.unknown += int((headers["valid"] & (rows == UNKNOWN)).sum())
        if not usable.all():
            kept = np.flatnonzero(usable)
            headers, arrivals, rows, offsets = headers.take(kept), arrivals[kept], rows[kept], offsets[kept]
        index = np.zeros(len(headers), PACKET)
        index["arrival_ns"] = arrivals
        index["row"] = rows
        for name in ("payload_start", "payload_length", "rtp_timestamp", "ssrc", "sequence_number", "payload_type"):
            index[name] = headers[name]
        index["codec"] = self._table.codecs_of(rows, headers["payload_type"])
        self._measure(index, batch)
        self.contributors.add(index, batch.data, offsets)
        return Packets(index, batch.data)

    def _measure(self, index: np.ndarray[tuple[int], np.dtype[np.void]], batch: PacketBatch) -> None:
        """Fill in kind and duration, codec by codec."""
        for codec in distinct(index["codec"]):
            use = self._table.codecs[codec]
            own = index["codec"] == codec
            starts, lengths = index["payload_start"][own], index["payload_length"][own].astype(np.int64)
            index["kind"][own] = use.kind
            index["duration"][own] = durations(use, Payloads(batch.data, starts, lengths))
