"""Which frontend of this host is the active one (docs/adr/0007): the supervisor names it, and replaces a dead one.

In a site of several hosts the one that is named here is a candidate until it has the site's lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from recorder.channel import Activate, DrainWriter, Stop
from recorder.supervisor.child import Child
from recorder.supervisor.waiting import first

_log = structlog.get_logger()

_FIRST_LOOK_S: Final = 1.0
_SILENT_S: Final = 2.0
"""An active frontend that has not reported for this long is frozen; it reports twice a second."""


class ActiveChoice:
    """Names one of the frontends.

    Args:
        frontends: those of this host, as they are now.
        ending: whether the recorder ends, and nobody is named any more.

    """

    def __init__(self, frontends: Callable[[], Iterable[Child]], ending: Callable[[], bool]) -> None:
        self.named: Child | None = None
        """Told to be the active one, and alive."""
        self.settled = asyncio.Event()
        """Whether it is active, or the candidate of this host."""
        self.drained_writers: frozenset[str] = frozenset()
        self._frontends, self._ending = frontends, ending
        self._yielding = False

    def name_one(self) -> None:
        """Name a standby unless there is one that is named."""
        if self.named is not None or self._yielding or self._ending():
            return
        standby = [child for child in self._frontends() if child.state == "standby"]
        if standby:
            self.named = standby[0]
            self.named.send(Activate())
            for writer in self.drained_writers:
                self.named.send(DrainWriter(writer=writer, draining=True))

    def is_gone(self, child: Child) -> None:
        """Name another one if it was this one that ended."""
        if child is self.named:
            self.named = None
            self.settled.clear()
            self.name_one()

    async def has_taken_over(self, limit_s: float) -> None:
        """Wait until the one that is named is at work, unless nobody is named."""
        if self.named is not None:
            await first(self.settled.wait(), limit_s=limit_s)

    async def replace_silent(self) -> None:
        """Kill an active frontend that is frozen: its reports come from the loop that does its work.

        A look that is late itself excuses as much silence, and so does the frontend's waiting for a core: on a machine
        that stands still, or is too full, nobody can report.
        """
        while True:
            due = time.monotonic() + _SILENT_S / 4
            await asyncio.sleep(_SILENT_S / 4)
            late_s, active = time.monotonic() - due, self.named
            if active and active.state == "active" and active.heard.seconds > _SILENT_S + late_s:
                _log.error("active frontend is silent; replacing it", name=active.name)
                active.kill()
                await active.exited.wait()

    async def switch_over(self, limit_s: float) -> tuple[str, str]:
        """End the active frontend in good order; returns its name and that of its successor, or "" and the reason."""
        before = self.named
        ready = [child.name for child in self._frontends() if child.state == "standby"]
        if before is None or not ready:
            return "", "no standby frontend is ready: set sip.frontends to 2 or more, or wait for its start"
        self.settled.clear()
        before.send(Stop())
        await first(self.settled.wait(), limit_s=limit_s)
        if self.named is None or not self.settled.is_set():
            return "", "the standby did not become active; look at the log"
        return before.name, self.named.name

    async def hand_over(self, for_s: float, limit_s: float) -> tuple[str, str]:
        """End the active frontend and leave the lease to another host for a while; returns as `switch_over`."""
        before = self.named
        if before is None or before.state != "active":
            return "", "this host is not the active one"
        self._yielding = True
        self.settled.clear()
        try:
            before.send(Stop())
            await first(before.exited.wait(), limit_s=limit_s)
            await asyncio.sleep(for_s)
        finally:
            self._yielding = False
            self.name_one()
        await first(self.settled.wait(), limit_s=limit_s)
        # A candidate that finds the lease where it left it takes it again at its first look.
        await asyncio.sleep(_FIRST_LOOK_S)
        if self.named is None or self.named.state != "candidate":
            return "", "no other host took over; this one goes on. Look at the other host: `recorder-admin status`"
        return before.name, "another host"

    def writers_elsewhere(self) -> list[str]:
        """Return the writers of the site's other hosts that the active frontend of this one uses."""
        return str(self.named.detail.get("writers_elsewhere", "")).split() if self.named else []

    def whereabouts(self) -> str:
        """Return what to say to somebody who misses the writers of other hosts here."""
        standing_by = self.named is not None and self.named.state == "candidate"
        return "; those of other hosts are drained on the host that is active" if standing_by else ""

    def drain(self, writer: str, writers: list[str], *, draining: bool) -> str:
        """Give a writer nothing new and move its sessions to others, or use it again; returns why not, or ""."""
        if self.named is None:
            return "no frontend is active; wait a moment and repeat"
        drained = (self.drained_writers | {writer}) if draining else (self.drained_writers - {writer})
        if draining and len(drained) == len(writers):
            return "this is the last writer in use: nobody could take its sessions"
        self.drained_writers = drained
        self.named.send(DrainWriter(writer=writer, draining=draining))
        return ""
