"""Decide about the pairs of a group: compare the sound of those whose recordings have both ended.

A decision names the files that it was made from. A recording that goes on gets a new file, and its pairs are decided
anew; what a person has decided stays.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
import structlog

from media.healing import Sound, SoundUnreadable
from recorder.curator.copies.audio import AudioReader
from recorder.curator.copies.comparing import best_first, compare_sounds
from recorder.pairing.keys import names_the_call
from recorder.pairing.verdict import judge
from storage.catalog import Catalog
from storage.catalog.copy_records import (
    CopyMember,
    CopyPair,
    CopyState,
    PairDecision,
)
from storage.catalog.records import ClaimedJob, RecordingState, Role
from storage.files import FileStore

_log = structlog.get_logger()


class PairDecider:
    """Does the pair jobs of one curator."""

    def __init__(self, catalog: Catalog, store: FileStore) -> None:
        self._catalog = catalog
        self._store = store
        self._reader = AudioReader(catalog, store)

    async def decide(self, job: ClaimedJob) -> None:
        """Do one job."""
        group_id = UUID(str(job.payload["group_id"]))
        copies = self._catalog.copies
        group = await copies.group(group_id)
        if group is not None:
            members = {member.recording_id: member for member in group.members}
            sounds: dict[UUID, Sound] = {}
            for pair in group.pairs:
                decision = await self._decision(pair, members, sounds)
                if decision:
                    await copies.decide(decision)
                    _log.info(
                        "pair of recordings decided",
                        one=str(pair.one),
                        other=str(pair.other),
                        state=decision.state.value,
                        reason=decision.reason,
                        by_operator=pair.decided_by == "operator",
                    )
            group = await copies.group(group_id)
        if group is not None and (
            any(pair.state is CopyState.CONFIRMED for pair in group.pairs)
            or any(member.role is Role.COPY for member in group.members)
        ):
            await copies.enqueue_heal(group_id)
        await self._catalog.complete_job(job)

    async def _decision(
        self, pair: CopyPair, members: dict[UUID, CopyMember], sounds: dict[UUID, Sound]
    ) -> PairDecision | None:
        """Return what is new about a pair; None while nothing is."""
        both = [members[pair.one], members[pair.other]]
        if not all(member.finished for member in both):
            return None
        if (pair.one_sha256, pair.other_sha256) == (both[0].sha256, both[1].sha256) and pair.decided_by:
            return None
        for member in both:
            if member.state is RecordingState.FAILED or (member.deleted and pair.decided_by):
                return None
            if member.deleted:
                return _undecided(pair, f"{member.record_identifier} was deleted before they could be compared")
            if member.sha256 is None:
                return _undecided(pair, f"{member.record_identifier} has no audio that could be compared")
        try:
            for member in both:
                if member.recording_id not in sounds:
                    sounds[member.recording_id] = await self._reader.open(member.recording_id)
        except SoundUnreadable as error:
            return _undecided(pair, f"the sound can no longer be compared: {error}")
        base, other = best_first([pair.one, pair.other], sounds)
        comparison = await asyncio.to_thread(compare_sounds, sounds[base], sounds[other], self._store)
        verdict = judge(comparison, call_named=names_the_call(pair.key_kind))
        return PairDecision(
            one=pair.one,
            other=pair.other,
            state=verdict.state,
            reason=verdict.reason,
            base=base,
            comparison=msgspec.to_builtins(comparison),
            one_sha256=both[0].sha256,
            other_sha256=both[1].sha256,
        )


def _undecided(pair: CopyPair, reason: str) -> PairDecision | None:
    """Return that nothing can be decided; None if that is known."""
    if pair.decided_by and pair.reason == reason:
        return None
    return PairDecision(one=pair.one, other=pair.other, state=CopyState.UNDECIDED, reason=reason)
