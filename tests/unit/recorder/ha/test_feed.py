"""Feed and follower over a real Unix socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from unittest.mock import AsyncMock

from recorder import unix_socket
from recorder.frames import Streams
from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.feed import Feed
from recorder.ha.follower import Follower
from recorder.ha.journal import Journal
from recorder.ha.replica import Unanswered
from recorder.ha.vault import Vault
from recorder.ha.writes import decode_write
from storage.catalog import Catalog
from storage.catalog.records import DialogCheckpoint
from tests.unit.recorder.ha.test_replica import NOW, checkpoint, closing, opening


def wall_clock() -> datetime:
    return datetime.now(UTC)


def follower_of(path: Path, *, node: str = "b", promise: Callable[[], bool] | None = None) -> Follower:
    async def connect() -> Streams:
        return await unix_socket.open_streams(path)

    return Follower(node, connect, wall_clock=wall_clock, promise=promise)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another task
            await asyncio.sleep(0.01)


async def serving(path: Path, epoch: int = 1024) -> tuple[Feed, socket.socket]:
    listener = unix_socket.listen(path)
    feed = Feed("a", epoch=epoch, wall_clock=wall_clock)
    await feed.serve(listener)
    return feed, listener


async def test_a_follower_gets_what_there_is_and_then_every_write(tmp_path: Path) -> None:
    feed, listener = await serving(tmp_path / "s")
    feed.publish(opening(), pending=False)
    follower = follower_of(tmp_path / "s")
    following = asyncio.ensure_future(follower.run())
    await until(lambda: follower.replica.epoch == 1024)
    assert (feed.standbys, feed.followers()) == (1, {"b"})
    assert [one.snapshot for one in follower.replica.dialogs()] == [b"opened"]
    feed.publish(checkpoint(b"changed"), pending=True)
    await until(lambda: [one.snapshot for one in follower.replica.dialogs()] == [b"changed"])
    assert len(follower.replica.pending) == 1
    feed.caught_up()
    await until(lambda: follower.replica.pending == [])
    following.cancel()
    await feed.aclose()
    listener.close()


async def test_a_follower_gets_what_the_catalog_was_asked_for_and_has_not_answered_yet(tmp_path: Path) -> None:
    """The catalog may have gone away over it: whoever takes over has to bring it there."""
    feed, listener = await serving(tmp_path / "s")
    answers = asyncio.Event()

    async def frozen(_: DialogCheckpoint) -> None:
        await answers.wait()

    catalog = AsyncMock(spec=Catalog)
    catalog.save_dialog.side_effect = frozen
    durable = DurableCatalog(
        cast("Catalog", catalog), Journal(tmp_path / "journal"), Vault([b"k" * 32]), epoch=1024, standbys=feed
    )
    await durable.write(opening())
    writing = asyncio.ensure_future(durable.write(checkpoint(b"asked")))
    follower, later = follower_of(tmp_path / "s"), follower_of(tmp_path / "s")
    following = [asyncio.ensure_future(follower.run())]
    await until(lambda: follower.replica.epoch == 1024)
    (untaken,) = map(decode_write, follower.replica.untaken())
    assert isinstance(untaken, DialogCheckpoint)
    answers.set()
    await writing
    following.append(asyncio.ensure_future(later.run()))
    await until(lambda: later.replica.epoch == 1024)
    assert later.replica.untaken() == []
    for task in following:
        task.cancel()
    await feed.aclose()
    listener.close()


async def test_a_request_that_nobody_repeats_is_told_until_it_is_answered(tmp_path: Path) -> None:
    feed, listener = await serving(tmp_path / "s")
    before, after = (
        Unanswered(request_id=name, data=b"INVITE", local=("10.0.0.1", 5060), remote=("10.0.0.9", 5062))
        for name in ("s1", "s2")
    )
    feed.asked(before)
    follower = follower_of(tmp_path / "s")
    following = asyncio.ensure_future(follower.run())
    await until(lambda: follower.replica.unanswered(wall_clock()) == [before])
    feed.asked(after)
    await until(lambda: follower.replica.unanswered(wall_clock()) == [before, after])
    feed.answered("s1")
    await until(lambda: follower.replica.unanswered(wall_clock()) == [after])
    assert follower.replica.unanswered(wall_clock() + timedelta(seconds=33)) == []
    following.cancel()
    await feed.aclose()
    listener.close()


async def test_what_was_told_outlives_the_one_who_told_it(tmp_path: Path) -> None:
    feed, listener = await serving(tmp_path / "s")
    follower = follower_of(tmp_path / "s")
    following = asyncio.ensure_future(follower.run())
    await until(lambda: feed.followers() == {"b"})
    feed.publish(opening(), pending=False)
    feed.publish(closing(b"answered"), pending=False)
    await until(lambda: [one.snapshot for one in follower.replica.dialogs()] == [b"answered"])
    await feed.aclose()
    await until(lambda: feed.followers() == set())
    assert follower.replica.epoch == 1024
    assert follower.replica.dialogs()[0].updated_at >= NOW
    following.cancel()
    listener.close()


async def test_what_the_dead_one_said_last_is_heard_before_anybody_goes_on(tmp_path: Path) -> None:
    """Its last words may wait in the socket when a busy standby is told of its death."""
    feed, listener = await serving(tmp_path / "s")
    follower = follower_of(tmp_path / "s")
    following = asyncio.ensure_future(follower.run())
    await until(lambda: follower.replica.epoch == 1024)
    request = Unanswered(request_id="s1", data=b"INVITE", local=("10.0.0.1", 5060), remote=("10.0.0.9", 5062))
    feed.asked(request)
    closing_feed = asyncio.ensure_future(feed.aclose())
    await follower.hear_out(10)
    following.cancel()
    assert follower.replica.unanswered(wall_clock()) == [request]
    await closing_feed
    listener.close()


async def test_nobody_waits_for_the_last_words_of_one_who_goes_on_speaking(tmp_path: Path) -> None:
    feed, listener = await serving(tmp_path / "s")
    follower = follower_of(tmp_path / "s")
    await follower.hear_out(10)
    following = asyncio.ensure_future(follower.run())
    await until(lambda: follower.replica.epoch == 1024)
    async with asyncio.timeout(30):
        await follower.hear_out(0.05)
    following.cancel()
    await feed.aclose()
    listener.close()


async def test_all_that_are_asked_have_to_promise(tmp_path: Path) -> None:
    feed, listener = await serving(tmp_path / "s")
    willing = True
    tasks = [
        asyncio.ensure_future(follower_of(tmp_path / "s", node="b", promise=lambda: True).run()),
        asyncio.ensure_future(follower_of(tmp_path / "s", node="c", promise=lambda: willing).run()),
    ]
    await until(lambda: feed.followers() == {"b", "c"})
    assert await feed.promised({"b", "c"}, limit_s=30)
    willing = False
    assert not await feed.promised({"b", "c"}, limit_s=0.1)
    assert await feed.promised({"b"}, limit_s=30)
    assert await feed.promised(set(), limit_s=0.1)
    assert not await feed.promised({"b", "d"}, limit_s=30)
    for task in tasks:
        task.cancel()
    await feed.aclose()
    listener.close()
