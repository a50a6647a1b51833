"""Voices that are alike but not equal: normalised cross-correlation in windows, tolerant of drift. Pure.

For copies between which lies another codec, another level, noise, or a clock of its own. Works on 16-bit samples at
8 kHz. Windows spread over the overlap are searched widely; those that agree with each other give the offset as a
function of time; then windows all through the overlap are held against each other around it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.healing.blocks import BLOCKS_PER_SECOND, Blocks, covers
from media.healing.evidence import Method, PartyMatch, Piece
from media.healing.sound import Voice
from media.pipeline.resampling import reach as filter_reach
from media.pipeline.resampling import resample

RATE: Final = 8000
"""Hz at which voices are compared: what distinguishes speech lies below 4 kHz, and every copy has that."""
LIKENESS: Final = 0.5
"""Correlation from which a window is the same sound. Low-rate speech codecs keep 0.7 and more; different speech, in the
best of some ten thousand positions, reaches 0.3."""
UNLIKENESS: Final = 0.3
"""Correlation below which a loud window is another sound."""
UNIQUE: Final = 0.8
"""The second best position, as a part of the best: tones and loops fit at many."""
LEAST_VOTES: Final = 2
"""Windows that must agree on an offset."""

_WIDE_WINDOWS: Final = 12
_NARROW_WINDOWS: Final = 160
"""Windows per voice, spread over the overlap; more change nothing but the time it takes."""
_SECONDS: Final = 2.0
"""Of a window: some syllables, with which pitch periods agree at one position only."""
_PEAK: Final = 160
"""Samples around the best position that belong to its peak: 20 ms, a pitch period of the lowest voice."""
_TRACK: Final = 240
"""Samples around the predicted position that are searched: 30 ms, what jitter buffers and drift do between windows."""
_AGREE: Final = 40
"""Samples by which windows that agree may differ, beside drift: 5 ms."""
_DRIFT: Final = 3e-4
"""Greatest drift of two sample clocks: 150 ppm each."""
_LOUD_SHARE: Final = 0.2
"""Part of a window that must be loud for it to tell anything."""
_COVERED_SHARE: Final = 0.9
_LEAST_SLOPES: Final = 6
"""Pairs of windows: four windows of one party."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A window of the first voice and where it was found in the other; samples at `RATE`."""

    at: int
    """Middle of the window on the first copy's timeline."""
    offset: float
    score: float


def correlate(voice: Voice, blocks: Blocks, other: Voice, *, around: float, reach_s: float) -> list[Found]:
    """Search windows of `voice` in `other`; return those that agree with each other.

    Args:
        voice: of the first copy.
        blocks: of `voice`.
        other: of the other copy.
        around: expected offset, frames of the voices.
        reach_s: greatest distance from it, seconds.

    """
    around_at_rate = round(around * RATE / voice.sample_rate)
    reach = round(reach_s * RATE)
    found = []
    for start in _windows(voice, blocks, other, around, _WIDE_WINDOWS):
        length = round(_SECONDS * RATE)
        window = _read(voice, start, start + length)
        first = start - around_at_rate - reach
        region = _read(other, first, first + length + 2 * reach)
        scores = _scores(window, region)
        best = int(scores.argmax())
        if scores[best] < LIKENESS or _runner_up(scores, best) > UNIQUE * scores[best]:
            continue
        found.append(Found(start + length // 2, start - first - best, float(scores[best])))
    return _agreeing(found)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two voices that belong together, and the windows that show it."""

    voice: Voice
    blocks: Blocks
    """Of `voice`."""
    other: Voice
    votes: Sequence[Found]
    """From `correlate`; at least `LEAST_VOTES`."""


def match(pairs: Sequence[Pair]) -> list[PartyMatch]:
    """Hold the parties of two copies against each other along the offsets that `correlate` found.

    Returns only what is alike all along. The copies have two clocks, whatever their parties say: one drift for all.
    """
    held = [held for pair in pairs if len((held := _hold(pair)).like) >= LEAST_VOTES]
    parts = [part for one in held for part in one.parts()]
    slope = _slope(parts)
    return [one.match(slope) for one in held]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Windows all through the overlap of two voices, held against each other."""

    pair: Pair
    around: float
    """Typical offset, frames of the voices."""
    windows: int
    unlike: int
    like: Sequence[Found]
    """In order of time."""

    def parts(self) -> list[list[Found]]:
        """Return the windows that are alike, apart where the offset steps."""
        parts = [[self.like[0]]]
        for before, found in itertools.pairwise(self.like):
            step = abs(found.offset - before.offset)
            if step > _AGREE / 2 + _DRIFT * (found.at - before.at):
                parts.append([])
            parts[-1].append(found)
        return parts

    def match(self, slope: float | None) -> PartyMatch:
        """Return the figures and the pieces along a common drift."""
        pair = self.pair
        both = pair.blocks.covered & covers(
            pair.other.audio, pair.blocks.length, -round(self.around), pair.blocks.count
        )
        loud_s = int((both & pair.blocks.loud).sum()) / BLOCKS_PER_SECOND
        alike_s = round(loud_s * len(self.like) / self.windows, 3)
        return PartyMatch(
            party=pair.voice.party,
            other=pair.other.party,
            method=Method.CORRELATED,
            pieces=_pieces(self.parts(), pair.other, slope or 0.0, pair.voice.sample_rate / RATE),
            covered_s=int(both.sum()) / BLOCKS_PER_SECOND,
            compared_s=loud_s,
            matched_s=alike_s,
            telling_s=alike_s,
            contradicted_s=round(loud_s * self.unlike / self.windows, 3),
            score=round(sum(one.score for one in self.like) / len(self.like), 4),
            drift_ppm=None if slope is None else round(slope * 1e6, 3),
        )


def _hold(pair: Pair) -> _Held:
    """Hold windows all through the overlap against each other."""
    track = _Track(pair.votes)
    length = round(_SECONDS * RATE)
    around = pair.votes[len(pair.votes) // 2].offset * pair.voice.sample_rate / RATE
    starts = _windows(pair.voice, pair.blocks, pair.other, around, _NARROW_WINDOWS)
    like: list[Found] = []
    unlike = 0
    for start in starts:
        window = _read(pair.voice, start, start + length)
        best = max((_held(window, pair.other, start, offset) for offset in track.at(start)), key=lambda one: one.score)
        if best.score >= LIKENESS:
            like.append(best)
        elif best.score < UNLIKENESS:
            unlike += 1
    return _Held(pair, around, len(starts), unlike, like)


class _Track:
    """Offsets by time, from windows that agree."""

    def __init__(self, votes: Sequence[Found]) -> None:
        self._times = np.array([vote.at for vote in votes])
        self._offsets = np.array([vote.offset for vote in votes])

    def at(self, start: int) -> list[float]:
        """Return the offsets that may hold at a time: those of the votes on either side of it."""
        after = int(np.searchsorted(self._times, start))
        nearest = {max(after - 1, 0), min(after, len(self._times) - 1)}
        offsets = sorted({float(self._offsets[number]) for number in nearest})
        if len(offsets) == 2 and offsets[1] - offsets[0] <= _TRACK:
            return [sum(offsets) / 2]
        return offsets


def _held(window: _Floats, other: Voice, start: int, offset: float) -> Found:
    """Return the best position of a window around an offset."""
    first = start - round(offset) - _TRACK
    scores = _scores(window, _read(other, first, first + len(window) + 2 * _TRACK))
    best = int(scores.argmax())
    return Found(start + len(window) // 2, start - first - best - _between(scores, best), float(scores[best]))


def _between(scores: _Floats, best: int) -> float:
    """Return how far the peak lies from the best sample, -0.5..0.5: the summit of a parabola through its neighbours."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, at, after = scores[best - 1 : best + 2].tolist()
    bend = before - 2 * at + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _windows(voice: Voice, blocks: Blocks, other: Voice, around: float, count: int) -> list[int]:
    """Return where windows begin, at `RATE`: loud, and covered by both voices; spread over the overlap."""
    size = round(_SECONDS * BLOCKS_PER_SECOND)
    there = covers(other.audio, blocks.length, -round(around), blocks.count)
    both = np.concatenate([[0], np.cumsum(blocks.covered & there)])
    loud = np.concatenate([[0], np.cumsum(blocks.loud & there)])
    starts = np.arange(0, blocks.count - size + 1, size // 2)
    if not len(starts):
        return []
    fit = (both[starts + size] - both[starts] >= _COVERED_SHARE * size) & (
        loud[starts + size] - loud[starts] >= _LOUD_SHARE * size
    )
    chosen = starts[fit]
    if not len(chosen):
        return []
    spread = np.unique(np.linspace(0, len(chosen) - 1, count).astype(np.intp))
    return [int(start) * blocks.length * RATE // voice.sample_rate for start in chosen[spread].tolist()]


def _read(voice: Voice, start: int, end: int) -> _Floats:
    """Return samples of a voice; positions at `RATE`."""
    if voice.sample_rate == RATE:
        return voice.read_linear(start, end).astype(np.float64)
    side = filter_reach(voice.sample_rate, RATE)
    first = start * voice.sample_rate // RATE
    count = -(-(end - start) * voice.sample_rate // RATE)
    samples = resample(voice.read_linear(first - side, first + count + side), voice.sample_rate, RATE)
    return samples[: end - start].astype(np.float64)


def _scores(window: _Floats, region: _Floats) -> _Floats:
    """Return the normalised correlation of a window with each position of a region, shape (positions,)."""
    size = _fast_size(len(region))
    product = np.fft.irfft(np.fft.rfft(region, size) * np.conj(np.fft.rfft(window, size)), size)
    positions = len(region) - len(window) + 1
    energy = np.concatenate([[0.0], np.cumsum(np.square(region))])
    there = np.sqrt(
        np.maximum(energy[len(window) :] - energy[: -len(window)], 1.0) * max(float(np.square(window).sum()), 1.0)
    )
    scores: _Floats = product[:positions] / there
    return scores


def _fast_size(size: int) -> int:
    """Return the next size that a fast Fourier transform likes."""
    power = 1 << (size - 1).bit_length()
    return next((candidate for candidate in (power * 5 // 8, power * 3 // 4) if candidate >= size), power)


def _runner_up(scores: _Floats, best: int) -> float:
    """Return the best score outside the peak."""
    rest = np.concatenate([scores[: max(best - _PEAK, 0)], scores[best + _PEAK :]])
    return float(rest.max(initial=0.0))


def _agreeing(found: Sequence[Found]) -> list[Found]:
    """Return the windows whose offset another one confirms, in order of time."""

    def agree(one: Found, another: Found) -> bool:
        return abs(one.offset - another.offset) <= _AGREE + _DRIFT * abs(one.at - another.at)

    kept = [one for one in found if sum(agree(one, another) for another in found) >= LEAST_VOTES]
    return sorted(kept, key=lambda one: one.at)


def _slope(parts: Sequence[Sequence[Found]]) -> float | None:
    """Return how fast the offset changes, the same for all parts; None if they are too short to tell.

    The median of the slopes between all windows of a part (Theil and Sen), each with the weight of its length in time.
    """
    slopes: list[_Floats] = []
    weights: list[_Floats] = []
    for part in parts:
        times = np.array([one.at for one in part], np.float64)
        offsets = np.array([one.offset for one in part], np.float64)
        later, earlier = np.triu_indices(len(part), 1)[::-1]
        apart = times[later] - times[earlier]
        slopes.append((offsets[later] - offsets[earlier]) / apart)
        weights.append(apart)
    if sum(len(found) for found in slopes) < _LEAST_SLOPES:
        return None
    found, weight = np.concatenate(slopes), np.concatenate(weights)
    order = np.argsort(found)
    reached = np.cumsum(weight[order])
    return float(found[order[np.searchsorted(reached, reached[-1] / 2)]])


def _pieces(parts: Sequence[Sequence[Found]], other: Voice, slope: float, factor: float) -> tuple[Piece, ...]:
    """Return the other voice cut where its offset steps; together they cover all of it."""
    pieces: list[Piece] = []
    start = 0
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        end = other.frames
        if following is not None:
            earliest = round((part[-1].at - part[-1].offset) * factor)
            latest = max(round((following[0].at - following[0].offset) * factor), earliest)
            holes = other.audio.complement(earliest, latest)
            end = int(holes.ends[(holes.ends - holes.starts).argmax()]) if len(holes) else latest
        end = max(end, start)
        if end > start:
            pieces.append(_along(part, slope, start, end, factor))
        start = end
    return tuple(pieces)


def _along(part: Sequence[Found], slope: float, start: int, end: int, factor: float) -> Piece:
    """Return the piece `[start, end)` of the other voice along a straight line; one whole offset where that does."""
    time = float(np.median([one.at for one in part]))
    offset = float(np.median([one.offset - slope * (one.at - time) for one in part]))
    # A frame of the other voice that sounds at time t has t - offset(t): solved for the frame.
    at_start, at_end = (
        (offset + slope * (frame / factor - (time - offset))) / (1 - slope) * factor for frame in (start, end)
    )
    if abs(at_end - at_start) <= 1.0:
        whole = round((at_start + at_end) / 2)
        return Piece(start, end, whole, whole)
    return Piece(start, end, at_start, at_end)
