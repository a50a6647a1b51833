"""Flows, and the end of the process that runs them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from recorder.frontend.dispatcher import Dispatcher, Successors
from recorder.frontend.frontend import Frontend


async def test_what_is_due_when_everything_ends_already_starts_nothing() -> None:
    """The process was frozen, and its lease has ended: timers are due at the moment in which it notices."""
    ran: list[str] = []

    async def flow() -> None:
        ran.append("flow")

    async with asyncio.TaskGroup() as group:
        dispatcher = Dispatcher(cast("Frontend", SimpleNamespace()), group, cast("Successors", SimpleNamespace()))
        dispatcher.run("dialog", flow())
    dispatcher.run("dialog", flow())
    await dispatcher.settle()
    assert ran == ["flow"]
