"""Which frontend is the active one, and when its dead predecessor may be replaced."""

from __future__ import annotations

import asyncio

from recorder.channel import Message
from recorder.supervisor.child import Child
from recorder.supervisor.choice import ActiveChoice

LIMIT_S = 60.0


def standby(name: str) -> Child:
    def ignore_exit(child: Child, code: int) -> None:
        """No process runs behind it."""

    def ignore_message(child: Child, message: Message) -> None:
        """Nobody speaks to it."""

    return Child("frontend", name, ignore_exit, ignore_message, state="standby")


def test_a_replacement_waits_until_the_successor_is_at_work() -> None:
    async def scenario() -> None:
        dead, successor = standby("a"), standby("b")
        choice = ActiveChoice(lambda: [dead, successor], lambda: False)
        choice.name_one()
        choice.settled.set()
        dead.state = "ended"
        choice.is_gone(dead)
        assert choice.named is successor
        replacement = asyncio.ensure_future(choice.has_taken_over(LIMIT_S))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not replacement.done()
        choice.settled.set()
        await asyncio.wait_for(replacement, LIMIT_S / 2)

    asyncio.run(scenario())


def test_without_a_standby_the_replacement_starts_at_once() -> None:
    async def scenario() -> None:
        dead = standby("a")
        choice = ActiveChoice(lambda: [dead], lambda: False)
        choice.name_one()
        dead.state = "ended"
        choice.is_gone(dead)
        assert choice.named is None
        await asyncio.wait_for(choice.has_taken_over(LIMIT_S), LIMIT_S / 2)

    asyncio.run(scenario())


def test_a_standby_that_is_replaced_waits_for_nobody() -> None:
    async def scenario() -> None:
        active, other = standby("a"), standby("b")
        choice = ActiveChoice(lambda: [active, other], lambda: False)
        choice.name_one()
        choice.settled.set()
        choice.is_gone(other)
        await asyncio.wait_for(choice.has_taken_over(LIMIT_S), LIMIT_S / 2)
        assert choice.named is active

    asyncio.run(scenario())
