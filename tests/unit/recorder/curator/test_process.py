"""A claim is prolonged as long as it is ours, whatever the catalog does meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import cast

from recorder.curator.process import keep_claim
from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob
from storage.errors import CatalogUnreachable


class Answers:
    """A catalog that is away at first."""

    def __init__(self) -> None:
        self._answers: list[bool | Exception] = [CatalogUnreachable("restarting"), True, False]

    async def beat_job(self, job: ClaimedJob, *, lease_s: float) -> bool:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def all_given(self) -> bool:
        return not self._answers


async def test_a_claim_is_prolonged_after_the_catalog_was_away_and_until_it_is_lost() -> None:
    now = datetime.now(UTC)
    job = ClaimedJob(job_id=1, kind="finalise", payload={}, attempt=1, worker="w", lock=1, locked_until=now)
    catalog = Answers()
    async with asyncio.timeout(5):
        await keep_claim(cast(Catalog, catalog), job, every_s=0.001)
    assert catalog.all_given()
