"""How copies of a call look: the documented JSON, and lines for people; of a group, or as part of one recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.catalog import Catalog
from storage.catalog.copy_records import CopyGroup, CopyMember, CopyPair, CopyState, ProvenanceInterval
from storage.catalog.records import Role
from storage.catalog.views import iso_utc
from storage.cli.presentation import channel_of, clock, moment, printable, span

STRETCHES_SHOWN: Final = 12
"""Lines; the rest is in --json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesOfRecording:
    """What there is to say about one recording and its copies."""

    role: Role
    master_id: UUID | None
    group: CopyGroup | None
    provenance: tuple[ProvenanceInterval, ...]


async def read_copies(catalog: Catalog, recording_id: UUID) -> CopiesOfRecording | None:
    """Return what there is to say; None for a recording that nothing was ever paired with."""
    standing = await catalog.copies.standing(recording_id)
    if standing is None:
        return None
    of_group = recording_id if standing.role is not Role.MASTER else next(iter(standing.copies), recording_id)
    group_id = await catalog.copies.group_of(of_group)
    if group_id is None:
        return None
    return CopiesOfRecording(
        role=standing.role,
        master_id=standing.master_id,
        group=await catalog.copies.group(group_id),
        provenance=await catalog.copies.provenance(recording_id),
    )


def state_of(member: CopyMember, pairs: Sequence[CopyPair]) -> CopyState:
    """Return what is known of a recording in its group: a copy, perhaps one, or none."""
    own = {pair.state for pair in pairs if member.recording_id in pair.both}
    if member.role is Role.COPY or CopyState.CONFIRMED in own:
        return CopyState.CONFIRMED
    return next((state for state in (CopyState.UNDECIDED, CopyState.CANDIDATE) if state in own), CopyState.REJECTED)


def copies_json(copies: CopiesOfRecording) -> dict[str, object]:
    """Return the documented form of what a recording is among copies."""
    return {
        **(group_json(copies.group) if copies.group else {}),
        "provenance": [
            {
                "party": taken.party,
                "channel": channel_of(taken.party),
                "start_s": round(taken.start_s, 6),
                "duration_s": round(taken.duration_s, 6),
                "copy": str(taken.copy_id),
                "copy_party": taken.copy_party,
                "copy_start_s": round(taken.copy_start_s, 6),
                "exact": taken.exact,
            }
            for taken in copies.provenance
        ],
    }


def group_json(group: CopyGroup) -> dict[str, object]:
    """Return the documented form of a group."""
    return {
        "group": str(group.group_id),
        "members": [
            {
                "id": str(member.recording_id),
                "record_identifier": member.record_identifier,
                "door": member.door.value,
                "copy_state": state_of(member, group.pairs).value,
                "role": member.role.value,
                "master_id": str(member.master_id) if member.master_id else None,
                "state": member.state.value,
                "started_at": iso_utc(member.started_at),
                "ended_at": iso_utc(member.ended_at),
                "offset_s": member.offset_s,
                "given_s": member.given_s,
            }
            for member in group.members
        ],
        "pairs": [pair_json(pair) for pair in group.pairs],
    }


def pair_json(pair: CopyPair) -> dict[str, object]:
    """Return the documented form of a pair."""
    return {
        "one": str(pair.one),
        "other": str(pair.other),
        "state": pair.state.value,
        "key": pair.key_kind,
        "key_reason": pair.key_reason,
        "reason": pair.reason,
        "decided_by": pair.decided_by.value if pair.decided_by else None,
        "decided_at": iso_utc(pair.decided_at),
        "noted_at": iso_utc(pair.noted_at),
        "base": str(pair.base) if pair.base else None,
        "comparison": pair.comparison,
    }


def describe_copies(recording_id: UUID, copies: CopiesOfRecording) -> Iterator[str]:
    """Yield what `recordings show` says of copies."""
    members = copies.group.members if copies.group else ()
    pairs = copies.group.pairs if copies.group else ()
    if copies.role is Role.MASTER:
        yield "Healed from copies of this call"
    elif copies.role is Role.COPY:
        yield f"A copy; the recording of this call is {copies.master_id}"
    elif copies.role is Role.WITHDRAWN:
        yield "Was healed from copies that were separated again"
    else:
        yield "Perhaps a copy of another recording, or found not to be one"
    yield from (f"  {line}" for member in members for line in _member(member, pairs, recording_id))
    yield from (f"  {pair_line(pair, short_names(members))}" for pair in pairs)
    if copies.provenance:
        yield "Provenance    start    length  party  from"
    for taken in copies.provenance[:STRETCHES_SHOWN]:
        how = "" if taken.exact else ", fitted"
        yield (
            f"  {taken.start_s:>15.3f} s{span(taken.duration_s):>10}  {channel_of(taken.party) or taken.party}"
            f"  copy {taken.copy_id.hex[:8]} at {clock(taken.copy_start_s)}{how}"
        )
    if len(copies.provenance) > STRETCHES_SHOWN:
        yield f"  and {len(copies.provenance) - STRETCHES_SHOWN} more: --json lists all"


def short_names(members: Sequence[CopyMember]) -> Mapping[UUID, str]:
    """Return what recordings are called in sentences."""
    return {member.recording_id: member.recording_id.hex[:8] for member in members}


def pair_line(pair: CopyPair, names: Mapping[UUID, str]) -> str:
    """Return one sentence about a pair."""
    both = f"{names.get(pair.one, pair.one)} and {names.get(pair.other, pair.other)}"
    words = {
        CopyState.CANDIDATE: "perhaps copies, decided when both have ended",
        CopyState.CONFIRMED: "copies",
        CopyState.REJECTED: "not copies",
        CopyState.UNDECIDED: "not decided",
    }[pair.state]
    by = ", said by an operator" if pair.decided_by == "operator" else ""
    why = f": {printable(pair.reason)}" if pair.reason else ""
    return f"{both}: {words}{by}{why} ({printable(pair.key_reason)})"


def _member(member: CopyMember, pairs: Sequence[CopyPair], shown: UUID) -> Iterator[str]:
    mine = " (this one)" if member.recording_id == shown else ""
    yield (
        f"{member.recording_id.hex[:8]}  {state_of(member, pairs).value:<9}  {moment(member.started_at)}  "
        f"{printable(member.record_identifier)}{mine}"
    )
    if member.given_s is not None:
        place = (
            "without audio"
            if member.offset_s is None
            else f"begins {round(member.offset_s, 3) + 0:+.3f} s from the master"
        )
        yield f"          {place}, gave {span(member.given_s)} of audio"
