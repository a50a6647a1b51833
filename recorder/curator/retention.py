"""The chore that carries out the retention policy: begins deletions and erasures that are due, gives up old traces.

Several curators may do it at once: each intent, and each month, is one guarded statement, and the second finds it done.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import structlog

from storage.catalog import Catalog
from storage.retention import Action, Policy

_log = structlog.get_logger()


class RetentionKeeper:
    """Looks at what is due, and has it done."""

    def __init__(self, catalog: Catalog, policy: Policy, *, node: str) -> None:
        self._catalog = catalog
        self._policy = policy
        self._by = f"retention@{node}"

    async def keep(self) -> None:
        """Carry out the policy once, as of now."""
        done: Counter[str] = Counter()
        async for decision in self._catalog.retention.plan(self._policy, now=datetime.now(UTC)):
            if isinstance(decision, Action):
                answer = await self._catalog.retention.apply(decision, by=self._by)
                if answer.begun:
                    done[decision.kind.value] += 1
        for month in await self._catalog.retention.old_traces(self._policy, now=datetime.now(UTC)):
            refused = await self._catalog.retention.forget_traces(month, by=self._by)
            if refused is None:
                done["forget-traces"] += 1
        if done:
            _log.info("retention carried out", **dict(done))
