"""Redactions as the command begins them: of a recording and everything that has the same sound."""

from __future__ import annotations

from uuid import UUID

from media.healing import Stretch
from recorder.redaction import plan_redaction
from storage.catalog import Catalog
from storage.catalog.redactions import Refusal


async def begin_redaction(
    catalog: Catalog, recording_id: UUID, *, start_s: float, end_s: float, party: int | None = None
) -> Refusal | None:
    """Decide to silence a stretch; None when it will be done."""
    family = await catalog.redactions.family(recording_id)
    ids = [member.recording_id for member in family]
    plan = plan_redaction(recording_id, Stretch(party, start_s, end_s), family, await catalog.redactions.links(ids))
    assert not plan.unplaced
    return await catalog.redactions.begin(recording_id, plan.stretches, family=ids, reason="card number", by="anna")
