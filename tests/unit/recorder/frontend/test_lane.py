"""Flows that become due together: how many are under way, in which order, and what one that fails leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from recorder.frontend.lane import Flow, Lane


class Flows:
    """Flows that end when they are told to, started as a dispatcher does it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Future[None]] = {}

    def run_later(self, delay_s: float, dialog_id: str, flow: Flow) -> None:
        assert delay_s == 0
        self.tasks[dialog_id] = asyncio.ensure_future(flow())

    def of(self, dialog_id: str) -> Flow:
        return partial(self._wait, dialog_id)

    def _wait(self, dialog_id: str) -> Coroutine[Any, Any, None]:
        async def wait() -> None:
            self.begun.append(dialog_id)
            self._ends[dialog_id] = asyncio.get_running_loop().create_future()
            await self._ends[dialog_id]

        return wait()

    async def end(self, dialog_id: str, error: Exception | None = None) -> None:
        if error:
            self._ends[dialog_id].set_exception(error)
        else:
            self._ends[dialog_id].set_result(None)
        await asyncio.wait([self.tasks[dialog_id]])
        await asyncio.sleep(0)  # whoever follows begins


async def test_the_first_ones_are_through_before_the_last_ones_begin() -> None:
    flows = Flows()
    lane = Lane(flows.run_later, at_once=2)
    for dialog_id in "abcd":
        lane.add(dialog_id, flows.of(dialog_id))
    await asyncio.sleep(0)
    assert flows.begun == ["a", "b"]
    await flows.end("b")
    assert flows.begun == ["a", "b", "c"]
    await flows.end("a")
    assert flows.begun == ["a", "b", "c", "d"]


async def test_one_that_fails_gives_its_place_to_the_next() -> None:
    flows = Flows()
    lane = Lane(flows.run_later, at_once=1)
    for dialog_id in "ab":
        lane.add(dialog_id, flows.of(dialog_id))
    await asyncio.sleep(0)
    await flows.end("a", OSError("no room"))
    assert isinstance(flows.tasks["a"].exception(), OSError)
    assert flows.begun == ["a", "b"]


async def test_one_that_comes_when_there_is_room_begins_at_once() -> None:
    flows = Flows()
    lane = Lane(flows.run_later, at_once=1)
    lane.add("a", flows.of("a"))
    await asyncio.sleep(0)
    await flows.end("a")
    lane.add("b", flows.of("b"))
    await asyncio.sleep(0)
    assert flows.begun == ["a", "b"]


async def test_whoever_has_time_waits_until_all_have_begun_but_not_for_ever() -> None:
    flows = Flows()
    lane = Lane(flows.run_later, at_once=1)
    await lane.free(600.0)
    for dialog_id in "ab":
        lane.add(dialog_id, flows.of(dialog_id))
    waiting = asyncio.ensure_future(lane.free(600.0))
    await lane.free(0.01)
    assert not waiting.done()
    await flows.end("a")
    async with asyncio.timeout(60):
        await waiting


async def test_one_that_is_held_up_keeps_its_place_from_the_next_for_a_while_only() -> None:
    """A writer that stands still is waited for by those that asked it, and by nobody else."""
    flows = Flows()
    lane = Lane(flows.run_later, at_once=1, patience_s=0.01)
    for dialog_id in "ab":
        lane.add(dialog_id, flows.of(dialog_id))
    async with asyncio.timeout(60):
        await lane.free(60.0)
    await asyncio.sleep(0)
    assert flows.begun == ["a", "b"]
    for dialog_id in "ab":
        await flows.end(dialog_id)


async def test_a_place_that_was_given_away_is_not_given_away_again() -> None:
    flows = Flows()
    lane = Lane(flows.run_later, at_once=1, patience_s=0.01)
    for dialog_id in "ab":
        lane.add(dialog_id, flows.of(dialog_id))
    async with asyncio.timeout(60):
        await lane.free(60.0)
    await asyncio.sleep(0)
    await flows.end("a")
    lane.add("c", flows.of("c"))
    await asyncio.sleep(0)
    assert flows.begun == ["a", "b"]
    for dialog_id in "bc":
        await flows.end(dialog_id)
