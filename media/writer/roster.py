"""The open sessions of a writer, their streams and their ports. No receiving, no commands, no disk but the new file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from media.container import model
from media.errors import ResourceError
from media.srtp import SUITES
from media.writer.config import PortPair
from media.writer.kernel import numeric_address
from media.writer.ports import PortAllocator
from media.writer.protocol import Protection, RefusalReason, StreamSpec
from media.writer.sources import SourceLock
from media.writer.stream import LiveSession, LiveStream, stream_totals
from media.writer.table import NO_SESSION, PAYLOAD_TYPES, PortTable

MAX_STREAMS: Final = 64
"""Streams of one session; a conference that is recorded per party has a dozen."""
_SESSION_NAME: Final = re.compile(r"[0-9a-f]{32}")


class CommandRefused(ResourceError):
    """A command that has no effect; becomes a `Refused`."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_command(session: str, streams: Sequence[StreamSpec]) -> None:
    """Raise `CommandRefused` for values that no frontend of ours sends; the session becomes a file name."""
    if not _SESSION_NAME.fullmatch(session):
        raise CommandRefused(RefusalReason.MALFORMED, "session is not 32 hexadecimal digits")
    indices = [stream.index for stream in streams]
    if not 0 < len(indices) <= MAX_STREAMS or len(set(indices)) != len(indices):
        raise CommandRefused(RefusalReason.MALFORMED, f"1 to {MAX_STREAMS} streams with different indices are needed")
    for stream in streams:
        types = stream.payload_types
        if not 0 <= stream.index < 1 << 16 or not all(0 <= number < PAYLOAD_TYPES for number in types):
            raise CommandRefused(RefusalReason.MALFORMED, f"stream {stream.index}: index or payload type out of range")
        if stream.protection is not None:
            _check_keys(stream.index, stream.protection)


def _check_keys(index: int, protection: Protection) -> None:
    for key in (*protection.keys, *protection.former, *filter(None, (protection.own,))):
        suite = SUITES.get(key.suite)
        if suite is None or len(key.key_salt) != suite.key_salt_length:
            raise CommandRefused(RefusalReason.MALFORMED, f"stream {index}: a key that fits no known crypto-suite")


class Roster:
    """Who uses which port.

    Args:
        pairs: the granted ports; the position is the port row.
        table: columns by port row.
        busy: per port row, 1 while a session uses it; what is 1 now is reserved for adoption.
        cooldown_s: see `WriterConfig`.
        reserved_until: monotonic seconds until which ports of a predecessor are reserved.

    """

    def __init__(
        self,
        pairs: Sequence[PortPair],
        table: PortTable,
        *,
        busy: NDArray[np.uint8],
        cooldown_s: float,
        reserved_until: float,
    ) -> None:
        self._pairs = pairs
        self._table = table
        self._rows = {pair.port: row for row, pair in enumerate(pairs)}
        self._busy = busy
        self._allocator = PortAllocator(len(pairs), cooldown_s)
        for row in np.flatnonzero(busy).tolist():
            self._allocator.reserve(row, reserved_until)
        busy[:] = 0
        self.slots: list[LiveSession | None] = []
        """Sessions by slot; the numbers in `PortTable.session`."""
        self.streams: list[LiveStream | None] = [None] * len(pairs)
        """Streams by port row."""
        self.by_name: dict[str, LiveSession] = {}
        self._free_slots: list[int] = []

    def available_ports(self, now: float) -> int:
        """Return how many ports a new stream could take."""
        return self._allocator.available(now)

    def allocate(self, specs: Sequence[StreamSpec], now: float) -> list[LiveStream]:
        """Take ports for new streams, all or none; raises `CommandRefused`."""
        streams: list[LiveStream] = []
        try:
            for spec in specs:
                streams.append(self._new_stream(spec, now))
        except CommandRefused:
            self.give_back(streams)
            raise
        return streams

    def give_back(self, streams: Sequence[LiveStream]) -> None:
        """Free ports that `allocate` took and nobody used."""
        for stream in streams:
            self._allocator.give_back(stream.row)

    def _new_stream(self, spec: StreamSpec, now: float) -> LiveStream:
        if spec.port:
            wanted = self._rows.get(spec.port)
            if wanted is None:
                raise CommandRefused(RefusalReason.PORT_TAKEN, f"port {spec.port} is not one of this writer")
            if not self._allocator.take_exactly(wanted):
                raise CommandRefused(RefusalReason.PORT_TAKEN, f"port {spec.port} is in use")
            row = wanted
        else:
            free = self._allocator.take(now)
            if free is None:
                raise CommandRefused(RefusalReason.NO_FREE_PORT, "every port is in use or cooling down")
            row = free
        pair = self._pairs[row]
        family = pair.rtp.family
        announced = numeric_address(spec.remote_host, spec.remote_port, family=family)
        placed = msgspec.structs.replace(spec, port=pair.port)
        return LiveStream(placed, row, pair, family, SourceLock(announced))

    def enter(self, session: LiveSession) -> None:
        """Make a session with its streams known; its `slot` is set."""
        session.slot = self._free_slots.pop() if self._free_slots else len(self.slots)
        if session.slot == len(self.slots):
            self.slots.append(None)
        self.slots[session.slot] = session
        self.by_name[session.identifier] = session

    def connect(self, session: LiveSession, stream: LiveStream) -> None:
        """Let a stream's port serve a session."""
        session.streams[stream.spec.index] = stream
        self.streams[stream.row] = stream
        self._busy[stream.row] = 1
        self._table.clear(stream.row, session=session.slot, stream=stream.spec.index)
        self._know_payload_types(stream)

    def change(self, stream: LiveStream, spec: StreamSpec) -> None:
        """Put a new specification of a connected stream in force; its port stays."""
        stream.spec = msgspec.structs.replace(spec, port=stream.pair.port)
        self._know_payload_types(stream)
        stream.lock.announce(numeric_address(spec.remote_host, spec.remote_port, family=stream.family))

    def _know_payload_types(self, stream: LiveStream) -> None:
        table, row, types = self._table, stream.row, stream.spec.payload_types
        table.payload_known[row] = table.event_types[row] = False
        table.payload_known[row, list(types)] = True
        masked = [number for number, codec in types.items() if codec.name.upper() == "TELEPHONE-EVENT"]
        table.event_types[row, masked if stream.spec.mask_events else []] = True
        table.masks[row] = table.event_types[row].any()

    def disconnect(self, session: LiveSession, stream: LiveStream, now: float) -> model.StreamTotals:
        """Let a stream's port rest, and return its counters."""
        totals = stream_totals(self._table, stream)
        del session.streams[stream.spec.index]
        self.streams[stream.row] = None
        self._busy[stream.row] = 0
        self._table.clear(stream.row, session=NO_SESSION, stream=0)
        self._allocator.release(stream.row, now)
        return totals

    def leave(self, session: LiveSession) -> None:
        """Forget a session whose streams are disconnected."""
        del self.by_name[session.identifier]
        self.slots[session.slot] = None
        self._free_slots.append(session.slot)
