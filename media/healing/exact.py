"""Voices that are equal sample by sample: at which offsets, and how much of them. Pure arithmetic over two voices.

Probes from the first voice are searched in the second; where several agree on an offset, all blocks are held against
each other there. What differs is searched again elsewhere, because a copy that was interrupted, or went through a
buffer that dropped or repeated samples, has several offsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.healing.blocks import BLOCKS_PER_SECOND, Blocks, Mask, are_loud, covers, stretches
from media.healing.evidence import Method, PartyMatch, Piece
from media.healing.sound import Voice

PROBES: Final = 24
"""Blocks searched for at a time: of these one or two survive even if two thirds of each copy are lost at random."""
LEAST_VOTES: Final = 2
"""Probes that must agree on an offset; one telling block occurs by chance nowhere else, but a second costs nothing."""
MAX_OFFSETS: Final = 12
"""Places at which one copy may have been interrupted or have slipped, and still be followed."""

_SEARCH_AGAIN_BLOCKS: Final = 5
"""Unexplained blocks from which another offset is looked for: 100 ms."""
_BY_CHANCE_BLOCKS: Final = 3
"""A run of blocks shorter than this between others is no piece of its own."""
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Overlay:
    """Two voices at one offset, on the blocks of the first; shape (blocks,) each."""

    offset: int
    both: Mask
    """Covered in both."""
    equal: Mask
    """Of these, equal sample by sample."""
    loud: Mask
    """Of those that are not equal, loud in either."""


def vote(voice: Voice, blocks: Blocks, other: Voice, *, chosen: Mask, around: float, reach: int) -> Counter[int]:
    """Return at which offsets probes from `chosen` blocks of `voice` are found in `other`, and how many at each.

    Args:
        voice: whose blocks are searched for.
        blocks: of `voice`.
        other: where they are searched.
        chosen: which blocks may be probes.
        around: expected offset, frames.
        reach: greatest distance from it, frames.

    """
    votes: Counter[int] = Counter()
    for frame in _probes(voice, blocks, other, chosen, around=around, reach=reach):
        needle = voice.read(frame, frame + blocks.length)
        first = round(frame - around) - reach
        content = other.read(first, first + 2 * reach + blocks.length).tobytes()
        places = _occurrences(content, needle.tobytes(), needle.itemsize)
        if len(places) == 1:
            votes[frame - (first + places[0])] += 1
    return votes


def match(
    voice: Voice, blocks: Blocks, other: Voice, votes: Counter[int], *, reach: int, fallback: float
) -> PartyMatch:
    """Hold two voices against each other at the offsets that have votes, and look for further ones nearby.

    Args:
        voice: of the first copy.
        blocks: of `voice`.
        other: of the other copy.
        votes: from `vote`; without any, the voices are only compared at `fallback`.
        reach: for further offsets, frames.
        fallback: offset to compare at when nothing is known.

    """
    offsets = [offset for offset, count in votes.most_common(MAX_OFFSETS) if count >= LEAST_VOTES]
    if not offsets:
        return _nothing_alike(voice, blocks, other, round(fallback))
    overlays = [_overlay(voice, blocks, other, offsets[0])]
    pending = offsets[1:]
    label = _labels(blocks, overlays)
    while len(overlays) < MAX_OFFSETS:
        unexplained = _unexplained(blocks, overlays, label)
        if unexplained.sum() < _SEARCH_AGAIN_BLOCKS:
            break
        if not pending:
            again = vote(voice, blocks, other, chosen=unexplained & blocks.telling, around=offsets[0], reach=reach)
            known = {overlay.offset for overlay in overlays}
            pending = [offset for offset, count in again.most_common() if count >= LEAST_VOTES and offset not in known]
            if not pending:
                break
        overlays.append(_overlay(voice, blocks, other, pending.pop(0)))
        label = _labels(blocks, overlays)
    return _summary(voice, blocks, other, overlays, label)


def _probes(voice: Voice, blocks: Blocks, other: Voice, chosen: Mask, *, around: float, reach: int) -> list[int]:
    """Return frames at which probes begin, spread over what both voices can hold."""
    if not len(other.audio):
        return []
    low = int(other.audio.starts[0]) + around - reach
    high = int(other.audio.ends[-1]) + around + reach
    frames = np.flatnonzero(chosen) * blocks.length
    frames = frames[(frames >= low) & (frames < high)]
    if not len(frames):
        return []
    spread = np.unique(np.linspace(0, len(frames) - 1, PROBES).astype(np.intp))
    return [int(frame) for frame in frames[spread]]


def _occurrences(content: bytes, needle: bytes, width: int) -> list[int]:
    """Return where, in samples, the needle lies in the content; a second place shows that it tells nothing."""
    places: list[int] = []
    found = content.find(needle)
    while found >= 0 and len(places) < 2:
        if found % width == 0:
            places.append(found // width)
        found = content.find(needle, found + 1)
    return places


def _overlay(voice: Voice, blocks: Blocks, other: Voice, offset: int) -> _Overlay:
    length, count = blocks.length, blocks.count
    both = blocks.covered & covers(other.audio, length, -offset, count)
    equal, loud = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for start, end in stretches(0, count):
        here = both[start:end]
        if not here.any():
            continue
        rows = voice.read(start * length, end * length).reshape(-1, length)
        others = other.read(start * length - offset, end * length - offset).reshape(-1, length)
        if voice.law == other.law:  # codes of different laws tell nothing about each other
            equal[start:end] = here & (rows.view(np.uint64) == others.view(np.uint64)).all(axis=1)
        differing = np.flatnonzero(here & ~equal[start:end])
        if len(differing):
            loud[start + differing] = blocks.loud[start + differing] | are_loud(others[differing], other.law)
    return _Overlay(offset, both, equal, loud)


def _labels(blocks: Blocks, overlays: Sequence[_Overlay]) -> NDArray[np.int32]:
    """Return for each block the number of the overlay that explains it, by telling blocks; `_UNKNOWN` elsewhere."""
    label = np.full(blocks.count, _UNKNOWN, np.int32)
    for number in reversed(range(len(overlays))):
        label[overlays[number].equal & blocks.telling] = number
    if len(overlays) == 1:
        return label
    known = np.flatnonzero(label != _UNKNOWN)
    runs = np.split(known, np.flatnonzero(np.diff(label[known])) + 1)
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        if len(run) < _BY_CHANCE_BLOCKS and label[before[0]] == label[after[0]]:
            label[run] = _UNKNOWN
    return label


def _unexplained(blocks: Blocks, overlays: Sequence[_Overlay], label: NDArray[np.int32]) -> Mask:
    """Mark loud blocks that both copies cover and that are equal at no offset known so far."""
    unexplained = label == _UNKNOWN
    for overlay in overlays:
        unexplained &= ~overlay.equal
    # At one offset at least the other copy has something there.
    covered = np.logical_or.reduce([overlay.both for overlay in overlays])
    found: Mask = unexplained & covered & blocks.loud
    return found


def _summary(
    voice: Voice, blocks: Blocks, other: Voice, overlays: Sequence[_Overlay], label: NDArray[np.int32]
) -> PartyMatch:
    pieces = _pieces(blocks, other, overlays, label)
    chosen = _spread(label)
    both, equal, loud = (
        np.choose(chosen, [getattr(overlay, name) for overlay in overlays]) for name in ("both", "equal", "loud")
    )
    matched = equal & (blocks.loud | blocks.telling)
    contradicted = both & ~equal & loud
    compared = int(matched.sum()) + int(contradicted.sum())
    return PartyMatch(
        party=voice.party,
        other=other.party,
        method=Method.EXACT,
        pieces=pieces,
        covered_s=_seconds(both),
        compared_s=compared / BLOCKS_PER_SECOND,
        matched_s=_seconds(matched),
        telling_s=_seconds(equal & blocks.telling),
        contradicted_s=_seconds(contradicted),
        score=int(matched.sum()) / max(compared, 1),
        drift_ppm=None,
    )


def _nothing_alike(voice: Voice, blocks: Blocks, other: Voice, offset: int) -> PartyMatch:
    overlay = _overlay(voice, blocks, other, offset)
    equal = overlay.equal & blocks.loud
    differing = overlay.both & ~overlay.equal & overlay.loud
    return PartyMatch(
        party=voice.party,
        other=other.party,
        method=Method.NONE,
        pieces=(),
        covered_s=_seconds(overlay.both),
        compared_s=_seconds(equal | differing),
        matched_s=0.0,
        telling_s=0.0,
        contradicted_s=_seconds(differing),
        score=0.0,
        drift_ppm=None,
    )


def _spread(label: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give blocks without a label that of the nearest one before, else that of the first."""
    known = np.flatnonzero(label != _UNKNOWN)
    nearest = np.maximum(np.searchsorted(known, np.arange(len(label)), "right") - 1, 0)
    return label[known[nearest]] if len(known) else np.zeros(len(label), np.int32)


def _pieces(blocks: Blocks, other: Voice, overlays: Sequence[_Overlay], label: NDArray[np.int32]) -> tuple[Piece, ...]:
    """Return the other voice cut where its offset changes; together they cover all of it."""
    known = np.flatnonzero(label != _UNKNOWN)
    if not len(known):
        return (Piece(0, other.frames, overlays[0].offset, overlays[0].offset),)
    runs = np.split(known, np.flatnonzero(np.diff(label[known])) + 1)
    pieces: list[Piece] = []
    start = 0
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        overlay = overlays[label[run[0]]]
        end = other.frames
        if following is not None:
            after = overlays[label[following[0]]]
            end = _border(
                other,
                int(run[-1] + 1) * blocks.length - overlay.offset,
                int(following[0]) * blocks.length - after.offset,
            )
        end = max(end, start)
        pieces.append(Piece(start, end, overlay.offset, overlay.offset))
        start = end
    return tuple(piece for piece in pieces if piece.end > piece.start)


def _border(other: Voice, earliest: int, latest: int) -> int:
    """Return the frame of the other voice at which its offset changes: in the longest hole of its audio, if any."""
    if latest <= earliest:
        return earliest
    holes = other.audio.complement(earliest, latest)
    if not len(holes):
        return latest
    longest = int((holes.ends - holes.starts).argmax())
    return int(holes.ends[longest])


def _seconds(blocks: Mask) -> float:
    return int(blocks.sum()) / BLOCKS_PER_SECOND
