"""Two copies of a call held against each other: which parties belong together, at which offsets, how much is the same.

Works on sounds alone, never on call data, and decides nothing: see `evidence`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from media.healing import correlation, exact
from media.healing.blocks import BLOCKS_PER_SECOND, Blocks, block_length, covers, take_blocks
from media.healing.evidence import Comparison, PartyMatch
from media.healing.sound import Sound, Voice
from media.pipeline.intervals import Intervals

NEAR_S: Final = 2.5
"""Seconds around the offset that the clocks say, searched first: recorders of one site agree better than that."""
FAR_S: Final = 30.0
"""Seconds searched where nothing is found nearer: a recorder whose clock nobody keeps."""
CORRELATION_FAR_S: Final = 10.0
"""The same for correlation, where each further second costs."""

_MOST_PARTIES: Final = 4
"""All ways of putting so many parties together are tried; beyond it the best pairs are taken one by one."""
_HEARD_S: Final = 1.0
"""A party that is loud for less than this during the overlap is not missed in the other copy."""


class _Pair(NamedTuple):
    party: int
    other: int


def compare(sound: Sound, other: Sound) -> Comparison:
    """Hold two copies against each other; both must have the same sample rate.

    Args:
        sound: the first copy; its timeline is that of the result.
        other: the other copy.

    """
    blocks = {party: take_blocks(voice) for party, voice in sound.voices.items()}
    clock_offset = (other.started_at_ns - sound.started_at_ns) * sound.sample_rate / 1e9
    matches = _exact_matches(sound, other, blocks, clock_offset)
    matches += _correlated_matches(sound, other, blocks, matches, clock_offset)
    matches = _by_elimination(sound, other, blocks, matches, clock_offset)
    offset = max(matches, key=lambda match: match.telling_s).offset if matches else None
    return Comparison(
        overlap_s=_overlap_s(sound, other, clock_offset if offset is None else offset),
        sample_rate=sound.sample_rate,
        clock_offset=clock_offset,
        parties=tuple(sorted(matches, key=lambda match: match.party)),
        lone=_lone(sound, other, {match.party for match in matches}, clock_offset if offset is None else offset),
        other_lone=_lone(
            other, sound, {match.other for match in matches}, -(clock_offset if offset is None else offset)
        ),
    )


def _exact_matches(sound: Sound, other: Sound, blocks: Mapping[int, Blocks], clock_offset: float) -> list[PartyMatch]:
    """Return the parties that are equal sample by sample."""
    if sound.law != other.law:
        return []
    votes: dict[_Pair, Counter[int]] = {}
    for reach_s in (NEAR_S, FAR_S):
        reach = round(reach_s * sound.sample_rate)
        for party, voice in sound.voices.items():
            for number, another in other.voices.items():
                votes[_Pair(party, number)] = exact.vote(
                    voice, blocks[party], another, chosen=blocks[party].telling, around=clock_offset, reach=reach
                )
        if any(_best(found) >= exact.LEAST_VOTES for found in votes.values()):
            break
    # Both parties of a copy lie at one offset; the same words at another time are another call's, or an announcement.
    anchor = sum(votes.values(), Counter()).most_common(1)
    votes = {pair: _near(found, anchor[0][0], sound.sample_rate) for pair, found in votes.items()} if anchor else votes
    pairs = _together({pair: found.total() for pair, found in votes.items() if _best(found) >= exact.LEAST_VOTES})
    return [
        exact.match(
            sound.voices[pair.party],
            blocks[pair.party],
            other.voices[pair.other],
            votes[pair],
            reach=round(NEAR_S * sound.sample_rate),
            fallback=clock_offset,
        )
        for pair in pairs
    ]


def _correlated_matches(
    sound: Sound, other: Sound, blocks: Mapping[int, Blocks], matches: Sequence[PartyMatch], clock_offset: float
) -> list[PartyMatch]:
    """Return the parties that are alike, of those that `matches` leaves over."""
    left = [voice for party, voice in sound.voices.items() if party not in {match.party for match in matches}]
    others = [voice for party, voice in other.voices.items() if party not in {match.other for match in matches}]
    known = [match.offset for match in matches if match.offset is not None]
    around = float(np.median(known)) if known else clock_offset
    for reach_s in (NEAR_S,) if known else (NEAR_S, CORRELATION_FAR_S):
        found = {
            _Pair(voice.party, another.party): correlation.correlate(
                voice, blocks[voice.party], another, around=around, reach_s=reach_s
            )
            for voice in left
            for another in others
        }
        enough = _at_one_offset(found)
        pairs = _together({pair: sum(one.score for one in votes) for pair, votes in enough.items()})
        alike = correlation.match(
            [
                correlation.Pair(sound.voices[pair.party], blocks[pair.party], other.voices[pair.other], enough[pair])
                for pair in pairs
            ]
        )
        if alike:
            return alike
    return []


def _by_elimination(
    sound: Sound,
    other: Sound,
    blocks: Mapping[int, Blocks],
    matches: Sequence[PartyMatch],
    clock_offset: float,
) -> list[PartyMatch]:
    """Put the parties that are left over together in their order, and hold them against each other as they lie."""
    left = [party for party in sound.voices if party not in {match.party for match in matches}]
    others = [party for party in other.voices if party not in {match.other for match in matches}]
    known = [match.offset for match in matches if match.offset is not None]
    offset = float(np.median(known)) if known else clock_offset
    return [
        *matches,
        *(
            exact.match(sound.voices[party], blocks[party], other.voices[number], Counter(), reach=0, fallback=offset)
            for party, number in zip(left, others, strict=False)
        ),
    ]


def _together(weights: Mapping[_Pair, float]) -> list[_Pair]:
    """Return the pairs, each party at most once, whose weights add up to the most."""
    parties = sorted({pair.party for pair in weights})
    others = sorted({pair.other for pair in weights})
    if max(len(parties), len(others)) > _MOST_PARTIES:
        chosen: list[_Pair] = []
        for pair in sorted(weights, key=lambda pair: -weights[pair]):
            if all(pair.party != one.party and pair.other != one.other for one in chosen):
                chosen.append(pair)
        return sorted(chosen)
    width = len(parties)
    ways = itertools.permutations([*others, *([None] * width)], width)
    best = max(ways, key=lambda way: sum(_weight(weights, pair) for pair in zip(parties, way, strict=True)))
    pairs = [_Pair(party, number) for party, number in zip(parties, best, strict=True) if number is not None]
    return [pair for pair in pairs if pair in weights]


def _near(votes: Counter[int], anchor: int, sample_rate: int) -> Counter[int]:
    """Return the votes for offsets that one copy can have together with `anchor`."""
    reach = NEAR_S * sample_rate
    return Counter({offset: count for offset, count in votes.items() if abs(offset - anchor) <= reach})


def _at_one_offset(found: Mapping[_Pair, list[correlation.Found]]) -> dict[_Pair, list[correlation.Found]]:
    """Return the windows that lie near the offset of the pair with most of them, of pairs that have enough."""
    most = max(found.values(), key=len, default=[])
    if not most:
        return {}
    anchor = float(np.median([one.offset for one in most]))
    near = {
        pair: [one for one in votes if abs(one.offset - anchor) <= NEAR_S * correlation.RATE]
        for pair, votes in found.items()
    }
    return {pair: votes for pair, votes in near.items() if len(votes) >= correlation.LEAST_VOTES}


def _weight(weights: Mapping[_Pair, float], pair: tuple[int, int | None]) -> float:
    party, other = pair
    return 0.0 if other is None else weights.get(_Pair(party, other), 0.0)


def _best(votes: Counter[int]) -> int:
    return max(votes.values(), default=0)


def _overlap_s(sound: Sound, other: Sound, offset: float) -> float:
    """Return the seconds that lie inside both copies."""
    frames = min(sound.frames, other.frames + offset) - max(0.0, offset)
    return round(max(frames, 0.0) / sound.sample_rate, 3)


def _lone(sound: Sound, other: Sound, paired: set[int], offset: float) -> list[int]:
    """Return the parties without a counterpart that are heard while the other copy runs."""
    return [
        party
        for party, voice in sound.voices.items()
        if party not in paired and _heard_s(voice, Intervals.of((0, other.frames)), round(offset)) >= _HEARD_S
    ]


def _heard_s(voice: Voice, span: Intervals, offset: int) -> float:
    blocks = take_blocks(voice)
    inside = covers(span, block_length(voice.sample_rate), -offset, blocks.count)
    return int((blocks.loud & inside).sum()) / BLOCKS_PER_SECOND
