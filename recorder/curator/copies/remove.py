"""Delete copies whose master has stood for them long enough, by `copies.policy`; each leaves a tombstone.

Nothing under legal hold, and nothing that a pair is undecided about: the catalog does not name such copies, and its
guards would refuse them. Nothing that is younger than the minimum retention of a rule that fits it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from recorder.settings import CopySettings
from storage.catalog import Catalog
from storage.retention import Policy

_log = structlog.get_logger()

_BATCH: Final = 200
_ACTOR: Final = "curator"
_RULE: Final = "copies.policy"


class CopyRemover:
    """Removes copies that policy no longer keeps."""

    def __init__(self, catalog: Catalog, settings: CopySettings, retention: Policy) -> None:
        self._catalog = catalog
        self._retention = retention
        self._policy = settings.policy
        self._kept_for = timedelta(days=settings.keep_days)

    async def remove(self) -> None:
        """Begin the deletion of everything that is due now, and that no minimum retention keeps."""
        after = None
        while due := await self._catalog.copies.removable(self._kept_for, _BATCH, after=after):
            after = due[-1]
            now = datetime.now(UTC)
            for candidate in await self._catalog.retention.candidates([recording_id for _, recording_id in due]):
                if self._retention.verdict(candidate).safe_until > now:
                    continue
                answer = await self._catalog.deletions.begin(
                    candidate.recording_id,
                    by=_ACTOR,
                    reason=f"copies.policy = {self._policy}: another recording stands for it"
                    f" since {self._kept_for.days} days",
                    rule=_RULE,
                )
                _log.info("copy removed by policy", recording=str(candidate.recording_id), refused=answer.refused or "")
