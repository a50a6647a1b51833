"""The job `redact`: what waits to be silenced in one recording."""

from __future__ import annotations

from uuid import UUID

from recorder.depot import Depot
from recorder.redaction import Redactor
from storage.catalog import Catalog
from storage.catalog.records import ClaimedJob


class RedactJobs:
    """Does the redact jobs of one curator."""

    def __init__(self, catalog: Catalog, depot: Depot) -> None:
        self._redactor = Redactor(catalog, depot.store, depot.local)

    async def redact(self, job: ClaimedJob) -> None:
        """Do one job; see `Redactor.redact` for the errors."""
        await self._redactor.redact(UUID(str(job.payload["recording_id"])), job=job)
