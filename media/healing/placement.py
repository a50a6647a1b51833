"""Copies on one timeline: where every stretch of each copy's parties lies on that of the first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from media.healing.evidence import Comparison, Piece
from media.healing.sound import Sound, Voice
from media.pipeline.canvas import Rows
from media.pipeline.codec import Samples
from media.pipeline.codec.g711 import compress
from media.pipeline.intervals import Intervals

_TAPS: Final = 16
_PHASES: Final = 512
"""Positions between two samples: finer than the noise of 16 bits at the end of the band."""
_CHUNK: Final = 65_536


def _filters() -> NDArray[np.float64]:
    """Return the coefficients for each position between two samples, shape (phases + 1, taps); rows add up to 1."""
    distance = np.arange(_TAPS)[None, :] - (_TAPS // 2 - 1) - (np.arange(_PHASES + 1) / _PHASES)[:, None]
    inside = np.clip(1.0 - (distance / (_TAPS // 2)) ** 2, 0.0, None)
    taps = np.sinc(distance) * np.i0(6.0 * np.sqrt(inside)) * (inside > 0)
    filters: NDArray[np.float64] = taps / taps.sum(axis=1, keepdims=True)
    return filters


_FILTERS: Final = _filters()


@dataclass(frozen=True, slots=True, eq=False)
class Strand:
    """A copy whose place on the timeline of the first one is known."""

    sound: Sound
    origin_ns: int
    """Wall clock of the timeline's frame 0, that of the first copy."""
    pieces: Mapping[int, tuple[Piece, ...]]
    """Per party of the copy, in order of time."""
    parties: Mapping[int, int]
    """Party of the copy to that of the master."""
    proven: frozenset[int]
    """Parties of the copy that the audio showed to be those of the master."""
    guessed: bool = False
    """Nothing shows which party is which: `parties` may have them the other way round."""


def first_strand(sound: Sound) -> Strand:
    """Return the copy whose timeline all others are placed on."""
    whole = (Piece(0, sound.frames, 0, 0),)
    return Strand(
        sound,
        sound.started_at_ns,
        dict.fromkeys(sound.voices, whole),
        {party: party for party in sound.voices},
        frozenset(sound.voices),
    )


def by_audio(sound: Sound, comparison: Comparison, onto: Strand) -> Strand:
    """Place a copy by what its comparison with a copy that is placed already found."""
    best = max(comparison.parties, key=lambda match: match.telling_s)
    pieces: dict[int, tuple[Piece, ...]] = {}
    parties: dict[int, int] = {}
    for match in comparison.parties:
        pieces[match.other] = tuple(_onto(match.pieces or best.pieces, onto.pieces[match.party]))
        parties[match.other] = onto.parties[match.party]
    free = max(onto.parties.values(), default=-1) + 1
    for party in sound.voices:
        if party not in parties:
            # Quiet while both ran: neither lost nor mixed with anybody else.
            pieces[party] = tuple(_onto(best.pieces, onto.pieces[best.party]))
            parties[party], free = free, free + 1
    proven = frozenset(match.other for match in comparison.parties if match.matched_s)
    return Strand(sound, onto.origin_ns, pieces, parties, proven)


def by_clock(sound: Sound, reference: Sound, parties: Mapping[int, int], *, guessed: bool = False) -> Strand:
    """Place a copy by the wall clocks alone.

    Args:
        sound: the copy.
        reference: the first copy.
        parties: party of the copy to that of the master.
        guessed: see `Strand`.

    """
    offset = round((sound.started_at_ns - reference.started_at_ns) * sound.sample_rate / 1e9)
    whole = (Piece(0, sound.frames, offset, offset),)
    return Strand(sound, reference.started_at_ns, dict.fromkeys(sound.voices, whole), parties, frozenset(), guessed)


def spans(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, Piece]]:
    """Yield where on the master's timeline each piece lies; one that would repeat what is there begins later."""
    reached: int | None = None
    for piece in pieces:
        start, end = round(piece.start + piece.offset), round(piece.end + piece.end_offset)
        if reached is not None:
            start = max(start, reached)
        if end > start:
            yield start, end, piece
            reached = end


def on_master(found: Intervals, pieces: Sequence[Piece]) -> Intervals:
    """Return intervals of a copy's frames as intervals of the master's timeline."""
    moved = []
    for start, end, piece in spans(pieces):
        inside = Intervals.union(np.maximum(found.starts, piece.start), np.minimum(found.ends, piece.end))
        if piece.constant:
            starts, ends = inside.starts + int(piece.offset), inside.ends + int(piece.offset)
        else:
            # Inwards: a frame of the master needs samples of the copy on both of its sides.
            starts = np.ceil(_moved(inside.starts, piece)).astype(np.int64)
            ends = np.floor(_moved(inside.ends, piece)).astype(np.int64)
        moved.append(Intervals.union(np.maximum(starts, start), np.minimum(ends, end)))
    return Intervals.merged(*moved)


def read_placed(voice: Voice, piece: Piece, start: int, end: int) -> Rows:
    """Return the master's frames `[start, end)` out of a piece of a voice: codes or samples as the voice has them.

    Samples are moved by whole frames where the offset is constant, else interpolated between neighbours.
    """
    if piece.constant:
        return voice.read(start - int(piece.offset), end - int(piece.offset))
    stretch = (piece.end - piece.start) / ((piece.end + piece.end_offset) - (piece.start + piece.offset))
    places = piece.start + (np.arange(start, end) - (piece.start + piece.offset)) * stretch
    linear = interpolated(voice, places.astype(np.float64))
    return linear if voice.law is None else compress(linear, voice.law)


def interpolated(voice: Voice, places: NDArray[np.float64]) -> Samples:
    """Return the samples of a voice at fractional frames, rising; a windowed sinc of `_TAPS` taps."""
    samples = np.empty(len(places), np.int16)
    for start in range(0, len(places), _CHUNK):
        wanted = places[start : start + _CHUNK]
        whole = np.floor(wanted).astype(np.int64)
        phase = np.rint((wanted - whole) * _PHASES).astype(np.int64)
        first = int(whole[0]) - _TAPS // 2 + 1
        around = voice.read_linear(first, int(whole[-1]) + _TAPS // 2 + 1).astype(np.float64)
        rows = sliding_window_view(around, _TAPS)[whole - whole[0]]
        total = (rows * _FILTERS[phase]).sum(axis=1)
        samples[start : start + _CHUNK] = np.clip(np.rint(total), -32768, 32767)
    return samples


def _moved(frames: NDArray[np.int64], piece: Piece) -> NDArray[np.float64]:
    share = (frames - piece.start) / max(piece.end - piece.start, 1)
    moved: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        frames + piece.offset + share * (piece.end_offset - piece.offset)
    )
    return moved


def _onto(pieces: Sequence[Piece], base: Sequence[Piece]) -> Iterator[Piece]:
    """Yield pieces that lie on a copy's timeline as pieces on the timeline which that copy lies on."""
    for piece in pieces:
        for number, below in enumerate(base):
            start = piece.start if number == 0 else max(piece.start, round(below.start - piece.offset))
            end = piece.end if number == len(base) - 1 else min(piece.end, round(below.end - piece.offset))
            if end > start:
                yield Piece(
                    start,
                    end,
                    _offset_at(piece, start) + _offset_at(below, start + _offset_at(piece, start)),
                    _offset_at(piece, end) + _offset_at(below, end + _offset_at(piece, end)),
                )


def _offset_at(piece: Piece, frame: float) -> float:
    if piece.offset == piece.end_offset:
        return piece.offset
    return piece.offset + (frame - piece.start) / (piece.end - piece.start) * (piece.end_offset - piece.offset)
