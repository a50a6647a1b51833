"""What a curator does: jobs by kind, and chores by the clock. A further kind of work is one line in one of the tables.

Jobs come from the catalog's queue and must bear to be interrupted anywhere and repeated. Chores run in every curator;
what they do must be safe side by side, by state in the catalog.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from recorder.config import Settings
from recorder.curator.finalise import Finaliser
from storage.catalog import Catalog
from storage.catalog.records import FINALISE, ClaimedJob


@dataclass(frozen=True, slots=True)
class Tools:
    """What work is done with."""

    catalog: Catalog
    settings: Settings


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


JOBS: Final[Mapping[str, Callable[[Tools], JobHandler]]] = {
    FINALISE: lambda tools: Finaliser(tools.catalog, tools.settings).finalise,
}
"""By job kind."""

CHORES: Final[tuple[Chore, ...]] = ()
