"""What each recording client makes of our own offers, and so how its sessions can still be moved.

Learnt from its answers, kept in the catalog, and believed for a day: an upgrade of the client may end a refusal. Known
by source address and User-Agent, because several kinds of clients may stand behind one proxy.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from storage.catalog.records import PeerCapability
from storage.errors import CatalogUnreachable

if TYPE_CHECKING:
    from recorder.frontend.frontend import Frontend
    from recorder.frontend.session import Session
    from storage.catalog import Catalog

_log = structlog.get_logger()

BELIEVED: Final = timedelta(days=1)
_NEWS: Final = timedelta(hours=1)
"""Age at which the same knowledge is stored again; a drained writer may move a thousand sessions of one client."""
_LADDERS: Final = {
    "reinvite": ("INVITE", "UPDATE"),
    "update": ("UPDATE", "INVITE"),
    "unknown": ("INVITE", "UPDATE"),
    "none": (),
}
"""By `own_offers` of the profile: which requests are tried, in this order."""


class Outcome(enum.StrEnum):
    """What a client made of an offer of ours."""

    ANSWERED = "answered"
    REFUSED = "refused"
    IGNORED = "ignored"


class Capabilities:
    """What one frontend knows of its clients."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend
        self._known: dict[tuple[str, str, str], PeerCapability] = {}

    async def load(self, catalog: Catalog) -> None:
        """Take over what frontends before this one have learnt; without the catalog, begin with nothing."""
        try:
            found = await catalog.capabilities(since=self._frontend.wall_clock() - BELIEVED)
        except CatalogUnreachable as error:
            _log.warning("what is known of clients could not be read", reason=str(error))
            return
        self._known = {(one.peer, one.product, one.method): one for one in found}

    async def learn(self, session: Session, method: str, outcome: Outcome, status: int | None = None) -> None:
        """Remember what the client of a session made of an offer."""
        frontend = self._frontend
        known = self._known.get((session.peer, session.product, method))
        if known and known.outcome == outcome.value and frontend.wall_clock() - known.learnt_at < _NEWS:
            return
        learnt = PeerCapability(
            epoch=frontend.catalog.epoch,
            peer=session.peer,
            product=session.product,
            method=method,
            outcome=outcome.value,
            status=status,
            learnt_at=frontend.wall_clock(),
        )
        self._known[session.peer, session.product, method] = learnt
        if outcome is not Outcome.ANSWERED:
            _log.warning(
                "client takes no offer of ours",
                peer=session.peer,
                product=session.product,
                method=method,
                outcome=outcome.value,
                status=status,
            )
        await frontend.catalog.write(learnt)

    def ladder(self, session: Session, peer_methods: Collection[str]) -> tuple[str, ...]:
        """Return the methods by which an offer of ours may succeed, best first.

        Args:
            session: whose client it is.
            peer_methods: what its Allow lists; UPDATE is tried only if that or the profile names it (RFC 3311 §5.1).

        """
        own_offers = self._frontend.edge.profiles.named(session.profile).own_offers
        return tuple(
            method
            for method in _LADDERS[own_offers]
            if not self._declines(session, method)
            and (method != "UPDATE" or own_offers == "update" or "UPDATE" in peer_methods)
        )

    def _declines(self, session: Session, method: str) -> bool:
        known = self._known.get((session.peer, session.product, method))
        if known is None or known.outcome == Outcome.ANSWERED.value:
            return False
        return self._frontend.wall_clock() - known.learnt_at < BELIEVED
