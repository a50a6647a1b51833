"""Heal the copies of a group: one master for each set of them, published and standing for them from then on.

Everything is derived from the group as it is: a job that was interrupted, or that comes late, does what is left to do,
and a master whose copies have not changed is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog

from media.healing import (
    Comparison,
    Healing,
    Sound,
    SoundUnreadable,
    Strand,
    by_audio,
    by_clock,
    first_strand,
    heal,
    placement_of,
    shares,
)
from recorder.curator.accounting import ledger_of_master
from recorder.curator.copies.audio import AudioReader
from recorder.curator.copies.comparing import alike, best_first, compare_sounds, steadiest_first
from recorder.curator.finalise import master_format, rendered_file, rendered_gaps, suffix_of
from recorder.depot import Depot, Draft, Subject
from recorder.pairing.components import components, masters
from recorder.settings import Settings
from storage.catalog import Catalog
from storage.catalog.copy_records import (
    CopyGroup,
    CopyMember,
    CopyState,
    HealedRecording,
    MasterSource,
    ProvenanceInterval,
)
from storage.catalog.records import ClaimedJob, RecordingState, RenderedFile, Role
from storage.files import FileStore

_log = structlog.get_logger()


class Healer:
    """Does the heal jobs of one curator."""

    def __init__(self, catalog: Catalog, settings: Settings, depot: Depot) -> None:
        self._catalog = catalog
        self._policy = settings.copies.policy
        self._format = master_format(settings)
        self._depot = depot
        self._store = depot.local
        self._reader = AudioReader(catalog, depot.local)

    async def heal(self, job: ClaimedJob) -> None:
        """Do one job."""
        group = await self._catalog.copies.group(UUID(str(job.payload["group_id"])))
        if group is not None:
            sets = components(group)
            for master, members in zip(masters(group, sets), sets, strict=True):
                # One that still runs brings a further job when it ends.
                if all(member.finished for member in members):
                    await self._stand_for(group, master, members, job)
            copies = {member.recording_id for members in sets for member in members}
            alone = [
                member.recording_id
                for member in group.members
                if member.role is Role.COPY and member.recording_id not in copies
            ]
            if alone:
                await self._catalog.copies.stand_alone(alone)
        await self._catalog.complete_job(job)

    async def _stand_for(self, group: CopyGroup, master: UUID, members: Sequence[CopyMember], job: ClaimedJob) -> None:
        """Make the master of one set of copies, unless it is there and of the same audio."""
        present = {member.recording_id: member.sha256 for member in members}
        known = await self._catalog.copies.sources([master])
        standing = all(member.master_id == master for member in members)
        if any(member.deleted for member in members):
            # The master has what the deleted copies had: made anew it would lose that.
            return
        if standing and present == {source.recording_id: source.sha256 for source in known.get(master, ())}:
            return
        try:
            sounds = {
                member.recording_id: await self._reader.open(member.recording_id)
                for member in members
                if member.sha256 is not None
            }
        except SoundUnreadable as error:
            # What was healed before stays as it is.
            _log.warning("copies not healed", master=str(master), reason=str(error))
            return
        order = best_first(list(sounds), sounds)
        if self._policy == "best" and not known:
            best = order[0] if order else members[0].recording_id
            stands = all(member.master_id == best for member in members if member.recording_id != best)
            if not stands and not await self._catalog.copies.stand_for(best, list(present)):
                _log.info("the best copy does not stand for the others", best=str(best), reason="redacted")
            return
        if order:
            subject = await self._subject(master, members)
            with await asyncio.to_thread(self._depot.draft, subject) as draft:
                healed = await asyncio.to_thread(
                    self._make,
                    group,
                    master,
                    members,
                    {one: sounds[one] for one in steadiest_first(order, sounds)},
                    draft,
                )
                await self._depot.publish(draft)
            await self._publish(healed, job)

    async def _subject(self, master: UUID, members: Sequence[CopyMember]) -> Subject:
        """Put a master where its first copy would go: it is of the same call."""
        first = min(members, key=lambda member: (member.started_at, member.recording_id))
        recording = await self._catalog.recording_segments(first.recording_id)
        facts = recording.facts if recording else {}
        return Subject(master, first.started_at, {**facts, "identifier": first.record_identifier})

    async def _publish(self, healed: HealedRecording, job: ClaimedJob) -> None:
        publication = await self._catalog.copies.publish_master(healed, job=job)
        log = _log.bind(master=str(healed.recording_id), copies=[str(one.recording_id) for one in healed.sources])
        if publication.refused:
            # A copy has changed; its end queues this job again. The file is nobody's.
            await self._catalog.files.withdraw(healed.recording_id)
            log.info("healed master not published", reason=publication.refused.value)
            return
        log.info(
            "copies healed",
            seconds=round(healed.duration_s, 3),
            given={str(one.recording_id): round(one.given_s, 3) for one in healed.sources},
            gaps=len(healed.gaps),
            path=healed.file.path,
        )

    def _make(
        self,
        group: CopyGroup,
        master: UUID,
        members: Sequence[CopyMember],
        sounds: Mapping[UUID, Sound],
        draft: Draft,
    ) -> HealedRecording:
        """Heal into the draft and seal it."""
        ids = list(sounds)
        same = dict(zip(ids, alike(list(sounds.values()), self._store), strict=True))
        strands, warnings = place(group, same, self._store)
        draft.path.unlink()
        healing = heal(list(strands.values()), draft.path, format_=self._format)
        draft.seal(suffix_of(healing.format))
        order = list(strands)
        given = shares(healing.provenance, healing.sample_rate)
        placed = [
            MasterSource(
                recording_id=one,
                sha256=next(member.sha256 for member in members if member.recording_id == one),
                offset_s=_offset_s(strands[one], healing),
                given_s=given.get(number, 0.0),
                placed=_placed(strands[one], healing),
            )
            for number, one in enumerate(order)
        ]
        without_audio = [
            MasterSource(recording_id=member.recording_id, sha256=None, offset_s=None, given_s=0.0)
            for member in members
            if member.sha256 is None
        ]
        return _healed(
            master,
            members,
            (*placed, *without_audio),
            healing,
            rendered_file(draft.sealed, healing),
            order=order,
            warnings=warnings,
        )


def place(
    group: CopyGroup, sounds: Mapping[UUID, Sound], store: FileStore
) -> tuple[dict[UUID, Strand], tuple[str, ...]]:
    """Put copies on the timeline of the first one: by what comparisons found, else by their clocks.

    Args:
        group: with the pairs that connect the copies.
        sounds: in one format, best copy first.
        store: for scratch files.

    """
    first, *waiting = sounds
    placed = {first: first_strand(sounds[first])}
    warnings: list[str] = []
    while waiting:
        one, base = _next_to_place(group, waiting, placed)
        comparison = _known_comparison(group, base, one, sounds[one].sample_rate)
        comparison = comparison or compare_sounds(sounds[base], sounds[one], store)
        if any(match.pieces for match in comparison.parties):
            placed[one] = by_audio(sounds[one], comparison, placed[base])
        else:
            same = {party: party for party in sounds[one].voices}
            placed[one] = by_clock(sounds[one], sounds[first], same, guessed=True)
            warnings.append(f"placed by clock: nothing in the sound of {one} shows where it belongs")
        waiting.remove(one)
    # Best copy first, whatever the order of placing.
    return {one: placed[one] for one in sounds}, tuple(warnings)


def _next_to_place(group: CopyGroup, waiting: Sequence[UUID], placed: Mapping[UUID, Strand]) -> tuple[UUID, UUID]:
    """Return the best copy that a confirmed pair connects with one that is placed, and that one."""
    confirmed = [pair.both for pair in group.pairs if pair.state is CopyState.CONFIRMED]
    for one in waiting:
        for base in placed:
            if {one, base} in confirmed:
                return one, base
    return waiting[0], next(iter(placed))


def _known_comparison(group: CopyGroup, base: UUID, other: UUID, sample_rate: int) -> Comparison | None:
    """Return what deciding found about two copies, if it was on the timeline of `base` and of the files as they are."""
    present = {member.recording_id: member.sha256 for member in group.members}
    for pair in group.pairs:
        fresh = (pair.one_sha256, pair.other_sha256) == (present.get(pair.one), present.get(pair.other))
        if pair.both == {base, other} and pair.base == base and pair.comparison and fresh:
            found = msgspec.convert(pair.comparison, Comparison)
            return found if found.sample_rate == sample_rate else None
    return None


def _offset_s(strand: Strand, healing: Healing) -> float:
    """Return where a copy begins on the master's timeline, seconds; negative if the master begins later."""
    zero = (healing.started_at_ns - strand.origin_ns) * healing.sample_rate / 1e9
    starts = [pieces[0].start + pieces[0].offset - pieces[0].start for pieces in strand.pieces.values() if pieces]
    return float((min(starts, default=0.0) - zero) / healing.sample_rate)


def _placed(strand: Strand, healing: Healing) -> Mapping[str, object] | None:
    """Return where a copy lies on the master, to be kept; None where only clocks say so."""
    zero = round((healing.started_at_ns - strand.origin_ns) * healing.sample_rate / 1e9)
    placement = placement_of(strand, healing.sample_rate, zero)
    return msgspec.to_builtins(placement) if placement.known else None


def _healed(
    master: UUID,
    members: Sequence[CopyMember],
    sources: tuple[MasterSource, ...],
    healing: Healing,
    file: RenderedFile,
    *,
    order: Sequence[UUID],
    warnings: tuple[str, ...],
) -> HealedRecording:
    rate = healing.sample_rate
    whole = any(member.state is RecordingState.COMPLETE for member in members)
    return HealedRecording(
        recording_id=master,
        sources=sources,
        state=RecordingState.COMPLETE if whole else RecordingState.INTERRUPTED,
        started_at=datetime.fromtimestamp(healing.started_at_ns / 1e9, UTC),
        duration_s=healing.duration_s,
        file=file,
        gaps=rendered_gaps(healing.gaps, rate),
        provenance=tuple(
            ProvenanceInterval(
                party=taken.party,
                start_s=taken.start_frame / rate,
                duration_s=taken.frames / rate,
                copy_id=order[taken.copy],
                copy_party=taken.copy_party,
                copy_start_s=taken.copy_frame / rate,
                exact=taken.exact,
            )
            for taken in healing.provenance
        ),
        ledger=ledger_of_master(healing, order),
        warnings=warnings,
    )
