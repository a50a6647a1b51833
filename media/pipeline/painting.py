"""Second pass over a recording: payloads become samples at their places, and finished stretches come out as frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.pipeline.canvas import Plane, Rows, mix_codes, mix_samples
from media.pipeline.codec import FrameDecoder, FrameFormat, Law, SampleFormat, Samples
from media.pipeline.codec.g711 import SILENCE
from media.pipeline.flow import FlowKey, FlowPackets
from media.pipeline.packets import Packets, distinct
from media.pipeline.plan import Placement, Plan
from media.pipeline.resampling import reach, resample
from media.pipeline.stream_table import CodecUse, PacketKind
from media.pipeline.survey import by_run
from media.rtp.packet import octets_at

MARGIN_SECONDS: Final = 1
"""Held back where sample rates differ: the resampling filter looks ahead by less."""


class _PlaneKey(NamedTuple):
    party: int
    layer: int
    sample_rate: int


class _DecoderKey(NamedTuple):
    flow: FlowKey
    run: int
    codec: int


class _Scale(NamedTuple):
    """RTP timestamp units turned into samples; frames begin where that is exact."""

    sample_rate: int
    clock_rate: int

    def samples(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        return units * self.sample_rate // self.clock_rate


class Painter:
    """Paints the packets of a planned recording.

    Feed every slice in the order of the survey with `paint`, and take out with `finished` what no later slice changes.

    Args:
        plan: of the recording.
        codecs: of the stream table.
        parties: to be painted, in order of channels.
        law: paint codes of this law unchanged; None to paint samples.

    """

    def __init__(self, plan: Plan, codecs: Sequence[CodecUse], parties: Iterable[int], law: Law | None) -> None:
        self._plan = plan
        self._codecs = codecs
        self._parties = list(parties)
        self._law = law
        self._planes: dict[_PlaneKey, Plane] = {}
        self._decoders: dict[_DecoderKey, FrameDecoder] = {}
        self._second = 0
        self._resamples = any(use.format is not None and use.format.sample_rate != plan.sample_rate for use in codecs)
        self.failures: dict[str, int] = {}
        """Packets that their decoder refused, by codec name."""

    def paint(self, given: FlowPackets) -> None:
        """Lay down what a slice adds to one flow."""
        if given.key.party not in self._parties:
            return
        for run, packets in by_run(given.ordered.part(0, given.overdue)):
            self._paint_run(given.key, run, packets, in_order=False)
        for run, packets in by_run(given.ordered.part(given.overdue, len(given.ordered))):
            self._paint_run(given.key, run, packets, in_order=True)

    def finished(self, second: int | None) -> list[Rows]:
        """Return the next frames of each party, up to a second of the timeline that no later packet reaches.

        Args:
            second: as in `Plan.settled`; None for everything that is left.

        Returns:
            one array of shape (frames,) for each party, all of the same length, possibly 0.

        """
        rate = self._plan.sample_rate
        last = -(-self._plan.frames // rate)
        until = last if second is None else min(second - (MARGIN_SECONDS if self._resamples else 0), last)
        if until <= self._second:
            return [self._empty() for _ in self._parties]
        frames = min(until * rate, self._plan.frames) - self._second * rate
        found = [self._party(party, until)[:frames] for party in self._parties]
        self._second = until
        return found

    def _empty(self) -> Rows:
        return np.zeros(0, np.int16) if self._law is None else np.zeros(0, np.uint8)

    def _paint_run(self, key: FlowKey, run: int, packets: Packets, *, in_order: bool) -> None:
        placement = self._plan.placements[key, run]
        index = packets.index
        audio = index["kind"] == PacketKind.AUDIO
        if not audio.all():
            packets = packets.take(np.flatnonzero(audio))
        for codec in distinct(packets.index["codec"]):
            own = packets.index["codec"] == codec
            chosen = packets if own.all() else packets.take(np.flatnonzero(own))
            self._paint_codec(_DecoderKey(key, run, codec), placement, chosen, in_order=in_order)

    def _paint_codec(self, key: _DecoderKey, placement: Placement, packets: Packets, *, in_order: bool) -> None:
        """Paint packets of one codec in one run."""
        format_ = self._codecs[key.codec].format
        if format_ is None:
            return
        scale = _Scale(format_.sample_rate, key.flow.clock_rate)
        stamps, durations = packets.index["extended_timestamp"], packets.index["duration"].astype(np.int64)
        positions = scale.samples(placement.positions(stamps))
        # Where a slip leaves room behind a packet, its last sample stays.
        ends = scale.samples(placement.positions(stamps + durations)) if placement.slips.direction > 0 else None
        plane = self._plane(_PlaneKey(placement.party, placement.layer, format_.sample_rate))
        if isinstance(format_, SampleFormat):
            for chosen, rows in _by_length(packets):
                samples = rows if self._law is not None else format_.samples(rows)
                plane.put(positions[chosen], samples)
                if ends is not None:
                    _fill(plane, positions[chosen] + samples.shape[1], ends[chosen], samples[:, -1])
        elif isinstance(format_, FrameFormat):
            # A packet that comes after its turn must not disturb the state that its successors left.
            decoder = self._decoder(key, format_) if in_order else format_.decoder()
            decoded = decoder.decode(_payloads(packets))
            failed = _paint_frames(plane, decoded, positions, scale.samples(durations), ends)
            if failed:
                name = self._codecs[key.codec].codec.name
                self.failures[name] = self.failures.get(name, 0) + failed

    def _decoder(self, key: _DecoderKey, format_: FrameFormat) -> FrameDecoder:
        if key not in self._decoders:
            self._decoders[key] = format_.decoder()
        return self._decoders[key]

    def _plane(self, key: _PlaneKey) -> Plane:
        if key not in self._planes:
            plane = Plane(0, np.int16) if self._law is None else Plane(SILENCE[self._law], np.uint8)
            plane.forget(max(self._second * key.sample_rate - self._context(key.sample_rate), 0))
            self._planes[key] = plane
        return self._planes[key]

    def _context(self, sample_rate: int) -> int:
        """Return how many samples before a stretch its resampling needs."""
        return 0 if sample_rate == self._plan.sample_rate else reach(sample_rate, self._plan.sample_rate)

    def _party(self, party: int, until: int) -> Rows:
        """Return the stretch from the last second taken to `until` of one party."""
        keys = sorted(key for key in self._planes if key.party == party)
        if self._law is not None:
            layers = [self._stretch(key, until) for key in keys]
            if not layers:
                return np.full((until - self._second) * self._plan.sample_rate, SILENCE[self._law], np.uint8)
            return mix_codes([layer.view(np.uint8) for layer in layers], self._law)
        if not keys:
            return np.zeros((until - self._second) * self._plan.sample_rate, np.int16)
        return mix_samples([self._resampled(key, until) for key in keys])

    def _stretch(self, key: _PlaneKey, until: int, context: int = 0) -> Rows:
        plane = self._planes[key]
        window = plane.window(self._second * key.sample_rate - context, until * key.sample_rate + context)
        plane.forget(until * key.sample_rate - context)
        return window

    def _resampled(self, key: _PlaneKey, until: int) -> Samples:
        samples = self._stretch(key, until, self._context(key.sample_rate)).view(np.int16)
        if key.sample_rate == self._plan.sample_rate:
            return samples
        return resample(samples, key.sample_rate, self._plan.sample_rate)


def _fill(plane: Plane, positions: NDArray[np.int64], ends: NDArray[np.int64], samples: Rows) -> None:
    """Let samples of shape (n,) last from their positions until `ends`, where these lie behind them."""
    for number in np.flatnonzero(ends > positions).tolist():
        room = int(ends[number] - positions[number])
        plane.put(positions[number : number + 1], np.repeat(samples[number], room)[None, :])


def _payloads(packets: Packets) -> list[bytes]:
    starts, sizes = packets.index["payload_start"].tolist(), packets.index["payload_length"].tolist()
    return [packets.octets[start : start + size].tobytes() for start, size in zip(starts, sizes, strict=True)]


def _paint_frames(
    plane: Plane,
    decoded: Sequence[Samples | None],
    positions: NDArray[np.int64],
    lengths: NDArray[np.int64],
    ends: NDArray[np.int64] | None,
) -> int:
    """Lay decoded packets down, shape (n,) of everything; return how many the decoder refused.

    Audio beyond a packet's duration is cut, audio that it lacks is silence.
    """
    failed = 0
    for number, (samples, length) in enumerate(zip(decoded, lengths.tolist(), strict=True)):
        if samples is None:
            failed += 1
            continue
        place = positions[number : number + 1]
        plane.put(place, samples[None, :length])
        if ends is not None and len(samples) >= length:
            _fill(plane, place + length, ends[number : number + 1], samples[length - 1 : length])
    return failed


def _by_length(packets: Packets) -> Iterable[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield the payloads of packets by length: their positions, and their octets of shape (packets, length)."""
    lengths = packets.index["payload_length"]
    starts = packets.index["payload_start"]
    for length in distinct(lengths):
        if length == 0:
            continue
        chosen = np.flatnonzero(lengths == length)
        yield chosen, octets_at(packets.octets, starts[chosen], length)
