"""Which party, codec and clock a packet has: the stream tables of all captures as arrays to look up in.

RFC 3551 table 4 gives the static payload types. It opens no file and touches no packet bytes but those of
telephone-event.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Capture, Codec, Stream, Streams
from media.pipeline.capture_clock import corrected_events
from media.pipeline.codec import CodecRegistry, PayloadFormat, Payloads
from media.pipeline.intervals import Intervals

UNKNOWN: Final = -1
"""Row of a packet whose stream no table names."""

_PAYLOAD_TYPES: Final = 128
_FOREVER: Final = 1 << 62

STATIC_CODECS: Final[dict[int, Codec]] = {
    0: Codec(name="PCMU", clock_rate=8000),
    3: Codec(name="GSM", clock_rate=8000),
    4: Codec(name="G723", clock_rate=8000),
    5: Codec(name="DVI4", clock_rate=8000),
    6: Codec(name="DVI4", clock_rate=16000),
    7: Codec(name="LPC", clock_rate=8000),
    8: Codec(name="PCMA", clock_rate=8000),
    9: Codec(name="G722", clock_rate=8000),
    10: Codec(name="L16", clock_rate=44100, channels=2),
    11: Codec(name="L16", clock_rate=44100),
    12: Codec(name="QCELP", clock_rate=8000),
    13: Codec(name="CN", clock_rate=8000),
    15: Codec(name="G728", clock_rate=8000),
    16: Codec(name="DVI4", clock_rate=11025),
    17: Codec(name="DVI4", clock_rate=22050),
    18: Codec(name="G729", clock_rate=8000),
}
"""Audio payload types that need no rtpmap, RFC 3551 table 4 (checklist R11)."""


class PacketKind(enum.IntEnum):
    """What becomes of a packet."""

    AUDIO = 0
    COMFORT_NOISE = 1
    EVENT = 2
    UNDECODABLE = 3


@dataclass(frozen=True, slots=True)
class CodecUse:
    """A codec somewhere in the recording, and what can be done with it."""

    codec: Codec
    kind: PacketKind
    clock_rate: int
    """Hz of the RTP timestamps, as used."""
    ptime_units: int
    """RTP timestamp units of one packet by the announced packet time, for codecs whose packets cannot be measured."""
    format: PayloadFormat | None


@dataclass(frozen=True, slots=True)
class Row:
    """One stream in one version of one capture's stream table."""

    capture: int
    stream: Stream
    session: int = 0
    """Recording session of the capture, by number."""


class StreamTable:
    """All stream tables of all captures.

    Args:
        captures: in order of their opening.
        registry: what can be decoded.
        sessions: number of the recording session of each capture; empty if all are of one.

    """

    def __init__(self, captures: Sequence[Capture], registry: CodecRegistry, sessions: Sequence[int] = ()) -> None:
        self.rows: list[Row] = []
        self.codecs: list[CodecUse] = []
        self._registry = registry
        self._sessions = sessions or [0] * len(captures)
        self._positions: dict[tuple[Codec, int, int], int] = {}
        self._versions: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        self._tables: list[list[list[Stream]]] = []
        lookup: list[NDArray[np.int32]] = []
        for number, capture in enumerate(captures):
            self._versions.append(self._add_capture(number, capture, lookup))
        self._codec_of = np.stack(lookup) if lookup else np.zeros((0, _PAYLOAD_TYPES), np.int32)

    @property
    def parties(self) -> dict[int, str]:
        """Party number to the label that its streams had last, in order of number."""
        labels: dict[int, str] = {}
        for row in self.rows:
            labels[row.stream.party] = row.stream.label or labels.get(row.stream.party, "")
        return dict(sorted(labels.items()))

    def rows_of(self, capture: int, streams: NDArray[np.integer], arrival_ns: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row in force for each packet of a capture, `UNKNOWN` where no table names its stream."""
        since, rows = self._versions[capture]
        version = np.maximum(np.searchsorted(since, arrival_ns, "right") - 1, 0)
        named = streams < rows.shape[1]
        found: NDArray[np.int32] = np.where(named, rows[version, np.where(named, streams, 0)], UNKNOWN)
        return found

    def codecs_of(self, rows: NDArray[np.int32], payload_types: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the position in `codecs` for each packet."""
        found: NDArray[np.int32] = self._codec_of[rows, payload_types]
        return found

    def masks(self, stream: int) -> bool:
        """Say whether any table has the digits of a stream masked."""
        return any(row.stream.mask_events for row in self.rows if row.stream.index == stream)

    def pauses(self, capture: int) -> dict[int, Intervals]:
        """Return, per party, when the table said not to record any stream of it; wall clock, ns."""
        since, _ = self._versions[capture]
        until = np.append(since[1:], _FOREVER)
        found: dict[int, list[tuple[int, int]]] = {}
        for version, streams in enumerate(self._tables[capture]):
            for party in _paused(streams):
                found.setdefault(party, []).append((int(since[version]), int(until[version])))
        return {party: Intervals.of(*pairs) for party, pairs in found.items()}

    def paused_first(self, capture: int) -> set[int]:
        """Return the parties that a capture began without recording."""
        return _paused(self._tables[capture][0])

    def paused_last(self, capture: int) -> set[int]:
        """Return the parties that a capture was not recording at its end."""
        return _paused(self._tables[capture][-1])

    def _add_capture(
        self, number: int, capture: Capture, lookup: list[NDArray[np.int32]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return from when each version of the table holds, shape (v,), and its row of each stream, shape (v, s)."""
        versions = [(capture.session.wall_ns, capture.session.streams)]
        versions += [(at_ns, event.streams) for at_ns, event in corrected_events(capture) if isinstance(event, Streams)]
        self._tables.append([streams for _, streams in versions])
        width = max((stream.index + 1 for _, streams in versions for stream in streams), default=1)
        rows = np.full((len(versions), width), UNKNOWN, np.int32)
        known = _payload_types_by_stream(versions)
        for version, (_, streams) in enumerate(versions):
            for stream in streams:
                rows[version, stream.index] = len(self.rows)
                self.rows.append(Row(number, stream, self._sessions[number]))
                lookup.append(self._payload_types(stream, known[stream.index]))
        # A stream is looked up in the nearest version that names it: packets on the way when a table changed count.
        for column in rows.T:
            named = np.flatnonzero(column != UNKNOWN)
            if named.size:
                latest = np.maximum(np.searchsorted(named, np.arange(len(column)), "right") - 1, 0)
                column[:] = column[named[latest]]
        return np.maximum.accumulate(np.array([since for since, _ in versions], np.int64)), rows

    def _payload_types(self, stream: Stream, elsewhere: dict[int, Codec]) -> NDArray[np.int32]:
        """Return the codec position of each payload type of a stream, shape (128,)."""
        # RFC 3264 §8.3.2: the mapping of a payload type is fixed for the session, so other versions of the table help
        # with packets that are ahead of the signalling or behind it.
        mapping = {**STATIC_CODECS, **elsewhere, **stream.payload_types}
        audio = [codec.clock_rate for codec in stream.payload_types.values() if not _is_signal(codec)]
        unknown = Codec(name="UNKNOWN", clock_rate=audio[0] if audio else 8000)
        positions = np.empty(_PAYLOAD_TYPES, np.int32)
        # Most payload types are of no codec: the same each time.
        nowhere: np.int32 | None = None
        for payload_type in range(_PAYLOAD_TYPES):
            codec = mapping.get(payload_type, unknown)
            if codec is unknown and nowhere is not None:
                positions[payload_type] = nowhere
                continue
            clock_rate = max(codec.clock_rate, 1)
            if _is_signal(codec) and audio and clock_rate not in audio:
                # RFC 4733 §2.1 wants the clock of the audio; the packets have it even where the SDP says otherwise.
                clock_rate = audio[0]
            positions[payload_type] = self._position(codec, clock_rate, round(stream.ptime_ms * clock_rate / 1000))
            if codec is unknown:
                nowhere = positions[payload_type]
        return positions

    def _position(self, codec: Codec, clock_rate: int, ptime_units: int) -> int:
        key = (codec, clock_rate, ptime_units)
        if key not in self._positions:
            self._positions[key] = len(self.codecs)
            format_ = None if _is_signal(codec) else self._registry.find(codec)
            if format_ is not None and format_.sample_rate % clock_rate and clock_rate % format_.sample_rate:
                format_ = None
            kind = PacketKind.UNDECODABLE if format_ is None else PacketKind.AUDIO
            if codec.name == "CN":
                kind = PacketKind.COMFORT_NOISE
            elif codec.name == "TELEPHONE-EVENT":
                kind = PacketKind.EVENT
            self.codecs.append(CodecUse(codec, kind, clock_rate, ptime_units, format_))
        return self._positions[key]


def durations(use: CodecUse, payloads: Payloads) -> NDArray[np.int64]:
    """Return the RTP timestamp units that payloads of one codec cover; of an event, the duration it tells."""
    if use.kind is PacketKind.EVENT:
        # RFC 4733 §2.3: event, flags and volume, then 16 bits of duration.
        return payloads.octet(2) << 8 | payloads.octet(3)
    if use.kind is PacketKind.COMFORT_NOISE:
        return np.zeros(len(payloads.lengths), np.int64)
    if use.format is None:
        return np.where(payloads.lengths > 0, use.ptime_units, 0)
    return use.format.durations(payloads)


def _paused(streams: Sequence[Stream]) -> set[int]:
    """Return the parties of which a table has streams, and records none."""
    return {stream.party for stream in streams} - {stream.party for stream in streams if stream.recording}


def _is_signal(codec: Codec) -> bool:
    return codec.name in {"CN", "TELEPHONE-EVENT"}


def _payload_types_by_stream(versions: list[tuple[int, list[Stream]]]) -> dict[int, dict[int, Codec]]:
    """Return every payload type that any version maps, per stream; the first mapping counts."""
    known: dict[int, dict[int, Codec]] = {}
    for _, streams in versions:
        for stream in streams:
            known[stream.index] = {**stream.payload_types, **known.get(stream.index, {})}
    return known
