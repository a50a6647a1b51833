"""How a frontend follows a dead one of its host while nobody answers for the catalog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from recorder import unix_socket
from recorder.ha.feed import Feed
from recorder.ha.lease import Lease
from recorder.ha.replica import Replica
from recorder.ha.settings import HaSettings
from recorder.ha.tenure import Candidate, Tenure
from tests.unit.recorder.ha.test_feed import follower_of, until, wall_clock

SETTINGS = HaSettings.model_construct(listen="192.0.2.1:5070", lease_s=2.0, renew_s=0.25, answer_s=0.5, margin_s=0.25)


async def succeed(socket: Path) -> Tenure | None:
    """Follow a dead frontend of this host, at a site whose other host is b."""
    left = Replica()
    left.node, left.epoch = "a", 1024
    candidate = Candidate(
        sites=cast("Any", None),
        settings=SETTINGS,
        node="a",
        name="a/frontend-b",
        rivals=lambda: frozenset({"b"}),
        clock=time.monotonic,
        wall_clock=wall_clock,
        lease=Lease("a", SETTINGS.timing),
    )
    listener = unix_socket.listen(socket)

    async def listen(feed: Feed) -> None:
        await feed.serve(listener)

    try:
        return await candidate.succeed(left, listen)
    finally:
        listener.close()


@asynccontextmanager
async def rival(socket: Path, *, willing: bool) -> AsyncIterator[None]:
    """The other host, which goes on asking for the socket of the active one."""
    following = asyncio.ensure_future(follower_of(socket, promise=lambda: willing).run())
    try:
        yield
    finally:
        following.cancel()


async def test_it_succeeds_with_the_promise_of_a_host_that_comes_to_follow_it(tmp_path: Path) -> None:
    """Nobody follows it at the moment at which it begins to serve."""
    async with rival(tmp_path / "s", willing=True):
        tenure = await succeed(tmp_path / "s")
        assert tenure is not None
        assert (tenure.epoch, tenure.holds()) == (1025, True)
        await tenure.feed.aclose()


@pytest.mark.parametrize("follows", [True, False])
async def test_it_does_not_without(tmp_path: Path, follows: bool) -> None:
    if not follows:
        assert await succeed(tmp_path / "s") is None
        return
    async with rival(tmp_path / "s", willing=False):
        assert await succeed(tmp_path / "s") is None


async def test_a_standby_that_never_read_the_register_knows_whose_promise_the_dead_one_needed(tmp_path: Path) -> None:
    """It was started after the catalog went away: to ask nobody would let two hosts act, were it cut off as well."""
    listener = unix_socket.listen(tmp_path / "s")
    feed = Feed("a", epoch=1024, wall_clock=wall_clock, rivals=lambda: frozenset({"b"}))
    await feed.serve(listener)
    standby = follower_of(tmp_path / "s", node="a")
    following = asyncio.ensure_future(standby.run())
    await until(lambda: standby.replica.epoch == 1024)
    assert standby.replica.rivals == {"b"}
    following.cancel()
    await feed.aclose()
    listener.close()
