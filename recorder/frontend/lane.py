"""Flows of many dialogs that become due together: so many at a time, and the first are through before the last begin.

All at once would go side by side, step for step: the first would end hardly before the last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

Flow: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
RunLater: TypeAlias = Callable[[float, str, Flow], None]
"""After so many seconds, start a flow of this dialog."""
_PATIENCE_S: Final = 0.5
"""Longer than a flow takes on a machine that is only busy."""


class Lane:
    """Starts flows in the order in which they came.

    Args:
        run_later: starts one.
        at_once: how many are under way at the same time, at most.
        patience_s: a flow that takes longer counts no more. It waits for something, such as a writer that stands still,
            and those behind it shall not.

    """

    def __init__(self, run_later: RunLater, *, at_once: int, patience_s: float = _PATIENCE_S) -> None:
        self._run_later, self._free, self._patience_s = run_later, at_once, patience_s
        self._waiting: deque[tuple[str, Flow]] = deque()
        self._all_begun = asyncio.Event()
        self._all_begun.set()

    async def free(self, limit_s: float) -> None:
        """Return when no flow waits for its beginning, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._all_begun.wait()

    def add(self, dialog_id: str, flow: Flow) -> None:
        """Start a flow of this dialog as soon as there is room."""
        self._waiting.append((dialog_id, flow))
        self._all_begun.clear()
        self._start()

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            dialog_id, flow = self._waiting.popleft()
            self._run_later(0.0, dialog_id, partial(self._through, flow))
        if not self._waiting:
            self._all_begun.set()

    async def _through(self, flow: Flow) -> None:
        counts = True

        def leave() -> None:
            nonlocal counts
            if counts:
                counts = False
                self._free += 1
                self._start()

        patience = asyncio.get_running_loop().call_later(self._patience_s, leave)
        try:
            await flow()
        finally:
            patience.cancel()
            leave()
