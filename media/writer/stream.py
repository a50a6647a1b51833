"""One stream and one session as the writer keeps them: what is too rare for the columns of the port table."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from media.container import model
from media.writer.capture_file import CaptureFile
from media.writer.config import PortPair
from media.writer.kernel import Address
from media.writer.keyring import Keyring
from media.writer.protocol import Reply, SessionSummary, StreamReport, StreamSpec
from media.writer.sources import SourceLock
from media.writer.table import PortTable

MAX_TOLD: Final = 16
"""Sources and SSRCs of one stream that get an event of their own; a flood must not fill the disk with events."""
_MAX_SOURCE: Final = 0xFFFF


@dataclass(slots=True, eq=False)
class LiveStream:
    """One stream of an open session."""

    spec: StreamSpec
    """With the local port filled in."""
    row: int
    """Port row."""
    pair: PortPair
    family: int
    """Address family of its sockets."""
    lock: SourceLock
    keyring: Keyring | None = None
    """None while packets come as plain RTP."""
    rtcp_from: Address | None = None
    """Where RTCP of the accepted host came from last."""
    told_strangers: set[int] = field(default_factory=set)
    told_ssrcs: set[int] = field(default_factory=set)

    @property
    def family_is_six(self) -> bool:
        """Whether its sockets are of IPv6, where an IPv4 address has to be written as a mapped one."""
        return self.family == socket.AF_INET6

    @property
    def awaits_keys(self) -> bool:
        """The stream is protected and its keys are still to come: its packets wait in the kernel."""
        return self.spec.protection is not None and not self.spec.protection.keys


@dataclass(slots=True, eq=False)
class LiveSession:
    """One open session."""

    identifier: str
    slot: int
    requested: list[StreamSpec]
    """Stream table of the command that opened it, to recognise a repeated one."""
    file: CaptureFile
    host: str
    streams: dict[int, LiveStream]
    """By stream index."""
    finished: list[model.StreamTotals] = field(default_factory=list)
    """Totals of streams that left the table."""
    waiting: list[tuple[Callable[[Reply], None], Callable[[], Reply]]] | None = field(default_factory=list)
    """Who waits until the SESSION block is durable, and for which answer; None once it is."""
    _sources: dict[tuple[int, int], int] = field(default_factory=dict)

    def ports(self) -> dict[int, int]:
        """Return stream index to local RTP port."""
        return {index: stream.spec.port for index, stream in self.streams.items()}

    def source(self, stream: LiveStream, address: Address, cause: str, at_ns: int) -> int:
        """Return the number of a source, told by a SOURCE event."""
        number = self._sources.setdefault((stream.spec.index, address.key), min(len(self._sources) + 1, _MAX_SOURCE))
        self.file.event(
            model.Source(
                at_ns=at_ns,
                stream=stream.spec.index,
                source=number,
                host=address.host,
                port=address.port,
                cause=cause,
            )
        )
        return number

    def known_source(self, stream: LiveStream, key: int) -> int:
        """Return the number of a source that was told before, or 0."""
        return self._sources.get((stream.spec.index, key), 0)


def stored_stream(spec: StreamSpec) -> model.Stream:
    """Return the stream as the capture format has it: without its keys."""
    keys = spec.protection.keys if spec.protection else ()
    bare = msgspec.structs.replace(spec, protection=None, reports=None)
    stored = msgspec.to_builtins(bare, str_keys=False) | {"protection": keys[0].suite if keys else ""}
    return msgspec.convert(stored, model.Stream)


def stream_totals(table: PortTable, stream: LiveStream) -> model.StreamTotals:
    """Return the counters of a stream for the END block."""
    row = stream.row
    return model.StreamTotals(
        index=stream.spec.index,
        port=stream.spec.port,
        packets=int(table.packets[row]),
        octets=int(table.octets[row]),
        foreign=int(table.foreign[row]),
        malformed=int(table.malformed[row]),
        paused=int(table.paused[row]),
        masked=int(table.masked[row]),
        kernel_drops=int(table.kernel_drops[row]),
        unauthentic=int(table.unauthentic[row]),
        replayed=int(table.replayed[row]),
        first_arrival_ns=int(table.first_arrival_ns[row]),
        last_arrival_ns=int(table.last_arrival_ns[row]),
    )


def stream_report(totals: model.StreamTotals) -> StreamReport:
    """Return the counters of a stream for a frontend."""
    return StreamReport(
        index=totals.index,
        port=totals.port,
        packets=totals.packets,
        octets=totals.octets,
        foreign=totals.foreign,
        malformed=totals.malformed,
        paused=totals.paused,
        kernel_drops=totals.kernel_drops,
        unauthentic=totals.unauthentic,
        replayed=totals.replayed,
        last_arrival_ns=totals.last_arrival_ns,
    )


def session_summary(table: PortTable, session: LiveSession) -> SessionSummary:
    """Return a session and its counters for a frontend."""
    return SessionSummary(
        session=session.identifier,
        capture_path=str(session.file.path),
        streams=[stream_report(stream_totals(table, stream)) for stream in session.streams.values()],
    )
