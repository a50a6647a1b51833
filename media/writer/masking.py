"""Takes keyed digits out of what was received, before anything of it gets near a disk: RFC 4733.

For streams whose table says so. The event of a telephone-event packet is overwritten, and audio that lies in the time
of an event is cut down to its header: gateways often send the tone as well. Packets keep their numbers and times, so
that the timeline keeps its length and nothing looks lost. Works on copies; a digit remains where it was received, in
memory that never reaches a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.rtp.packet import FIXED_HEADER, is_rtp, parse_headers
from media.rtp.sequence import TIMESTAMP_MODULUS
from media.writer.batch import Batch
from media.writer.opened import Opened
from media.writer.stream import LiveStream
from media.writer.table import PortTable

MASKED_EVENT: Final = 0xFF
"""What stands for any event afterwards; nobody has assigned it a meaning (RFC 4733 §7.1.1)."""
_EVENT_OCTETS: Final = 4
_REMEMBERED_NS: Final = 2_000_000_000
"""An event is remembered for so long after its last packet: audio of its time may come later than it."""
_DEFAULT_PTIME_MS: Final = 20.0


class _Span(NamedTuple):
    """An event, in RTP timestamps as received."""

    start: int
    units: int
    heard_ns: int


class Masking:
    """Masks what comes on the ports of streams that ask for it.

    Args:
        table: columns by port row.
        streams: open streams by port row.

    """

    def __init__(self, table: PortTable, streams: Sequence[LiveStream | None]) -> None:
        self._table = table
        self._streams = streams
        self._spans: dict[int, list[_Span]] = {}
        """By port row; only of streams that keys were pressed on a moment ago."""

    def mask(self, batch: Batch) -> None:
        """Take digits out of a batch from RTP sockets; packets that nobody authenticated are left to be refused."""
        table = self._table
        if not table.masks[batch.calls].any():
            return
        octets = batch.words.view(np.uint8)
        rows = batch.rows()
        rtp = table.masks[rows] & is_rtp(octets[:, 0], batch.lengths)
        if batch.authentic is not None:
            rtp &= batch.authentic
        events = rtp & table.event_types[rows, octets[:, 1] & 0x7F]
        concerned = np.unique(rows[events]).tolist()
        concerned += [row for row in self._spans if row not in concerned and (rows == row).any()]
        if not concerned:
            return
        masked = _Copy(batch)
        for row in concerned:
            own = rows == row
            self._mask_events(batch, masked, row, np.flatnonzero(own & events))
            self._cut_audio(batch, masked, row, np.flatnonzero(own & rtp & ~events))
        masked.install(batch)

    def _mask_events(self, batch: Batch, masked: _Copy, row: int, positions: NDArray[np.int64]) -> None:
        """Overwrite the events, and remember when they were."""
        spans = {span.start: span for span in self._spans.get(row, [])}
        for position, header in zip(positions.tolist(), masked.headers(positions), strict=True):
            payload = masked.payload(header)
            units = int.from_bytes(payload[2:4], "big") if len(payload) >= _EVENT_OCTETS else 0
            start, at_ns = int(header["rtp_timestamp"]), int(batch.arrival_ns[position])
            known = spans.get(start)
            spans[start] = _Span(start, max(units, known.units if known else 0), at_ns)
            # Of a payload with redundancy or several events nothing but the first one's time is kept.
            masked.replace(position, payload and bytes([MASKED_EVENT]) + payload[1:_EVENT_OCTETS])
        self._table.masked[row] += len(positions)
        latest_ns = max((span.heard_ns for span in spans.values()), default=0)
        self._spans[row] = [span for span in spans.values() if span.heard_ns > latest_ns - _REMEMBERED_NS]

    def _cut_audio(self, batch: Batch, masked: _Copy, row: int, positions: NDArray[np.int64]) -> None:
        """Leave nothing but the header of audio that lies in an event's time, or touches it."""
        if not positions.size:
            return
        spans = self._spans.get(row, [])
        if not spans or int(batch.arrival_ns[positions[0]]) > max(span.heard_ns for span in spans) + _REMEMBERED_NS:
            self._spans.pop(row, None)
            return
        stamps = batch.words[positions, 1].byteswap().astype(np.int64)
        margin = self._packet_units(row)
        inside = np.zeros(len(stamps), np.bool_)
        for span in spans:
            # From a packet that ends in it to one that begins right behind it: the tone outlasts the last report.
            since = (stamps - span.start + margin) % TIMESTAMP_MODULUS
            inside |= (since > 0) & (since < span.units + 2 * margin)
        for position in positions[inside].tolist():
            masked.replace(position, b"")
        self._table.masked[row] += int(inside.sum())

    def _packet_units(self, row: int) -> int:
        """Return the RTP timestamp units of one packet of a stream, as announced."""
        stream = self._streams[row]
        if stream is None:
            return 0
        clocks = [codec.clock_rate for codec in stream.spec.payload_types.values()]
        return round((stream.spec.ptime_ms or _DEFAULT_PTIME_MS) * max(clocks, default=8000) / 1000)


class _Copy:
    """The packets of a batch in our own memory."""

    def __init__(self, batch: Batch) -> None:
        self._lengths = batch.lengths.copy()
        self._data, edges = batch.datagrams.lay_out(None, batch.lengths)
        self._starts = edges[:-1]
        self._source = batch.datagrams

    def headers(self, positions: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the headers of some packets."""
        return parse_headers(self._data, self._starts[positions], self._lengths[positions])

    def payload(self, header: np.void) -> bytes:
        """Return the payload of one of them."""
        start = int(header["payload_start"])
        return self._data[start : start + int(header["payload_length"])].tobytes()

    def replace(self, position: int, payload: bytes) -> None:
        """Give a packet another payload, and a plain header: no CSRC, no extension, no padding (RFC 3550 §5.1)."""
        start = int(self._starts[position])
        self._data[start] = 0x80
        whole = np.frombuffer(payload, np.uint8)
        end = start + FIXED_HEADER + len(whole)
        self._data[start + FIXED_HEADER : end] = whole
        # What was there before must not outlive it, not even in memory that is appended from.
        self._data[end : start + int(self._lengths[position])] = 0
        self._lengths[position] = FIXED_HEADER + len(whole)

    def install(self, batch: Batch) -> None:
        """Let the batch go on with these packets."""
        batch.datagrams = Opened(self._source, self._data, self._starts)
        batch.lengths = self._lengths
