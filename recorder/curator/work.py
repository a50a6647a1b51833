"""What a curator does: jobs by kind, and chores by the clock. A further kind of work is one line in one of the tables.

Jobs come from the catalog's queue and must bear to be interrupted anywhere and repeated. Chores run in every curator;
what they do must be safe side by side, by state in the catalog.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from recorder.curator.captures import Captures
from recorder.curator.copies.decide import PairDecider
from recorder.curator.copies.heal import Healer
from recorder.curator.copies.remove import CopyRemover
from recorder.curator.copies.seek import Seeker
from recorder.curator.erase import Eraser
from recorder.curator.finalise import Finaliser
from recorder.curator.keeping import Keeping
from recorder.curator.redact import RedactJobs
from recorder.curator.retention import RetentionKeeper
from recorder.curator.revive import Reviver
from recorder.curator.scratch import ScratchSweeper
from recorder.curator.stating import Stating
from recorder.depot import Depot
from recorder.settings import Settings
from recorder.state_dir import StateDir
from storage.catalog import Catalog
from storage.catalog.copy_records import HEAL, PAIR
from storage.catalog.deletions import ERASE
from storage.catalog.records import DISCARD, FINALISE, HOLD_OBJECTS, MANIFEST, UPLOAD, ClaimedJob
from storage.catalog.redactions import REDACT
from storage.files import FileStore


@dataclass(frozen=True, slots=True)
class Tools:
    """What work is done with."""

    catalog: Catalog
    settings: Settings
    depot: Depot


NODE: Final = "{node}"

JobHandler = Callable[[ClaimedJob], Awaitable[None]]
"""Does one job and completes it; an exception gives it back. Blocking work belongs into a thread."""
ChoreHandler = Callable[[], Awaitable[None]]
"""Does what is due now; an exception is logged and the chore tried again at its next time."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that no event asks for."""

    name: str
    every_s: Callable[[Settings], float]
    """Seconds between the end of one run and the next; 0: never."""
    make: Callable[[Tools], ChoreHandler]


def _eraser(tools: Tools, host: str) -> JobHandler:
    captures = FileStore(StateDir(tools.settings.state_dir).captures, name="captures")
    keep = tools.settings.retention.keep_facts
    return Eraser(tools.catalog, host=host, captures=captures, stores=tools.depot.stores, keep=keep).erase


def _of_files(kind: str, make: Callable[[Tools], JobHandler]) -> dict[str, Callable[[Tools], JobHandler]]:
    """Work on files that any host sees, and on those that only this one has."""
    return {kind: make, f"{kind}@{NODE}": make}


_SEARCH_S: Final = 1.0
"""A search brings its index up to date by itself; this keeps what it then has to do small."""

JOBS: Final[Mapping[str, Callable[[Tools], JobHandler]]] = {
    ERASE: lambda tools: _eraser(tools, ""),
    ERASE + NODE: lambda tools: _eraser(tools, tools.settings.node),
    PAIR: lambda tools: PairDecider(tools.catalog, tools.depot.local).decide,
    HEAL: lambda tools: Healer(tools.catalog, tools.settings, tools.depot).heal,
    FINALISE: lambda tools: (
        Finaliser(tools.catalog, tools.settings, tools.depot, Captures(tools.catalog.sites, tools.settings)).finalise
    ),
    MANIFEST: lambda tools: Stating(tools.catalog, tools.settings, tools.depot).state,
    **_of_files(UPLOAD, lambda tools: Keeping(tools.catalog, tools.depot).upload),
    **_of_files(DISCARD, lambda tools: Keeping(tools.catalog, tools.depot).discard),
    **_of_files(REDACT, lambda tools: RedactJobs(tools.catalog, tools.depot).redact),
    HOLD_OBJECTS: lambda tools: Keeping(tools.catalog, tools.depot).hold_objects,
}
"""By job kind; `NODE` in a kind stands for the name of this host, for what only it can do."""


def _retention(tools: Tools) -> ChoreHandler:
    settings = tools.settings
    return RetentionKeeper(tools.catalog, settings.retention.policy(), node=settings.node).keep


CHORES: Final[tuple[Chore, ...]] = (
    Chore("search", lambda settings: _SEARCH_S, lambda tools: _index(tools.catalog)),
    Chore("seek-copies", lambda settings: 1.0, lambda tools: Seeker(tools.catalog.copies, tools.settings.copies).seek),
    Chore(
        "remove-copies",
        lambda settings: 0.0 if settings.copies.policy == "keep" else 600.0,
        lambda tools: CopyRemover(tools.catalog, tools.settings.copies, tools.settings.retention.policy()).remove,
    ),
    Chore(
        "retention",
        lambda settings: settings.retention.every_minutes * 60 if settings.retention.enabled else 0.0,
        _retention,
    ),
    Chore("clear-scratch", lambda settings: 600.0, lambda tools: ScratchSweeper(tools.depot.local).sweep),
    Chore(
        "clear-fetched",
        lambda settings: 600.0 if settings.ha.listen else 0.0,
        lambda tools: Captures(tools.catalog.sites, tools.settings).sweep,
    ),
    Chore(
        "revive-finalising",
        lambda settings: 5.0 if settings.ha.listen else 0.0,
        lambda tools: Reviver(tools.catalog, tools.settings).revive,
    ),
    Chore("withdraw-intents", lambda _: 600.0, lambda tools: Keeping(tools.catalog, tools.depot).withdraw),
)


def _index(catalog: Catalog) -> ChoreHandler:
    async def run() -> None:
        await catalog.index_pending()

    return run
