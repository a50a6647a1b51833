"""The truth behind OPTIONS, INVITE and /readyz: can this host record one more session now?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from recorder.edge.occupancy import Occupancy
from recorder.writer_pool.pool import WriterPool

RETRY_AFTER_DRAINING_S: Final = 300
"""A draining host comes back after a restart at the earliest."""
RETRY_AFTER_BUSY_S: Final = 10
"""Ports and disk space come free by the call; Genesys and SBCs probe every few seconds anyway."""
_MEDIA_PER_SESSION: Final = 2


@dataclass(frozen=True, slots=True)
class Inability:
    """Why not, and when to ask again."""

    reason: str
    retry_after_s: int


@dataclass(slots=True)
class Ability:
    """Answers for the whole chain: signalling, writers, disk, checkpoints."""

    pool: WriterPool
    checkpoints_possible: Callable[[], bool]
    occupancy: Occupancy
    draining: bool = field(default=False)

    def obstacle(self, streams: int = _MEDIA_PER_SESSION, *, source: str = "") -> Inability | None:
        """Return why a session of `streams` streams cannot be recorded now, or None when it can.

        With `source`, the address of a client, its own limit counts as well.
        """
        if self.draining:
            return Inability("draining", RETRY_AFTER_DRAINING_S)
        if not self.checkpoints_possible():
            return Inability("neither the catalog nor the journal takes checkpoints", RETRY_AFTER_BUSY_S)
        if full := self.occupancy.obstacle(source):
            return Inability(full, RETRY_AFTER_BUSY_S)
        if not self.pool.choose(streams):
            return Inability(self.pool.why_none(), RETRY_AFTER_BUSY_S)
        return None
