"""A frontend's time as the active one: how it begins, what keeps it, how it ends.

The rules are `lease`; this module asks the catalog and the standbys for them. A host that is alone in its site has no
rival, and its supervisor names the active frontend: there the lease fences, and does not end by time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from recorder.errors import LeaseExpiredError
from recorder.ha.feed import Feed
from recorder.ha.lease import Lease, LeaseSight, State
from recorder.ha.replica import Replica
from recorder.ha.settings import HaSettings
from storage.catalog.sites import LeaseRow, Sites
from storage.errors import CatalogUnreachable, StaleEpoch

_log = structlog.get_logger()

_BUCKET: Final = 1024
"""Epochs that the catalog gives are multiples of it; see `acquire_lease_v2`."""
_IMPATIENT_S: Final = 0.25
"""A catalog that is there answers within a few milliseconds; one that is slow is asked again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A frontend that wants the lease.

    Args:
        sites: the catalog.
        settings: of the site.
        node: this host.
        name: this process, for people.
        rivals: hosts that lived when the catalog was heard last, without this one.
        clock: monotonic seconds.
        wall_clock: for the age of dialogs.
        lease: its view of the lease.

    """

    sites: Sites
    settings: HaSettings
    node: str
    name: str
    rivals: Callable[[], frozenset[str]]
    clock: Callable[[], float]
    wall_clock: Callable[[], datetime]
    lease: Lease

    @property
    def limited(self) -> bool:
        """Whether the lease ends by time."""
        return bool(self.settings.listen)

    async def contend(self, *, impatient: bool = False) -> Tenure | None:
        """Look at the lease and take it if that may be; None: not now.

        Args:
            impatient: clients wait, and there is a way without the catalog.

        Raises:
            CatalogUnreachable: nobody knows.

        """
        try:
            async with asyncio.timeout(_IMPATIENT_S if impatient else self.settings.answer_s if self.limited else None):
                row = await self.sites.see(self.settings.lease)
        except TimeoutError:
            raise CatalogUnreachable("the catalog does not say who has the lease") from None
        self.lease.observe(_sight(row), self.clock())
        asked_at = self.clock()
        if not self.lease.may_acquire(asked_at):
            return None
        self.lease.asking(asked_at)
        epoch = await self.sites.contend(
            self.settings.lease,
            node=self.node,
            holder=self.name,
            seen=row,
            within_s=self.settings.timing.execute_within_s if self.limited else 3600,
        )
        if epoch is None:
            self.lease.refused()
            return None
        if not self.lease.acquired(epoch, asked_at=asked_at, now=self.clock()) and self.limited:
            raise LeaseExpiredError("the lease was granted too late")
        other = row if row and row.node != self.node and self.limited else None
        return Tenure(self, epoch=epoch, fresh_since=_granted(other.epoch) if other else 0)

    async def succeed(self, left: Replica, listen: Callable[[Feed], Awaitable[None]]) -> Tenure | None:
        """Follow the dead frontend of this host without the catalog; None: the other hosts do not agree.

        The supervisor has seen its end, and whoever else might take the lease promises not to.
        """
        sight = self.lease.sight
        if sight and (sight.node not in {"", self.node} or sight.epoch > left.epoch):
            # Somebody else has had the dialogs since.
            return None
        asked_at = self.clock()
        tenure = Tenure(self, epoch=left.epoch + 1, fresh_since=_granted(left.epoch), left=left)
        for dialog in left.dialogs():
            tenure.feed.replica.put(dialog)
        tenure.feed.replica.pending = left.untaken()
        if self.limited and self.rivals():
            await listen(tenure.feed)
            if not await tenure.agreed():
                await tenure.feed.aclose()
                return None
        self.lease.acquired(tenure.epoch, asked_at=asked_at, now=self.clock())
        return tenure


class Tenure:
    """What the active frontend holds.

    Args:
        candidate: who it was before.
        epoch: of the lease.
        fresh_since: epoch by which the last host that had the lease began; what was journaled before is stale.
        left: what the frontend before it left, where the catalog does not answer.

    """

    def __init__(self, candidate: Candidate, *, epoch: int, fresh_since: int, left: Replica | None = None) -> None:
        self.epoch, self.fresh_since, self.left = epoch, fresh_since, left
        self.feed = Feed(candidate.node, epoch=epoch, wall_clock=candidate.wall_clock, rivals=candidate.rivals)
        self._candidate = candidate
        self._lease = candidate.lease

    def holds(self) -> bool:
        """Whether this process may still speak for the site."""
        return not self._candidate.limited or self._lease.holds(self._candidate.clock())

    async def keep(self, extended: Callable[[], Awaitable[None]]) -> None:
        """Give signs of life until cancelled; `extended` is called after each that was confirmed.

        Raises:
            StaleEpoch: another host has the lease.
            LeaseExpiredError: neither the catalog nor the standbys have confirmed it in time.

        """
        candidate, settings = self._candidate, self._candidate.settings
        while True:
            # Where nobody watches, now and then is enough: for whoever is put beside it by mistake.
            await asyncio.sleep(settings.renew_s if candidate.limited else settings.lease_s / 2)
            asked_at = candidate.clock()
            renewed = await self._renewed()
            if renewed is False:
                self._lease.lost()
                raise StaleEpoch(settings.lease, self.epoch)
            if renewed or await self.agreed():
                self._lease.extended(asked_at=asked_at)
                await extended()
            if not self.holds():
                raise LeaseExpiredError("neither the catalog nor the standbys have confirmed the lease in time")

    async def agreed(self) -> bool:
        """Whether every other host promises not to take over; a site's only host needs nobody's."""
        candidate = self._candidate
        if not candidate.limited:
            return True
        # Whoever follows lives, whatever the register says of it.
        rivals = (candidate.rivals() | self.feed.followers()) - {candidate.node}
        return await self.feed.promised(rivals, limit_s=candidate.settings.answer_s)

    async def release(self) -> None:
        """Give the lease back: whoever is next need not wait for its end."""
        candidate = self._candidate
        if self._lease.state is not State.HOLDER:
            return
        self._lease.released()
        try:
            async with asyncio.timeout(candidate.settings.answer_s):
                await candidate.sites.release(candidate.settings.lease, node=candidate.node, epoch=self.epoch)
        except (CatalogUnreachable, TimeoutError) as error:
            _log.warning("lease not given back; it ends by itself", reason=str(error) or "no answer")

    async def _renewed(self) -> bool | None:
        """Renew in the catalog; None: nobody knows."""
        candidate = self._candidate
        try:
            async with asyncio.timeout(candidate.settings.answer_s):
                return await candidate.sites.renew(
                    candidate.settings.lease, node=candidate.node, holder=candidate.name, epoch=self.epoch
                )
        except (CatalogUnreachable, TimeoutError):
            return None


def _granted(epoch: int) -> int:
    """Return the epoch that the catalog gave to the host whose frontends succeeded each other up to this one."""
    return epoch // _BUCKET * _BUCKET


def _sight(row: LeaseRow | None) -> LeaseSight | None:
    if row is None:
        return None
    return LeaseSight(node=row.node, holder=row.holder, epoch=row.epoch, renewals=row.renewals)
