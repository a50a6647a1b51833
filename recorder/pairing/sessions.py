"""What two sessions of one recording are that ran at the same time: the same parties, or others.

Pure. They have one record identifier, so that less proof is wanted than of copies (`verdict`): a wrong "other" costs
channels of their own, a wrong "same" would cover what one party said.
"""

from __future__ import annotations

from typing import Final

from media.healing import Comparison, Method, Relation, Sound
from recorder.pairing.verdict import (
    CLOCKS_AGREE_S,
    LEAST_OVERLAP_S,
    LEAST_PROOF_OF_A_PARTY_S,
    LEAST_PROOF_S,
    PARTY_COMPARED_S,
    PARTY_REFUTED,
    STRAY_S,
    TOLERATED,
)

LEAST_SHARE: Final = 0.5
"""Of the shorter session: sessions that share less than that, and less than a second, follow each other."""


def relate(comparison: Comparison, one: Sound, other: Sound) -> Relation:
    """Decide about two sessions."""
    begins_s = comparison.clock_offset / comparison.sample_rate
    overlap_s = min(one.seconds, other.seconds + begins_s) - max(0.0, begins_s)
    if overlap_s < min(LEAST_OVERLAP_S, LEAST_SHARE * min(one.seconds, other.seconds)):
        return Relation.CONTINUED
    heard = [match for match in comparison.parties if match.compared_s]
    contradicted_s = sum(match.contradicted_s for match in heard)
    tolerated_s = max(sum(TOLERATED[match.method] * match.compared_s for match in heard), STRAY_S)
    refuted = any(
        match.compared_s >= PARTY_COMPARED_S and match.contradicted_s >= PARTY_REFUTED * match.compared_s
        for match in heard
    )
    proven = [match for match in heard if match.telling_s >= LEAST_PROOF_OF_A_PARTY_S]
    # Equal samples at one offset are no accident, however few they are.
    enough_s = LEAST_PROOF_OF_A_PARTY_S if any(one.method is Method.EXACT for one in proven) else LEAST_PROOF_S
    # What is said again later, or played again, is not the same moment.
    at_once = abs(comparison.offset / comparison.sample_rate - begins_s) <= CLOCKS_AGREE_S
    proven_s = sum(match.telling_s for match in proven)
    if proven_s >= enough_s and at_once and contradicted_s <= tolerated_s and not refuted:
        return Relation.SAME
    if not heard and not comparison.lone and not comparison.other_lone:
        # Nobody said anything while both ran.
        return Relation.CONTINUED
    return Relation.OTHER
