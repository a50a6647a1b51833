"""Erases recordings, one process each, and kills the n-th process (SIGKILL) at its n-th step; run as a program.

A step is before and after every unlink, every sync and the catalog's last word. Prints which processes were killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from recorder.curator.erase import Eraser
from storage.catalog import Catalog
from storage.files import FileStore


class Death:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, at: int) -> None:
        self._left = at

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def doomed(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = call(*arguments, **named)
            self.step()
            return result

        return doomed

    def around_async(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def doomed(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = await call(*arguments, **named)
            self.step()
            return result

        return doomed


async def erase(dsn: str, root: Path, death: Death) -> None:
    async with await Catalog.connect(dsn, max_size=1) as catalog:
        job = await catalog.claim_job("doomed", kinds=("erase@host-a",), lease_s=3600.0)
        assert job is not None
        catalog.deletions.erased = death.around_async(catalog.deletions.erased)  # type: ignore[method-assign, assignment]
        os.unlink = death.around(os.unlink)
        os.fsync = death.around(os.fsync)
        eraser = Eraser(
            catalog,
            host="host-a",
            captures=FileStore(root / "captures", name="captures"),
            stores={"local": FileStore(root / "recordings")},
        )
        await eraser.erase(job)


def main() -> None:
    dsn, root, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    killed = []
    for step in range(count):
        child = os.fork()
        if child == 0:
            asyncio.run(erase(dsn, root, Death(step)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed.append(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
        if not killed[-1] and status:
            sys.exit(f"step {step}: status {status}")
    print(json.dumps(killed))


if __name__ == "__main__":
    main()
