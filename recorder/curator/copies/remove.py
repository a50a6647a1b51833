"""Delete copies whose master has stood for them long enough, by `copies.policy`; each leaves a tombstone.

Nothing under legal hold, and nothing that a pair is undecided about: the catalog does not name such copies, and its
guards would refuse them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from recorder.config import CopySettings
from storage.catalog import Catalog

_log = structlog.get_logger()

_BATCH: Final = 200
_ACTOR: Final = "curator"
_RULE: Final = "copies.policy"


class CopyRemover:
    """Removes copies that policy no longer keeps."""

    def __init__(self, catalog: Catalog, settings: CopySettings) -> None:
        self._catalog = catalog
        self._policy = settings.policy
        self._kept_for = timedelta(days=settings.keep_days)

    async def remove(self) -> None:
        """Begin the deletion of everything that is due now."""
        while True:
            due = await self._catalog.copies.removable(self._kept_for, _BATCH)
            begun = 0
            for recording_id in due:
                answer = await self._catalog.deletions.begin(
                    recording_id,
                    by=_ACTOR,
                    reason=f"copies.policy = {self._policy}: another recording stands for it"
                    f" since {self._kept_for.days} days",
                    rule=_RULE,
                )
                begun += answer.begun
                _log.info("copy removed by policy", recording=str(recording_id), refused=answer.refused or "")
            if len(due) < _BATCH or not begun:
                return
