"""Reach the catalog at the start of a process: wait for a database that is not there yet, once and quietly."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from recorder.child_loop import ChildLoop
from storage.catalog import Catalog, migrate
from storage.errors import CatalogUnreachable, SchemaMismatch, StorageError

_log = structlog.get_logger()

_RETRY_S: Final = 1.0


class _Waiting:
    """Tells why the catalog cannot be used yet: each reason once, until there is another one."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, error: StorageError) -> None:
        if str(error) == self._told:
            return
        self._told = str(error)
        if isinstance(error, CatalogUnreachable):
            _log.warning("database.dsn: the catalog does not answer; waiting for it", reason=self._told)
        else:
            # Not fatal: while calls are recorded a process that starts anew must not end them.
            _log.error(
                "database.dsn: the catalog refuses this recorder; waiting until that is mended", reason=self._told
            )


async def prepare_catalog(dsn: str, loop: ChildLoop) -> bool:
    """Migrate as soon as the database answers; False when this process is told to stop before that.

    A database of another build ends the whole recorder: no restart of a process would change it.
    """
    waiting = _Waiting()
    while not loop.stopped.is_set():
        try:
            await migrate(dsn)
        except SchemaMismatch as error:
            loop.fatal(f"catalog: {error}")
            await loop.stopped.wait()
        except StorageError as error:
            waiting.tell(error)
            await _told_to_end(loop, within_s=_RETRY_S)
        else:
            return True
    return False


async def open_catalog(
    dsn: str,
    loop: ChildLoop,
    *,
    max_size: int,
    timeout_s: float = 5.0,
    application: str = "tandem",
    background: bool = False,
) -> Catalog | None:
    """Migrate and connect as soon as the database answers.

    Returns None when this process is told to stop before that, and when the database belongs to another build: then
    the whole recorder ends, because no restart of a process would change it.
    """
    waiting = _Waiting()
    while not (loop.stopped.is_set() or loop.draining.is_set()):
        try:
            await migrate(dsn)
            return await Catalog.connect(
                dsn, max_size=max_size, timeout_s=timeout_s, application=application, background=background
            )
        except SchemaMismatch as error:
            loop.fatal(f"catalog: {error}")
            await loop.stopped.wait()
        except StorageError as error:
            waiting.tell(error)
            await _told_to_end(loop, within_s=_RETRY_S)
    # Without a catalog there is nothing that this process could still finish.
    loop.drained()
    return None


async def _told_to_end(loop: ChildLoop, *, within_s: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (loop.stopped, loop.draining)]
    await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
