"""Try a recording again that waited in vain for a host with some of its captures, as soon as that host is back.

A job that cannot have what it needs is buried after some minutes, because most such faults need a human. This one ends
by itself.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import structlog

from recorder.config import Settings
from storage.catalog import Catalog
from storage.catalog.records import FINALISE
from storage.errors import CaptureOutOfReach

_log = structlog.get_logger()

_SILENT_S: Final = 10.0


class Reviver:
    """Looks after the buried jobs of a site for one curator."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog, self._site = catalog, settings.ha.site
        self._tried: set[tuple[UUID, frozenset[str]]] = set()
        """Recordings, and the recorder processes that their hosts had then: another try needs another start."""

    async def revive(self) -> None:
        """Queue again what can go on now."""
        rows = await self._catalog.sites.nodes(self._site)
        heard = {row.node: row.instance for row in rows if row.state == "running" and row.silent_s < _SILENT_S}
        for job in await self._catalog.list_jobs(state="dead"):
            if job.kind != FINALISE or not (job.last_error or "").startswith(CaptureOutOfReach.__name__):
                continue
            recording_id = UUID(str(job.payload["recording_id"]))
            recording = await self._catalog.recording_segments(recording_id)
            captures = [capture for segment in recording.segments for capture in segment.captures] if recording else []
            hosts = {capture.host for capture in captures}
            if not hosts <= heard.keys():
                continue
            now = (recording_id, frozenset(heard[host] for host in hosts))
            if now not in self._tried and await self._catalog.retry_job(job.job_id):
                _log.info("a host is back: a recording is finalised after all", recording=str(recording_id))
            self._tried.add(now)
