"""Copies of a call in the catalog: keys, pairs, groups, healed masters. The rules live in SQL (`copies.sql`).

Every write is one statement that may be repeated: constraints make pairs, memberships and masters unique.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from storage.catalog.connection import Database
from storage.catalog.copy_records import (
    CopyGroup,
    CopyMember,
    CopyPair,
    CopyState,
    Decider,
    DueRecording,
    FinishedAudio,
    HealedRecording,
    MasterSource,
    PairDecision,
    Partner,
    ProvenanceInterval,
    RecordingFacts,
    Standing,
)
from storage.catalog.records import (
    CallFacts,
    ClaimedJob,
    Door,
    GapKind,
    Publication,
    PublicationRefusal,
    RecordingState,
    Role,
)
from storage.catalog.text import key, storable
from storage.catalog.views import GapView


class Copies:
    """The part of a catalog that knows of copies; use it as `Catalog.copies`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Finding.

    async def due(self, limit: int) -> list[DueRecording]:
        """Return recordings whose call data were not looked at as they are, oldest first."""
        rows = await self._database.rows("due_for_pairing", limit)
        return [DueRecording(facts=_facts(row), version=row["version"]) for row in rows]

    async def set_keys(self, keys: Mapping[UUID, Sequence[tuple[str, str]]]) -> None:
        """Replace the keys of recordings: (kind, value) each."""
        given = [
            {
                "recording_id": str(recording_id),
                "kinds": [kind for kind, _ in own],
                "values": [key(value) for _, value in own],
            }
            for recording_id, own in keys.items()
        ]
        await self._database.rows("set_keys", given)

    async def partners(self, recordings: Sequence[UUID], limit: int) -> dict[UUID, list[Partner]]:
        """Return, of those that have any, the recordings that share a key, overlap it and are not paired with it.

        At most `limit` of each, the nearest in time.
        """
        found: dict[UUID, list[Partner]] = {}
        for row in await self._database.rows("partners_of", list(recordings), limit):
            partner = Partner(facts=_facts(row), key_kind=row["key_kind"], key_value=row["key_value"])
            found.setdefault(UUID(str(row["of"])), []).append(partner)
        return found

    async def note_pair(self, one: UUID, other: UUID, *, key_kind: str, reason: str) -> bool:
        """Note two recordings that may be copies, and queue their decision if both have ended; False when known."""
        return bool(await self._database.value("note_pair", one, other, key_kind, reason))

    async def settle(self, due: Sequence[DueRecording]) -> None:
        """Say that copies of these recordings were looked for; without effect on those that have changed meanwhile."""
        recordings = [one.facts.recording_id for one in due]
        await self._database.rows("settle_pairing", recordings, [one.version for one in due])

    async def facts(self, recording_id: UUID) -> RecordingFacts | None:
        """Return what pairing knows of a recording; None for an unknown one."""
        row = await self._database.optional_row("facts_of", recording_id)
        return None if row is None else _facts(row)

    # Deciding.

    async def decide(self, decision: PairDecision) -> None:
        """Keep what the sound of two recordings showed; what a person has decided stays decided."""
        await self._database.value(
            "decide_pair",
            decision.one,
            decision.other,
            decision.state.value,
            decision.reason,
            decision.base,
            decision.comparison,
            decision.one_sha256,
            decision.other_sha256,
        )

    async def rule(
        self, pairs: Sequence[tuple[UUID, UUID]], state: CopyState, reason: str, *, by: str, action: str
    ) -> UUID:
        """Keep what a person has decided about pairs, known or not, with its audit entry; returns their group.

        The group is looked at again by a curator. `pairs` must not be empty, and have one recording in common.
        """
        ones, others = zip(*pairs, strict=True)
        return UUID(
            str(
                await self._database.value(
                    "rule_pairs", ones, others, state.value, storable(reason), storable(by), action
                )
            )
        )

    async def enqueue_heal(self, group_id: UUID) -> None:
        """Queue the healing of a group."""
        await self._database.value("enqueue_heal", group_id)

    async def enqueue_pair(self, group_id: UUID) -> None:
        """Queue the decision about a group."""
        await self._database.value("enqueue_pair", group_id)

    # Healing.

    async def audio(self, recording_id: UUID) -> FinishedAudio | None:
        """Return the finished file of a recording; None without one."""
        row = await self._database.optional_row("finished_audio", recording_id)
        if row is None:
            return None
        recorded: dict[int, list[tuple[int, int]]] = {}
        for party, start, end in row["recorded"] or ():
            recorded.setdefault(party, []).append((start, end))
        return FinishedAudio(**{**row, "recorded": recorded, "gaps": tuple(_gap(gap) for gap in row["gaps"])})

    async def sources(self, masters: Sequence[UUID]) -> dict[UUID, tuple[MasterSource, ...]]:
        """Return what healed masters were made from, best copy first."""
        found: dict[UUID, tuple[MasterSource, ...]] = {}
        for row in await self._database.rows("sources_of", list(masters)):
            source = MasterSource(
                recording_id=UUID(str(row["recording_id"])),
                sha256=row["sha256"],
                offset_s=row["offset_s"],
                given_s=row["given_s"],
            )
            master = UUID(str(row["master_id"]))
            found[master] = (*found.get(master, ()), source)
        return found

    async def publish_master(self, healed: HealedRecording, *, job: ClaimedJob) -> Publication:
        """Publish a healed master in one transaction; from then on it stands for its copies.

        Idempotent. The claim is checked, the job not completed. Obligation: remove the superseded files afterwards.
        """
        row = await self._database.row(
            "publish_master",
            healed.recording_id,
            [
                {
                    "id": str(source.recording_id),
                    "sha256": source.sha256.hex() if source.sha256 else None,
                    "offset_s": source.offset_s,
                    "given_s": source.given_s,
                    "placed": source.placed,
                }
                for source in healed.sources
            ],
            healed.state.value,
            healed.started_at,
            healed.duration_s,
            {**dataclasses.asdict(healed.file), "sha256": healed.file.sha256.hex()},
            [dataclasses.asdict(gap) for gap in healed.gaps],
            [dataclasses.asdict(interval) for interval in healed.provenance],
            [party.stored() for party in healed.ledger],
            healed.warnings,
            job.job_id,
            job.worker,
            job.lock,
        )
        return Publication(
            refused=PublicationRefusal(row["refused"]) if row["refused"] else None,
            superseded=tuple((store, path) for store, path in row["superseded"]),
        )

    async def stand_for(self, master: UUID, copies: Sequence[UUID]) -> bool:
        """Make a recording stand for copies (and for no others); it may be one of them.

        False when a stretch was taken out of one of them, which the others still have: nothing is changed.
        """
        return bool(await self._database.value("stand_for", master, list(copies)))

    async def stand_alone(self, recordings: Sequence[UUID]) -> None:
        """Make copies recordings of their own again; a healed master without copies is withdrawn."""
        await self._database.value("stand_alone", list(recordings))

    async def removable(
        self, kept_for: timedelta, limit: int, *, after: tuple[datetime, UUID] | None = None
    ) -> list[tuple[datetime, UUID]]:
        """Return copies that something stands for since so long, and that no hold and no doubt protects.

        Each with since when, in that order, after a position of it.
        """
        since, recording_id = after or (datetime.min.replace(tzinfo=UTC), UUID(int=0))
        rows = await self._database.rows("removable_copies", kept_for, since, recording_id, limit)
        return [(row["since"], UUID(str(row["id"]))) for row in rows]

    # Reading.

    async def group_of(self, recording_id: UUID) -> UUID | None:
        """Return the group of a recording; None when it has none."""
        row = await self._database.optional_row("group_of", recording_id)
        return None if row is None else UUID(str(row["group_id"]))

    async def groups(
        self, *, limit: int = 100, rejected: bool = False, recording_id: UUID | None = None
    ) -> list[CopyGroup]:
        """Return groups, the newest first; those in which nothing is a copy only with `rejected`."""
        rows = await self._database.rows("groups", limit, rejected, recording_id)
        return await self._groups([UUID(str(row["group_id"])) for row in rows])

    async def group(self, group_id: UUID) -> CopyGroup | None:
        """Return one group; None when it was joined to another one."""
        return next(iter(await self._groups([group_id])), None)

    async def standing(self, recording_id: UUID) -> Standing | None:
        """Return what a recording is among copies; None for an unknown one."""
        row = await self._database.optional_row("standing_of", recording_id)
        if row is None:
            return None
        return Standing(
            role=Role(row["role"]),
            master_id=_optional_id(row["master_id"]),
            copies=tuple(UUID(str(copy)) for copy in row["copies"]),
        )

    async def provenance(self, master: UUID) -> tuple[ProvenanceInterval, ...]:
        """Return where each stretch of a healed master comes from, by party and time."""
        return tuple(
            ProvenanceInterval(**{**row, "copy_id": UUID(str(row["copy_id"]))})
            for row in await self._database.rows("provenance_of", master)
        )

    async def _groups(self, wanted: Sequence[UUID]) -> list[CopyGroup]:
        members = [_member(row) for row in await self._database.rows("members_of", list(wanted))]
        known = {(member.group_id, member.recording_id) for member in members}
        # A recording that has joined in between brings a job of its own.
        pairs = [
            pair
            for pair in map(_pair, await self._database.rows("pairs_of", list(wanted)))
            if {(pair.group_id, pair.one), (pair.group_id, pair.other)} <= known
        ]
        return [
            CopyGroup(
                group_id=group,
                members=tuple(member for member in members if member.group_id == group),
                pairs=tuple(pair for pair in pairs if pair.group_id == group),
            )
            for group in wanted
            if any(member.group_id == group for member in members)
        ]


def _facts(row: asyncpg.Record) -> RecordingFacts:
    call = {name: row[name] for name in CallFacts.__struct_fields__}
    return RecordingFacts(
        recording_id=UUID(str(row["id"])),
        record_identifier=row["record_identifier"],
        door=Door(row["door"]),
        call=CallFacts(**call),
        parameters=tuple((name, value) for name, value in row["parameters"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def _gap(gap: Mapping[str, Any]) -> GapView:
    return GapView(
        party=gap["party"],
        start_s=float(gap["start_s"]),
        duration_s=float(gap["duration_s"]),
        kind=GapKind(gap["kind"]),
        cause=gap["cause"],
        segment_id=None,
    )


def _member(row: asyncpg.Record) -> CopyMember:
    return CopyMember(
        group_id=UUID(str(row["group_id"])),
        recording_id=UUID(str(row["id"])),
        record_identifier=row["record_identifier"],
        door=Door(row["door"]),
        role=Role(row["role"]),
        master_id=_optional_id(row["master_id"]),
        state=RecordingState(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        duration_s=row["duration_s"],
        sha256=row["sha256"],
        position=row["position"],
        offset_s=row["offset_s"],
        given_s=row["given_s"],
    )


def _pair(row: asyncpg.Record) -> CopyPair:
    values = {
        **row,
        "group_id": UUID(str(row["group_id"])),
        "one": UUID(str(row["one"])),
        "other": UUID(str(row["other"])),
        "base": _optional_id(row["base"]),
        "state": CopyState(row["state"]),
        "decided_by": Decider(row["decided_by"]) if row["decided_by"] else None,
    }
    return CopyPair(**values)


def _optional_id(value: object) -> UUID | None:
    return None if value is None else UUID(str(value))
