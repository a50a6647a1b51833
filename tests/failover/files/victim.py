"""A curator that is killed with SIGKILL at its n-th step: a sync, link, rename or removal of a file, or a statement."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.catalog import Catalog
from storage.catalog.connection import Database
from storage.errors import CatalogUnreachable
from tests.kit.curating import Curating

KILLED_POSTGRESQL = 3
"""Exit code of one that killed PostgreSQL in its own place."""
FILE_STEPS = ("fsync", "link", "replace", "rename", "unlink", "fchmod")


class Fate:
    """Counts steps; at the fatal one the process (or PostgreSQL) is killed, before or after the step is taken."""

    def __init__(self, step: int, *, after: bool, postmaster: int) -> None:
        self._left = step
        self._after = after
        self._postmaster = postmaster
        self.struck = False

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            fatal = self._fatal()
            if fatal and not self._after:
                self._strike()
            result = call(*arguments, **options)
            if fatal and self._after:
                self._strike()
            return result

        return step

    def wrap_statement(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def step(*arguments: Any, **options: Any) -> Any:
            fatal = self._fatal()
            if fatal and not self._after:
                self._strike()
            result = await call(*arguments, **options)
            if fatal and self._after:
                self._strike()
            return result

        return step

    def _fatal(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _strike(self) -> None:
        self.struck = True
        os.kill(self._postmaster or os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Sentence:
    """When and how a victim dies."""

    step: int = 0
    """0 lets it live."""
    after: bool = False
    postmaster: int = 0
    """PID of the PostgreSQL that dies in its place."""


def run(dsn: str, state_dir: str, tables: dict[str, Any], sentence: Sentence) -> None:
    """Work until killed, until the catalog is gone, or until nothing is left."""
    fate = Fate(sentence.step, after=sentence.after, postmaster=sentence.postmaster)
    if sentence.step:
        for name in FILE_STEPS:
            setattr(os, name, fate.wrap(getattr(os, name)))
        Database.optional_row = fate.wrap_statement(Database.optional_row)  # type: ignore[method-assign]
        Database.rows = fate.wrap_statement(Database.rows)  # type: ignore[method-assign]
    try:
        asyncio.run(_work(dsn, Path(state_dir), tables))
    finally:
        if fate.struck:
            os._exit(KILLED_POSTGRESQL)


async def _work(dsn: str, state_dir: Path, tables: dict[str, Any]) -> None:
    try:
        async with await Catalog.connect(dsn, max_size=2) as catalog:
            await Curating(catalog, state_dir, **tables).work()
    except CatalogUnreachable:
        return
