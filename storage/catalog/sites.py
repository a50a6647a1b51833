"""What hosts of a site tell each other through the catalog: the lease, and the register of hosts.

What a sight of the lease means is not decided here: `recorder.ha.lease`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.catalog.connection import Database
from storage.catalog.text import storable


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """The lease as it was read."""

    node: str
    """Host of the holder; empty when it gave the lease back."""
    holder: str
    epoch: int
    renewals: int
    at: datetime
    """When it was read, by the clock of the database; for `contend` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One host of a site as it described itself last."""

    node: str
    instance: str
    """Names the recorder process of the host; its RTP sockets live as long."""
    endpoint: str
    """host:port at which other hosts reach its writers and its frontend."""
    state: str
    """running or ended."""
    writers: tuple[str, ...]
    silent_s: float
    """Seconds since then, by the clock of the database."""


class Sites:
    """Statements about leases and hosts; errors as of `Catalog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def see(self, lease: str) -> LeaseRow | None:
        """Return the lease as it is; None before its first acquisition."""
        row = await self._database.optional_row("see_lease", lease)
        return LeaseRow(**row) if row else None

    async def contend(
        self, lease: str, *, node: str, holder: str, seen: LeaseRow | None, within_s: float
    ) -> int | None:
        """Take the lease if it is as it was seen; returns the new epoch, or None: somebody else was faster.

        It waits until writes of the former holder that are under way have ended, and is not carried out later than
        `within_s` after the sight.
        """
        not_after = seen.at + timedelta(seconds=within_s) if seen else None
        found = await self._database.value(
            "contend_lease",
            lease,
            node,
            storable(holder),
            seen.epoch if seen else None,
            seen.renewals if seen else None,
            not_after,
        )
        return None if found is None else int(found)

    async def renew(self, lease: str, *, node: str, holder: str, epoch: int) -> bool:
        """Give a sign of life; False: somebody else has the lease."""
        return bool(await self._database.value("renew_lease", lease, node, storable(holder), epoch))

    async def release(self, lease: str, *, node: str, epoch: int) -> bool:
        """Give the lease back; False: somebody else has it already."""
        return bool(await self._database.value("release_lease", lease, node, epoch))

    async def beat(
        self, site: str, *, node: str, instance: str, endpoint: str, writers: Sequence[str], state: str = "running"
    ) -> None:
        """Describe a host and say that it lives."""
        await self._database.row("beat_node", site, node, instance, endpoint, state, list(writers))

    async def nodes(self, site: str) -> list[NodeRow]:
        """Return the hosts of a site."""
        return [
            NodeRow(**{**row, "writers": tuple(row["writers"])})
            for row in await self._database.rows("list_nodes", site)
        ]
