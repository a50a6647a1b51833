"""Which writer takes a new session: a pure choice from what the writers said last."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class WriterLoad(msgspec.Struct, frozen=True, kw_only=True):
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
    host: str = ""
    """Empty where there is only one."""
    late: bool = False
    """It owes an answer for longer than answers take: it may stand still, which its heartbeats do not tell yet."""


def candidates(
    loads: Iterable[WriterLoad],
    *,
    streams: int,
    min_free_bytes: int,
    avoid: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
) -> list[str]:
    """Return the writers that can take `streams` more streams, best first.

    Both streams of a session go to one writer. Writers of this host come first, then the emptiest; the writers in
    `avoid`, and those that are late, come last. So do those in `apart`, which hold a copy of the same call, and before
    them the other writers of their hosts: the loss of a host takes one copy only, but a copy beside its twin beats
    none.
    """
    loads = list(loads)
    hosts = {load.host for load in loads if load.name in apart}
    able = [
        load
        for load in loads
        if load.healthy and not load.draining and load.free_ports >= streams and load.free_bytes >= min_free_bytes
    ]

    def order(load: WriterLoad) -> tuple[object, ...]:
        last = load.late or load.name in avoid or load.name in apart
        return last, load.host in hosts, not load.local, load.streams, -load.free_ports, load.name

    able.sort(key=order)
    return [load.name for load in able]
