"""What the hot path must know of each port, as numpy columns: one row per port pair of the writer. Data only."""

from __future__ import annotations

from typing import Final

import numpy as np

NO_SESSION: Final = -1
PAYLOAD_TYPES: Final = 128
SOURCE_SHIFT: Final = 32
FLAG_SHIFT: Final = 48


def pack_mark(stream: int, source: int, flags: int) -> int:
    """Return stream, source and flags in their places in the second word of a record, above its length."""
    return stream << 16 | source << SOURCE_SHIFT | flags << FLAG_SHIFT


class PortTable:
    """Columns by port row; a row without a session has `session` = `NO_SESSION`."""

    def __init__(self, rows: int) -> None:
        self.session = np.full(rows, NO_SESSION, np.int64)
        """Slot of the session that uses the port."""
        self.stream = np.zeros(rows, np.int64)
        """Index of the stream in its session."""
        self.mark = np.zeros(rows, np.int64)
        """See `pack_mark`."""
        self.source_key = np.zeros(rows, np.uint64)
        """Key of the accepted source; 0 accepts nobody without judgement."""
        self.ssrc = np.zeros(rows, np.uint32)
        """Last SSRC, in network order as it lies in memory."""
        self.last_word = np.zeros(rows, np.uint32)
        """First four bytes of the last packet, as they lie in memory: its sequence number is in them."""
        self.payload_known = np.zeros((rows, PAYLOAD_TYPES), np.bool_)
        """Negotiated payload types."""
        self.event_types = np.zeros((rows, PAYLOAD_TYPES), np.bool_)
        """Payload types of telephone-events, of streams whose digits are masked."""
        self.masks = np.zeros(rows, np.bool_)
        """Some payload type of the row is such a one."""
        self.protected = np.zeros(rows, np.bool_)
        """Packets come as SRTP."""
        self.packets = np.zeros(rows, np.int64)
        self.octets = np.zeros(rows, np.int64)
        self.foreign = np.zeros(rows, np.int64)
        self.malformed = np.zeros(rows, np.int64)
        self.paused = np.zeros(rows, np.int64)
        self.masked = np.zeros(rows, np.int64)
        self.kernel_drops = np.zeros(rows, np.int64)
        self.unauthentic = np.zeros(rows, np.int64)
        self.replayed = np.zeros(rows, np.int64)
        self.first_arrival_ns = np.zeros(rows, np.int64)
        self.last_arrival_ns = np.zeros(rows, np.int64)

    def clock_stepped(self, step_ns: int) -> None:
        """Let the latest arrivals be what the wall clock would show for them now: silences are counted from them."""
        self.last_arrival_ns[self.last_arrival_ns > 0] += step_ns

    def clear(self, row: int, *, session: int, stream: int) -> None:
        """Begin or end the use of a port: counters at 0, no source, no SSRC."""
        for column in (
            self.source_key,
            self.ssrc,
            self.last_word,
            self.packets,
            self.octets,
            self.foreign,
            self.malformed,
            self.paused,
            self.masked,
            self.kernel_drops,
            self.unauthentic,
            self.replayed,
            self.first_arrival_ns,
            self.last_arrival_ns,
        ):
            column[row] = 0
        self.payload_known[row] = self.event_types[row] = False
        self.protected[row] = self.masks[row] = False
        self.session[row] = session
        self.stream[row] = stream
        self.mark[row] = pack_mark(stream, 0, 0)
