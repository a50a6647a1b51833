"""Try a recording again that waited in vain for a host with some of its captures, as soon as that host is back.

A job that cannot have what it needs waits longer and longer and is buried after some minutes, because most such faults
need a human. This one ends by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from recorder.settings import Settings
from storage.catalog import Catalog
from storage.catalog.records import FINALISE
from storage.catalog.views import JobView
from storage.errors import CaptureOutOfReach

_log = structlog.get_logger()

_SILENT_S: Final = 3.0
"""Hosts say that they live once per second."""
_LATER: Final = ("dead", "queued")
"""States of a job that does not run, or only after its wait."""


class Reviver:
    """Looks after the jobs of a site that wait, for one curator."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog, self._site = catalog, settings.ha.site
        self._tried: set[tuple[UUID, frozenset[str]]] = set()
        """Recordings, and the recorder processes of their hosts; forgotten when one of these is not heard any more."""

    async def revive(self) -> None:
        """Queue again at once what can go on now; once for each time that its hosts are there."""
        rows = await self._catalog.sites.nodes(self._site)
        heard = {row.node: row.instance for row in rows if row.state == "running" and row.silent_s < _SILENT_S}
        self._tried = {one for one in self._tried if one[1] <= set(heard.values())}
        for state in _LATER:
            for job in await self._catalog.list_jobs(state=state):
                if job.kind == FINALISE and (job.last_error or "").startswith(CaptureOutOfReach.__name__):
                    await self._try(job, heard)

    async def _try(self, job: JobView, heard: Mapping[str, str]) -> None:
        recording_id = UUID(str(job.payload["recording_id"]))
        recording = await self._catalog.recording_segments(recording_id)
        captures = [capture for segment in recording.segments for capture in segment.captures] if recording else []
        hosts = {capture.host for capture in captures}
        if not hosts <= heard.keys():
            return
        now = recording_id, frozenset(heard[host] for host in hosts)
        if now in self._tried:
            return
        self._tried.add(now)
        _log.info("hosts are back: a recording can be finalised", recording=str(recording_id))
        if job.state == "dead":
            await self._catalog.retry_job(job.job_id)
        else:
            await self._catalog.enqueue_finalise(recording_id)
