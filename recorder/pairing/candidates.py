"""May two recordings that share a key be copies of each other? Pure; the sound decides later.

Copies are of one call and one recorded party, and overlap in time. Recordings one after the other, of other recorded
parties (transfer, conference), and of single parties are not copies, whatever key they share.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from recorder.pairing.keys import Key, KeyKind
from storage.catalog.copy_records import RecordingFacts

CONNECTION_WITHIN: Final = timedelta(seconds=5)
"""Default for how far apart recordings may begin that only a connection id joins."""


@dataclass(frozen=True, slots=True)
class Candidacy:
    """Two recordings that may be copies."""

    key: Key
    reason: str
    """In words, for people."""


def candidacy(
    one: RecordingFacts, other: RecordingFacts, key: Key, *, connection_within: timedelta = CONNECTION_WITHIN
) -> Candidacy | None:
    """Return why two recordings that share `key` may be copies, or None if they cannot be."""
    if why_not(one, other, key, connection_within=connection_within):
        return None
    return Candidacy(key, f"{_WORDS[key.kind]} {'are' if key.kind in _PLURAL else 'is'} equal: {key.text}")


def why_not(
    one: RecordingFacts, other: RecordingFacts, key: Key, *, connection_within: timedelta = CONNECTION_WITHIN
) -> str:
    """Return why two recordings that share `key` cannot be copies; empty if they may be."""
    if _ended_before(one, other) or _ended_before(other, one):
        return "one had ended before the other began"
    apart = abs(one.started_at - other.started_at)
    if key.kind is KeyKind.CONNECTION and apart > connection_within:
        return f"they began {apart.total_seconds():.1f} s apart, more than {connection_within.total_seconds():g} s"
    if differs(one.call.record_dn, other.call.record_dn):
        return f"they record other parties: {one.call.record_dn} and {other.call.record_dn}"
    parties, others = _parties(one), _parties(other)
    if parties and others and not parties & others:
        return f"they are of other parties: {_list(parties)}, and {_list(others)}"
    if len(parties) == len(others) == 1 and parties != others:
        return f"each is of one party: {_list(parties)}, and {_list(others)}"
    return ""


def differs(one: str | None, other: str | None) -> bool:
    """Say whether both are known and not the same."""
    return bool(one and other and one != other)


def _ended_before(one: RecordingFacts, other: RecordingFacts) -> bool:
    return one.ended_at is not None and one.ended_at <= other.started_at


def _parties(facts: RecordingFacts) -> frozenset[str]:
    """Return the DNs that a recording is of; the same for copies, in whatever order their streams come."""
    return frozenset(dn for dn in (facts.call.dn, facts.call.other_dn) if dn)


def _list(parties: frozenset[str]) -> str:
    return " and ".join(sorted(parties))


_WORDS: Final = {
    KeyKind.CALL: "application, Call UUID and recorded DN",
    KeyKind.CONNECTION: "connection id and recorded DN",
    KeyKind.IDENTIFIER_PREFIX: "the Call UUID in the record identifiers",
    KeyKind.SESSION: "an identifier of the call",
}
_PLURAL: Final = (KeyKind.CALL, KeyKind.CONNECTION)
