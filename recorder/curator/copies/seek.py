"""Find recordings that may be copies of each other, while they are still being recorded. Never in the path of a 200.

Keys are written before partners are looked for: of two recordings that two curators look at together, at least one is
seen by the other. Both may be; the pair is noted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from recorder.pairing.candidates import Candidacy, candidacy
from recorder.pairing.keys import Key, KeyKind, keys_of
from recorder.settings import CopySettings
from storage.catalog.copies import Copies
from storage.catalog.copy_records import DueRecording, Partner, RecordingFacts

_log = structlog.get_logger()

_BATCH: Final = 20
"""Recordings that are looked at together: what is written to them meanwhile waits for all of them."""
_PARTNERS: Final = 50
"""Recordings with a common key that are looked at, nearest in time first; a call has two or three."""


class Seeker:
    """Looks for copies of the recordings whose call data are new."""

    def __init__(self, copies: Copies, settings: CopySettings) -> None:
        self._copies = copies
        self._kinds = tuple(KeyKind(kind) for kind in settings.keys)

    async def seek(self) -> None:
        """Look at everything that is due now."""
        while True:
            due = await self._copies.due(_BATCH)
            if due:
                await self._look(due)
            if len(due) < _BATCH:
                return

    async def _look(self, due: Sequence[DueRecording]) -> None:
        keys = {one.facts.recording_id: keys_of(one.facts, self._kinds) for one in due}
        await self._copies.set_keys(
            {recording_id: [(key.kind.value, key.value) for key in own] for recording_id, own in keys.items()}
        )
        partners = await self._copies.partners([recording_id for recording_id, own in keys.items() if own], _PARTNERS)
        for one in due:
            await self._note(one.facts, partners.get(one.facts.recording_id, []))
        await self._copies.settle(due)

    async def _note(self, facts: RecordingFacts, partners: Sequence[Partner]) -> None:
        for partner, found in self._candidates(facts, partners):
            if await self._copies.note_pair(
                facts.recording_id, partner.recording_id, key_kind=found.key.kind.value, reason=found.reason
            ):
                _log.info(
                    "copies of one call, perhaps",
                    recording=str(facts.recording_id),
                    record_identifier=facts.record_identifier,
                    other=str(partner.recording_id),
                    other_identifier=partner.record_identifier,
                    reason=found.reason,
                )

    def _candidates(self, facts: RecordingFacts, partners: Sequence[Partner]) -> list[tuple[RecordingFacts, Candidacy]]:
        """Return who may be a copy, by the first kind of key in the order of the settings that allows it."""
        found: dict[UUID, tuple[RecordingFacts, Candidacy]] = {}
        for partner in sorted(partners, key=lambda one: self._kinds.index(KeyKind(one.key_kind))):
            key = Key(KeyKind(partner.key_kind), partner.key_value)
            may = candidacy(facts, partner.facts, key)
            if may and partner.facts.recording_id not in found:
                found[partner.facts.recording_id] = partner.facts, may
        return list(found.values())
