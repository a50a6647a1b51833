"""A site of several hosts as faults see it, and what can happen to it: hosts, links, PostgreSQL, single processes.

Every fault ends by itself; what was cut is connected again, what was killed is started again. Needs root.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from recorder.control import ask
from recorder.errors import NotRunningError
from recorder.lab.cluster import CLIENT, DATABASE, FLOATING, SIP_PORT, Cluster
from recorder.simulator.simulation import Target as SipTarget
from recorder.state_dir import StateDir
from tests.failover.chaos.faults import Fault, read_only, send
from tests.kit.wire import Impairment, Wire, dropping

_RECOVERED_S: Final = 120.0
_POLL_S: Final = 0.05
_WORKING: Final = frozenset({"running", "active", "standby", "candidate"})
_GONE: Final = 15 * 50
"""Packets of a stream that the loss of a host may cost: 15 s, on a machine that is busy with other tests."""


class Site:
    """A running lab cluster.

    Args:
        cluster: this process is inside the namespace of its client.

    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self.sip = SipTarget("udp", FLOATING, SIP_PORT)
        """Where calls go."""
        self.rewiring: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One wire of a host at a time: what would be the second strikes after the first has ended."""

    @property
    def state_dir(self) -> StateDir:
        """Of a recorder that runs."""
        return self.cluster.hosts[self.cluster.active()].state_dir

    def captures(self) -> list[Path]:
        """Return the directories of all hosts."""
        return [host.state_dir.captures for host in self.cluster.hosts.values()]

    def wounds(self) -> list[str]:
        """Return what keeps the site from being whole: all processes at work, one active, the others standing by."""
        found = []
        active: list[dict[str, Any]] = []
        for name, host in self.cluster.hosts.items():
            processes = host.status().get("processes", [])
            if not processes:
                found.append(f"{name} does not answer")
            active += [one for one in processes if one["state"] == "active"]
            for one in processes:
                if not one["pid"] or one["state"] not in _WORKING:
                    found.append(f"{name}: {one['name']} {one['state']}")
        others = len(self.cluster.hosts) - 1
        for one in active:
            if one.get("rivals") != others or one.get("catalog") != "current" or one.get("unable"):
                found.append(f"active: {one}")
        if len(active) != 1:
            found.append(f"{len(active)} active frontends")
        return found

    async def recovered(self) -> None:
        """Wait until it is whole again."""
        deadline = time.monotonic() + _RECOVERED_S
        while found := await asyncio.to_thread(self.wounds):
            assert time.monotonic() < deadline, f"not whole again: {found}"
            await asyncio.sleep(_POLL_S)

    async def active(self) -> str:
        """Return the active host, waiting for there to be one."""
        return await self._named(self.cluster.active)

    async def standby(self) -> str:
        """Return a host that stands by, waiting for there to be one."""
        return await self._named(self.cluster.standby)

    async def _named(self, who: Callable[[], str]) -> str:
        deadline = time.monotonic() + _RECOVERED_S
        while not (found := await asyncio.to_thread(who)):
            assert time.monotonic() < deadline, "no such host"
            await asyncio.sleep(_POLL_S)
        return found

    async def pids(self, host: str, role: str, *states: str) -> list[int]:
        """Return the processes of a role on a host, in one of the given states, or in any."""
        answer = await asyncio.to_thread(self.cluster.hosts[host].status)
        return [
            one["pid"]
            for one in answer.get("processes", [])
            if one["role"] == role and one["pid"] and (not states or one["state"] in states)
        ]

    async def command(self, host: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Give a supervisor a command; what it refuses at such a moment is no matter of ours."""
        try:
            return await asyncio.to_thread(ask, self.cluster.hosts[host].state_dir, name, **arguments)
        except NotRunningError as error:
            return {"error": str(error)}

    def log(self) -> str:
        """Return everything that the hosts have logged so far."""
        return "\n".join(f"--- {host.name}\n{host.log.read_text()}" for host in self.cluster.hosts.values())

    def assert_no_traceback(self) -> None:
        """Fail if a host logged an exception trace."""
        text = self.log()
        at = text.find("Traceback")
        assert at < 0, f"a defect in the log:\n{text[max(at - 600, 0) : at + 3000]}"


SiteStrike = Callable[[Site, random.Random], Awaitable[None]]
Which = Callable[[Site], Awaitable[str]]


def _kill_host(which: Which) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        host = await which(site)
        await asyncio.to_thread(site.cluster.kill, host)
        try:
            await asyncio.sleep(rng.uniform(3.0, 5.0))
        finally:
            site.cluster.launch(host)

    return strike


def _cut(which: Which, shortest_s: float, longest_s: float) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        host = await which(site)
        site.network.cut(host)
        try:
            await asyncio.sleep(rng.uniform(shortest_s, longest_s))
        finally:
            site.network.mend(host)

    return strike


def _freeze_host(which: Which) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        host = await which(site)
        await asyncio.to_thread(site.cluster.signal, host, signal.SIGSTOP)
        try:
            await asyncio.sleep(rng.uniform(3.0, 6.0))
        finally:
            site.cluster.signal(host, signal.SIGCONT)

    return strike


def _kill(role: str, *states: str) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        victims = await site.pids(await site.active(), role, *states)
        if victims:
            send([rng.choice(victims)], signal.SIGKILL)

    return strike


async def _kill_gateways(site: Site, _: random.Random) -> None:
    for host in site.cluster.hosts:
        send(await site.pids(host, "gateway"), signal.SIGKILL)


async def _hand_over(site: Site, _: random.Random) -> None:
    await site.command(await site.active(), "switchover", away=True)


def _worse(which: Which, delay: tuple[float, float], jitter_s: float = 0.0) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        worse = Impairment(rng.uniform(*delay), jitter_s)
        host = await which(site)
        async with site.rewiring[host]:
            with Wire(site.network, host, worse, random.Random(rng.random())):
                await asyncio.sleep(rng.uniform(3.0, 5.0))

    return strike


def _loss(which: Which, per_cent: int) -> SiteStrike:
    async def strike(site: Site, rng: random.Random) -> None:
        with dropping(site.network, await which(site), per_cent):
            await asyncio.sleep(rng.uniform(2.0, 4.0))

    return strike


async def _read_only(site: Site, rng: random.Random) -> None:
    await read_only(site.cluster.dsn, rng.uniform(2.0, 4.0))


async def _client(_: Site) -> str:
    return CLIENT


async def _database(_: Site) -> str:
    return DATABASE


SITE_FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("active-host-killed", _kill_host(Site.active), cost=_GONE),
        Fault("active-host-cut", _cut(Site.active, 3.0, 6.0), cost=_GONE),
        Fault("active-host-blinks", _cut(Site.active, 0.2, 1.2), cost=_GONE),
        Fault("active-host-frozen", _freeze_host(Site.active), cost=_GONE),
        Fault("other-host-killed", _kill_host(Site.standby), cost=_GONE),
        Fault("other-host-cut", _cut(Site.standby, 1.0, 5.0), cost=_GONE),
        Fault("other-host-frozen", _freeze_host(Site.standby), cost=_GONE),
        Fault("frontend-killed", _kill("frontend", "active")),
        Fault("writer-killed", _kill("writer"), cost=1),
        Fault("gateways-killed", _kill_gateways),
        Fault("lease-handed-over", _hand_over),
        Fault("clients-lossy", _loss(_client, 5), cost=100, blurs=True),
        Fault("active-host-lossy", _loss(Site.active, 20), cost=_GONE),
        Fault("clients-reordered", _worse(_client, (0.02, 0.06), jitter_s=0.05), cost=10, blurs=True),
        Fault("active-host-reordered", _worse(Site.active, (0.02, 0.06), jitter_s=0.05), cost=_GONE, blurs=True),
        Fault("postgresql-slow", _worse(_database, (0.1, 0.4))),
        Fault("postgresql-cut", _cut(_database, 2.0, 5.0)),
        Fault("postgresql-lossy", _loss(_database, 20)),
        Fault("postgresql-read-only", _read_only),
    )
}
"""By name; each takes a few seconds. Where a host is lost for its rivals, its media may be lost with it."""
