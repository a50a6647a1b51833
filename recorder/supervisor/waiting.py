"""Waiting for one of several things, or for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def each(events: Iterable[asyncio.Event]) -> None:
    """Wait for all of these."""
    for event in list(events):
        await event.wait()


async def first(*waits: Coroutine[Any, Any, object], limit_s: float | None = None) -> None:
    """Wait for the first of these, or the limit."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
