"""A claim is prolonged as long as it is ours, whatever the catalog does meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import cast

import pytest

from recorder.curator.process import first_of, keep_claim, while_claimed
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
    async with asyncio.timeout(30):
        await keep_claim(cast(Catalog, catalog), job, every_s=0.001)
    assert catalog.all_given()


async def test_work_ends_when_its_claim_is_lost() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def lost() -> None:
        await asyncio.sleep(0)

    async with asyncio.timeout(30):
        assert not await while_claimed(work(), lost())
    assert ended.is_set()


async def test_work_that_ends_ends_its_claim_and_its_errors_are_told() -> None:
    kept = asyncio.Event()

    async def keep() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            kept.set()

    async def work() -> None:
        await asyncio.sleep(0)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no such thing")

    async with asyncio.timeout(30):
        assert await while_claimed(work(), keep())
        assert kept.is_set()
        with pytest.raises(ValueError, match="no such thing"):
            await while_claimed(fail(), keep())


async def test_who_is_cancelled_while_the_other_waits_come_to_their_end_is_cancelled() -> None:
    """A curator that is told to stop in that moment must not go on for ever."""
    ending, end = asyncio.Event(), asyncio.Event()

    async def ends_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await end.wait()

    waiting = asyncio.ensure_future(first_of(asyncio.sleep(0), ends_slowly()))
    async with asyncio.timeout(30):
        await ending.wait()
        waiting.cancel()
        end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_error_of_one_wait_is_told() -> None:
    async def fails() -> None:
        raise ValueError("no such thing")

    async with asyncio.timeout(30):
        with pytest.raises(ValueError, match="no such thing"):
            await first_of(fails(), asyncio.Event().wait())
