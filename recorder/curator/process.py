"""A curator process: one job at a time, its blocking part in a thread so that heartbeats go on; chores beside it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Awaitable, Mapping
from typing import Final

import structlog
import uvloop

from media.errors import MediaError
from recorder.catalog_access import open_catalog
from recorder.child_loop import ChildLoop
from recorder.curator.allocation import keep_freed_memory, settle
from recorder.curator.work import CHORES, JOBS, NODE, Chore, JobHandler, Tools
from recorder.depot import Depot
from recorder.role import Assignment
from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob
from storage.errors import CatalogUnreachable, StorageError
from storage.priority import give_way

_log = structlog.get_logger()

_JOB_LEASE_S: Final = 10.0
"""A job whose curator died is taken again after this time; the fencing number keeps the old hand out."""
_BEAT_S: Final = 2.5
_POLL_S: Final = 2.0
"""A notification wakes the curator at once; this is for one that was missed."""
_LOWEST: Final = 19
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_IDLE: Final = 3 << 13
_SYS_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}


def run(assignment: Assignment) -> None:
    """Work until told to stop."""
    _yield_to_the_writers()
    keep_freed_memory()
    uvloop.run(_Process(assignment).run())


def _yield_to_the_writers() -> None:
    """Take CPU and disk only when nobody else wants them."""
    while not give_way(os.getpid(), _LOWEST):
        time.sleep(0.1)
    number = _SYS_IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        # Not permitted in some containers; then the nice level has to do.
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


class _Process:
    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._worker = f"{assignment.settings.node}/{assignment.name}/{assignment.instance}"
        self._loop = ChildLoop(assignment.channel)
        self._finished = 0
        self._failed = 0

    async def run(self) -> None:
        self._loop.start()
        catalog = await open_catalog(
            self._assignment.dsn, self._loop, max_size=3, application="tandem-curator", background=True
        )
        if catalog is None:
            return
        settings = self._assignment.settings
        tools = Tools(catalog, settings, Depot(catalog, settings))
        async with catalog:
            settle()
            self._loop.ready()
            async with asyncio.TaskGroup() as group:
                node = self._assignment.settings.node
                handlers = {kind.replace(NODE, node): make(tools) for kind, make in JOBS.items()}
                tasks = [group.create_task(self._work(catalog, handlers))]
                tasks += [group.create_task(self._keep_doing(chore, tools)) for chore in CHORES]
                await self._loop.stopped.wait()
                for task in tasks:
                    task.cancel()

    async def _keep_doing(self, chore: Chore, tools: Tools) -> None:
        """Do a chore again and again; a fault of one must not stop the recordings."""
        every_s = chore.every_s(tools.settings)
        do = chore.make(tools)
        while every_s and not self._loop.draining.is_set():
            try:
                await do()
            except CatalogUnreachable as error:
                _log.debug("chore waits for the catalog", chore=chore.name, reason=str(error))
            except Exception as error:
                _log.error("chore failed", chore=chore.name, reason=str(error), exc_info=not _expected(error))
            await asyncio.sleep(every_s)

    async def _work(self, catalog: Catalog, handlers: Mapping[str, JobHandler]) -> None:
        deadline: float | None = None
        clock = asyncio.get_running_loop().time
        while True:
            try:
                job = await catalog.claim_job(self._worker, kinds=tuple(handlers), lease_s=_JOB_LEASE_S)
                if job:
                    await self._do(catalog, handlers[job.kind], job)
            except CatalogUnreachable as error:
                _log.warning("catalog unreachable", reason=str(error))
                await asyncio.sleep(_POLL_S)
                job = None
            if self._loop.draining.is_set():
                deadline = deadline or clock() + self._loop.drain_limit_s
                if job is None or clock() > deadline:
                    self._loop.drained()
                    return
            elif job is None:
                # Until there is a job, it is time to look anyway, or the order to drain has come.
                await first_of(catalog.wait_for_job(_POLL_S), self._loop.draining.wait())

    async def _do(self, catalog: Catalog, handle: JobHandler, job: ClaimedJob) -> None:
        try:
            self._finished += await while_claimed(handle(job), keep_claim(catalog, job))
        except CatalogUnreachable:
            raise
        except Exception as error:
            # Whatever is wrong with one recording must not stop the others; the job is retried, then dead-lettered.
            _log.error(
                "job failed",
                kind=job.kind,
                job=job.job_id,
                attempt=job.attempt,
                reason=str(error),
                exc_info=not _expected(error),
            )
            self._failed += 1
            fate = await catalog.fail_job(job, f"{type(error).__name__}: {error}")
            _log.warning("job given back", job=job.job_id, fate=fate.value)
        self._loop.state("running", finished=self._finished, failed=self._failed)


async def first_of(*waits: Awaitable[object]) -> None:
    """Wait until one of several has ended, and see to the end of the others; whoever is cancelled meanwhile, is.

    What one ends with by itself is raised.
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def while_claimed(work: Awaitable[None], claim: Awaitable[None]) -> bool:
    """Do work until it ends, or until `claim` returns because it is lost; False in that case.

    What a thread of it is about goes on to its end there; every step that counts asks for the claim again.
    """
    doing, claimed = asyncio.ensure_future(work), asyncio.ensure_future(claim)
    try:
        await asyncio.wait({doing, claimed}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        await doing
        return True
    finally:
        for task in (doing, claimed):
            task.cancel()
        await asyncio.gather(doing, claimed, return_exceptions=True)


async def keep_claim(catalog: Catalog, job: ClaimedJob, *, every_s: float = _BEAT_S) -> None:
    """Prolong a claim until it is lost; a catalog that is away for a moment does not end that."""
    while True:
        await asyncio.sleep(every_s)
        try:
            ours = await catalog.beat_job(job, lease_s=_JOB_LEASE_S)
        except CatalogUnreachable as error:
            _log.warning("claim not prolonged", job=job.job_id, reason=str(error))
            continue
        if not ours:
            _log.warning("claim lost", kind=job.kind, job=job.job_id)
            return


def _expected(error: Exception) -> bool:
    """Whether an error is one of the faults of input and surroundings, which need no trace."""
    return isinstance(error, MediaError | StorageError | OSError)
