"""Small captures for tests of the container."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from media.container import RECORD, BlockEncoder, Codec, End, Event, Session, Source, Stream, StreamTotals

NOW = 1_772_366_400_000_000_000


def session(**changes: object) -> Session:
    values: dict[str, object] = {
        "session": "00" * 16,
        "writer": "w1",
        "host": "192.0.2.10",
        "wall_ns": NOW,
        "monotonic_ns": 1000,
        "descriptor": {},
        "streams": [Stream(index=0, party=0, payload_types={0: Codec(name="PCMU", clock_rate=8000)}, port=20000)],
    }
    return Session(**{**values, **changes})  # type: ignore[arg-type]


def source(at_ns: int = NOW) -> Source:
    return Source(at_ns=at_ns, stream=0, source=1, host="192.0.2.50", port=30000, cause="announced")


def end(packets: int = 0, octets: int = 0, arrival_ns: int = 0) -> End:
    totals = StreamTotals(
        index=0,
        port=20000,
        packets=packets,
        octets=octets,
        first_arrival_ns=arrival_ns,
        last_arrival_ns=arrival_ns,
    )
    return End(cause="bye", at_ns=NOW + 1_000_000_000, streams=[totals])


def records(packets: Sequence[bytes], *, arrival_ns: int = NOW, stream: int = 0, source: int = 1) -> bytes:
    index = np.zeros(len(packets), RECORD)
    index["arrival_ns"] = arrival_ns
    index["length"] = [len(packet) for packet in packets]
    index["stream"] = stream
    index["source"] = source
    return index.tobytes()


class Builder:
    """A capture block by block; `edges` are the positions behind each whole block."""

    def __init__(self, opening: Session | None = None) -> None:
        self.encoder = BlockEncoder()
        self.data = bytearray(self.encoder.open(opening or session()))
        self.edges = [len(self.data)]

    def _took(self, *parts: bytes) -> None:
        for part in parts:
            self.data += part
        self.edges.append(len(self.data))

    def event(self, event: Event) -> Builder:
        self._took(self.encoder.event(event))
        return self

    def packets(self, *packets: bytes, **changes: int) -> Builder:
        index, data = records(packets, **changes), b"".join(packets)
        self._took(self.encoder.packets(index, data, len(packets), NOW), index, data)
        return self

    def rtcp(self, *packets: bytes) -> Builder:
        index, data = records(packets), b"".join(packets)
        self._took(self.encoder.rtcp(index, data, len(packets), NOW), index, data)
        return self

    def end(self, end: End) -> Builder:
        self._took(self.encoder.end(end))
        return self

    def write(self, path: Path) -> Path:
        path.write_bytes(self.data)
        return path
