"""Reach the catalog at the start of a process: wait for a database that is not there yet, once and quietly."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from recorder.child_loop import ChildLoop
from storage.catalog import Catalog, migrate
from storage.errors import CatalogUnreachable, SchemaMismatch

_log = structlog.get_logger()

_RETRY_S: Final = 1.0


async def prepare_catalog(dsn: str, loop: ChildLoop) -> bool:
    """Migrate as soon as the database answers; False when this process is told to stop before that.

    A database of another build ends the whole recorder: no restart of a process would change it.
    """
    waiting = False
    while not loop.stopped.is_set():
        try:
            await migrate(dsn)
        except SchemaMismatch as error:
            loop.fatal(f"catalog: {error}")
            await loop.stopped.wait()
        except CatalogUnreachable as error:
            if not waiting:
                _log.warning("database.dsn: the catalog does not answer; waiting for it", reason=str(error))
            waiting = True
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
    waiting = False
    while not (loop.stopped.is_set() or loop.draining.is_set()):
        try:
            await migrate(dsn)
            return await Catalog.connect(
                dsn, max_size=max_size, timeout_s=timeout_s, application=application, background=background
            )
        except SchemaMismatch as error:
            loop.fatal(f"catalog: {error}")
            await loop.stopped.wait()
        except CatalogUnreachable as error:
            if not waiting:
                _log.warning("database.dsn: the catalog does not answer; waiting for it", reason=str(error))
            waiting = True
            await _told_to_end(loop, within_s=_RETRY_S)
    # Without a catalog there is nothing that this process could still finish.
    loop.drained()
    return None


async def _told_to_end(loop: ChildLoop, *, within_s: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (loop.stopped, loop.draining)]
    await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
