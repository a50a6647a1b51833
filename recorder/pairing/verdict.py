"""What a comparison of two recordings proves: confirmed, rejected or undecided, with the reason in words and figures.

Pure. The rules, and why they are so, are in docs/copies.md; every number of them is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from media.healing import Comparison, Method, PartyMatch
from storage.catalog.copy_records import CopyState

LEAST_OVERLAP_S: Final = 1.0
"""Recordings that share less time are one after the other; a transfer or a restart overlaps by that."""
LEAST_PROOF_S: Final = 2.0
"""Telling sound that two parties together must have in common."""
LEAST_PROOF_OF_A_PARTY_S: Final = 0.5
"""What a party needs of it to count as one of the two."""
LEAST_PROOF_ALONE_S: Final = 3.0
"""Telling sound that is enough where only one party is heard and the key names the call."""
CLOCKS_AGREE_S: Final = 1.0
"""Where only one party is heard, sound and clocks must agree to this: an announcement begins when its call does."""
STRAY_S: Final = 0.5
"""Contradiction that every comparison may show: borders, a click, a slip of a buffer."""
TOLERATED: Final = {Method.EXACT: 0.02, Method.CORRELATED: 0.1, Method.NONE: 0.02}
"""Share of the compared time that may contradict. Equal samples leave no room for doubt, likeness does."""
REFUTED: Final = 0.2
"""Share of the compared time whose contradiction shows that the recordings are of different calls."""
PARTY_REFUTED: Final = 0.5
"""The same for one party: a customer who is somebody else, however much the agent is the same."""
PARTY_COMPARED_S: Final = 1.5
"""A party of whom less was compared refutes nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a candidate."""

    state: CopyState
    reason: str
    """One sentence with its figures."""


def judge(comparison: Comparison, *, call_named: bool) -> Verdict:
    """Decide about two candidates.

    Args:
        comparison: of their sound.
        call_named: the key that joined them belongs to one call only (`KeyKind.names_the_call`).

    """
    if comparison.overlap_s < LEAST_OVERLAP_S:
        return _rejected(f"they overlap by {comparison.overlap_s:.1f} s only: one after the other, not copies")
    heard = [match for match in comparison.parties if match.compared_s]
    refuted = _refuted(heard)
    if refuted:
        return _rejected(refuted)
    if comparison.lone or comparison.other_lone:
        parties = ", ".join(party_name(party) for party in [*comparison.lone, *comparison.other_lone])
        return _rejected(f"only one of them has the party that is heard there ({parties}): recordings per party")
    doubt = _doubt(heard)
    if doubt:
        return _undecided(doubt)
    proven = [match for match in heard if match.telling_s >= LEAST_PROOF_OF_A_PARTY_S]
    proof_s = sum(match.telling_s for match in proven)
    if len(proven) > 1 and proof_s >= LEAST_PROOF_S:
        return _confirmed(comparison, proven)
    return _one_party(comparison, proven, proof_s, call_named=call_named)


def party_name(party: int) -> str:
    """Return what people call a party."""
    return ("left", "right")[party] if party in (0, 1) else f"party {party}"


def _refuted(heard: Sequence[PartyMatch]) -> str:
    """Return why the sound shows different calls; empty if it does not."""
    for match in heard:
        if match.compared_s >= PARTY_COMPARED_S and match.contradicted_s >= PARTY_REFUTED * match.compared_s:
            return (
                f"{_pair(match)} differ: {match.contradicted_s:.1f} s of the {match.compared_s:.1f} s"
                " in which one of them is heard"
            )
    compared, contradicted = _sum(heard)
    if contradicted >= max(REFUTED * compared, PARTY_COMPARED_S):
        return f"{contradicted:.1f} s of {compared:.1f} s compared differ"
    return ""


def _doubt(heard: Sequence[PartyMatch]) -> str:
    """Return why the sound leaves a doubt; empty if it does not."""
    compared, contradicted = _sum(heard)
    tolerated = sum(TOLERATED[match.method] * match.compared_s for match in heard)
    if contradicted > max(tolerated, STRAY_S):
        return f"{contradicted:.1f} s of {compared:.1f} s compared differ: too much for copies, too little for others"
    if not any(match.telling_s for match in heard):
        return "nothing in the time they share can prove anything: silence, tones, or what repeats itself"
    return ""


def _one_party(comparison: Comparison, proven: Sequence[PartyMatch], proof_s: float, *, call_named: bool) -> Verdict:
    """Decide where at most one party is heard: music or an announcement would sound the same in other calls."""
    if not proven or proof_s < LEAST_PROOF_ALONE_S:
        wanted = LEAST_PROOF_S if len(proven) > 1 else LEAST_PROOF_ALONE_S
        return _undecided(f"{proof_s:.1f} s of the same sound is too little; {wanted:g} s would be enough")
    (match,) = proven
    alone = f"only {_pair(match)} are heard and the same"
    if not call_named:
        return _undecided(f"{alone}: music or an announcement would be so in another call as well")
    if match.method is not Method.EXACT:
        return _undecided(f"{alone}, and they are alike, not equal")
    apart_s = abs(comparison.offset - comparison.clock_offset) / comparison.sample_rate
    if apart_s > CLOCKS_AGREE_S:
        return _undecided(f"{alone}, but {apart_s:.1f} s off the clocks: an announcement of another call would be so")
    return _confirmed(comparison, proven)


def _confirmed(comparison: Comparison, proven: Sequence[PartyMatch]) -> Verdict:
    compared, contradicted = _sum(comparison.parties)
    exact = all(match.method is Method.EXACT for match in proven)
    how = "equal sample by sample" if exact else "alike"
    text = f"{compared - contradicted:.1f} s of {compared:.1f} s compared are {how}"
    if not exact:
        score = min(match.score for match in proven if match.method is Method.CORRELATED)
        text += f" (correlation {score:.2f})"
    if any(match.party != match.other for match in proven):
        text += ", parties in the other order"
    return Verdict(CopyState.CONFIRMED, text)


def _pair(match: PartyMatch) -> str:
    if match.party == match.other:
        return f"the {party_name(match.party)} parties"
    return f"{party_name(match.party)} and the other's {party_name(match.other)}"


def _sum(matches: Sequence[PartyMatch]) -> tuple[float, float]:
    return sum(match.compared_s for match in matches), sum(match.contradicted_s for match in matches)


def _rejected(reason: str) -> Verdict:
    return Verdict(CopyState.REJECTED, reason)


def _undecided(reason: str) -> Verdict:
    return Verdict(CopyState.UNDECIDED, reason)
