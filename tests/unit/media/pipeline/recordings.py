"""Captures for tests, written with the real encoder: packets in, a file as a writer would have left it out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.container import RECORD, BlockEncoder, Codec, End, Event, RecordFlag, Session, Stream
from media.rtp.rtcp import NTP_UNIX_OFFSET

START_NS = 1_772_366_400_000_000_000
"""2026-03-01T12:00:00Z."""
MS = 1_000_000
FRAME_MS = 20

PCMU = Codec(name="PCMU", clock_rate=8000)
PCMA = Codec(name="PCMA", clock_rate=8000)
EVENTS = Codec(name="TELEPHONE-EVENT", clock_rate=8000, fmtp="0-15")
NOISE = Codec(name="CN", clock_rate=8000)

AUDIO_TYPES = {0: PCMU, 8: PCMA, 13: NOISE, 101: EVENTS}


@dataclass(frozen=True, kw_only=True)
class Rtp:
    """One packet and when it arrives."""

    sequence_number: int
    timestamp: int
    payload: bytes
    arrival_ms: float
    """After `START_NS`."""
    ssrc: int = 0x1000
    payload_type: int = 0
    marker: bool = False
    stream: int = 0
    flags: int = 0
    csrcs: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return (
            struct.pack(
                f"!BBHII{len(self.csrcs)}I",
                0x80 | len(self.csrcs),
                self.payload_type | (0x80 if self.marker else 0),
                self.sequence_number % 2**16,
                self.timestamp % 2**32,
                self.ssrc,
                *self.csrcs,
            )
            + self.payload
        )


def stream(index: int, *, party: int | None = None, recording: bool = True, label: str | None = None) -> Stream:
    return Stream(
        index=index,
        party=index if party is None else party,
        label=f"label-{index}" if label is None else label,
        payload_types=AUDIO_TYPES,
        recording=recording,
    )


def sound(frames: int, seed: int = 1) -> bytes:
    """Codes of both laws that differ from sample to sample, none of them silence."""
    codes = np.random.default_rng(seed).integers(0, 256, frames, np.uint8)
    codes[(codes == 0xFF) | (codes == 0xD5) | (codes == 0x7F)] = 0x12
    return codes.tobytes()


def talk(
    audio: bytes,
    *,
    octets: int = 160,
    sequence: int = 1000,
    timestamp: int = 50_000,
    start_ms: float = 0.0,
    ssrc: int = 0x1000,
    payload_type: int = 0,
    stream: int = 0,
) -> list[Rtp]:
    """Cut audio of 8,000 octets a second into packets that arrive in time."""
    return [
        Rtp(
            sequence_number=sequence + number,
            timestamp=timestamp + at,
            payload=audio[at : at + octets],
            arrival_ms=start_ms + at / 8,
            ssrc=ssrc,
            payload_type=payload_type,
            stream=stream,
        )
        for number, at in enumerate(range(0, len(audio), octets))
    ]


@dataclass(kw_only=True)
class CaptureFile:
    """What a capture shall hold."""

    packets: Sequence[Rtp] = ()
    rtcp: Sequence[tuple[int, float, bytes]] = ()
    """Stream, arrival (ms after `START_NS`), datagram."""
    streams: Sequence[Stream] = (stream(0), stream(1))
    events: Sequence[Event] = ()
    session: str = "0" * 31 + "1"
    writer: str = "writer-1"
    opened_ms: float = -100.0
    ended_ms: float | None = None
    """None for just after the last packet."""
    end: str | None = "bye"
    """Cause; None for a capture without END."""
    block_ms: float = 200.0
    in_order: bool = False
    """Keep the order of `packets` and `events` although times fall (the wall clock was set)."""
    descriptor: dict[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        encoder = BlockEncoder()
        opened_ns = at(self.opened_ms)
        parts = [
            encoder.open(
                Session(
                    session=self.session,
                    writer=self.writer,
                    host="127.0.0.1",
                    wall_ns=opened_ns,
                    monotonic_ns=7,
                    descriptor=self.descriptor,
                    streams=list(self.streams),
                )
            )
        ]
        events = list(self.events) if self.in_order else sorted(self.events, key=lambda event: event.at_ns)
        last_ms = max([packet.arrival_ms for packet in self.packets], default=self.opened_ms)
        blocks = [[packet] for packet in self.packets] if self.in_order else _visits(self.packets, self.block_ms)
        for block in blocks:
            visit_ns = at(max(packet.arrival_ms for packet in block))
            while events and not self.in_order and events[0].at_ns <= at(min(packet.arrival_ms for packet in block)):
                parts.append(encoder.event(events.pop(0)))
            parts += _records(encoder, block, visit_ns)
        parts += [encoder.event(event) for event in events]
        for number, arrival_ms, datagram in self.rtcp:
            record = np.array([(at(arrival_ms), len(datagram), number, 1, 0)], RECORD).tobytes()
            parts += [encoder.rtcp(record, datagram, 1, at(last_ms)), record, datagram]
        if self.end is not None:
            ended_ns = at(last_ms + 5 if self.ended_ms is None else self.ended_ms)
            parts.append(encoder.end(End(cause=self.end, at_ns=ended_ns, streams=[])))
        path = folder / f"{self.session}.tcap"
        path.write_bytes(b"".join(parts))
        return path


def sender_report(ssrc: int, sender_ms: float, timestamp: int, cname: bytes = b"mcp") -> bytes:
    """SR and SDES of a source whose sample `timestamp` was taken at `sender_ms` of the sender's clock."""
    sender_ns = at(sender_ms)
    seconds, rest = divmod(sender_ns, 10**9)
    report = struct.pack(
        "!BBHIIIIII", 0x80, 200, 6, ssrc, seconds + NTP_UNIX_OFFSET, (rest << 32) // 10**9, timestamp % 2**32, 1, 2
    )
    item = struct.pack("!IBB", ssrc, 1, len(cname)) + cname
    item += bytes(4 - len(item) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(item) // 4) + item


def at(milliseconds: float) -> int:
    """Wall clock, ns."""
    return START_NS + round(milliseconds * MS)


def _visits(packets: Iterable[Rtp], block_ms: float) -> list[list[Rtp]]:
    """Packets as a writer would find them: those of one visit, stream by stream."""
    visits: dict[int, list[Rtp]] = {}
    latest = -1 << 60
    for packet in packets:
        latest = max(latest, int(packet.arrival_ms // block_ms))
        number = latest if packet.flags & RecordFlag.RECOVERED else int(packet.arrival_ms // block_ms)
        visits.setdefault(number, []).append(packet)
    return [sorted(visits[number], key=lambda packet: (packet.stream, packet.arrival_ms)) for number in sorted(visits)]


def _records(encoder: BlockEncoder, packets: Sequence[Rtp], written_ns: int) -> list[bytes]:
    datagrams = [packet.encode() for packet in packets]
    index = np.array(
        [
            (at(packet.arrival_ms), len(datagram), packet.stream, 1, packet.flags)
            for packet, datagram in zip(packets, datagrams, strict=True)
        ],
        RECORD,
    ).tobytes()
    octets = b"".join(datagrams)
    return [encoder.packets(index, octets, len(packets), written_ns), index, octets]


def wav_channels(path: Path, channels: int = 2) -> list[NDArray[np.uint8]]:
    """The sample octets of an 8-bit WAV file, found through its chunks without the code under test."""
    data = path.read_bytes()
    assert (data[:4], data[8:12]) == (b"RIFF", b"WAVE")
    position, found = 12, b""
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"data":
            found = data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    assert position == len(data)
    frames = np.frombuffer(found, np.uint8).reshape(-1, channels)
    return [frames[:, number] for number in range(channels)]
