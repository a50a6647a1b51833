"""Which writer takes a new session: a pure choice from what the writers said last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLoad:
    """One writer as its last heartbeat showed it, corrected by what was placed there since."""

    name: str
    free_ports: int
    streams: int
    free_bytes: int
    healthy: bool
    """Connected, beating, its disk in order."""
    draining: bool = False
    local: bool = True
    """On the host of the active frontend: its commands need no network, and one host's loss costs less."""


def candidates(
    loads: Iterable[WriterLoad], *, streams: int, min_free_bytes: int, avoid: frozenset[str] = frozenset()
) -> list[str]:
    """Return the writers that can take `streams` more streams, best first.

    Both streams of a session go to one writer. Writers of this host come first, then the emptiest; the writers in
    `avoid` (they hold a copy of the same call, or have just refused) come last, since a copy beside its twin beats no
    copy.
    """
    able = [
        load
        for load in loads
        if load.healthy and not load.draining and load.free_ports >= streams and load.free_bytes >= min_free_bytes
    ]
    able.sort(key=lambda load: (load.name in avoid, not load.local, load.streams, -load.free_ports, load.name))
    return [load.name for load in able]
