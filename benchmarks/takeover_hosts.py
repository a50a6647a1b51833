"""What the loss of a host costs, measured on a lab cluster: hosts are network namespaces; needs root.

`python -m benchmarks.takeover --only host-lost` and `--only writer-host-lost`. Hosts, clients and PostgreSQL share the
machine, so it has to be a quiet one.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.machine import processor_time
from recorder.lab.cluster import CLIENT, FLOATING, SIP_PORT, Cluster
from recorder.simulator.scenario import ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, RunOutcome, Target, run_calls
from storage.catalog import Catalog
from storage.catalog.records import GapKind
from storage.catalog.views import RecordingFilter
from tests.failover.chaos import oracle
from tests.failover.chaos.site import Site
from tests.kit.namespaces import inside

_PROBE_S: Final = 0.02
_LIMIT_S: Final = 30.0
_RATE: Final = 40.0
_SETTLED_S: Final = 1.0
_QUIET_S: Final = 3.0
"""A host that is back is connected to by everybody; after so long only calls are left, and work is what they cost."""
_LOOKED_AT_S: Final = 1.0
"""Before each loss, the machine's processors."""
_AFTER_S: Final = 4.0
_COST: Final = 50 * 30
"""Packets of a stream that one loss may cost; beyond, something is broken."""
_PER_SET: Final = {"host-lost": 10, "writer-host-lost": 25}
"""Losses under one set of calls, which is judged as a whole."""
_EACH_S: Final = {"host-lost": 9.0, "writer-host-lost": 5.5}
"""Media time for each; a machine that is too slow for it loses fewer hosts than it was asked for."""


@dataclass(slots=True)
class HostFigures:
    """One measurement."""

    faults: int = 0
    answered_s: list[float] = field(default_factory=list)
    """Until the floating address answered a request."""
    gaps_s: list[float] = field(default_factory=list)
    """Declared as lost, one of each stream and loss."""
    busy: list[float] = field(default_factory=list)
    """Share of the machine's processors that worked before each loss, 0 to 1."""
    late_ms: float = 0.0
    """What 99 of 100 packets of the clients did not exceed, behind the time at which they were due."""
    broken: list[str] = field(default_factory=list)


def measure(directory: Path, kind: str, *, faults: int, calls: int) -> HostFigures:
    """Lose a host `faults` times under `calls` calls each.

    Args:
        directory: empty, for the lab.
        kind: host-lost (the active one, with its writers) or writer-host-lost (signalling is on another one).
        faults: how many times.
        calls: at the same time.

    """
    figures = HostFigures()
    settings = {
        "media": {"max_streams": 4 * calls + 40, "first_port": 20000, "last_port": 29999, "port_cooldown_s": 0.5}
    }
    # One that writes nothing but speaks SIP, and two that take the calls from each other.
    signalling: dict[str, dict[str, object]] = {"media": {"max_streams": 2}}
    writers_only = kind == "writer-host-lost"
    with (
        Cluster(
            directory,
            hosts=3 if writers_only else 2,
            settings=settings,
            settings_of={"host-a": signalling} if writers_only else None,
        ) as cluster,
        inside(cluster.network.namespace(CLIENT)),
    ):
        while figures.faults < faults and not figures.broken:
            count = min(_PER_SET[kind], faults - figures.faults)
            asyncio.run(_set(Site(cluster), figures, kind, count=count, calls=calls))
            print(f"  {kind}: {figures.faults} of {faults} losses, {len(figures.gaps_s)} gaps", flush=True)
    return figures


async def _set(site: Site, figures: HostFigures, kind: str, *, count: int, calls: int) -> None:
    await site.recovered()
    began = datetime.now(UTC)
    at_s = calls / _RATE + 2
    seconds = at_s + count * _EACH_S[kind] + _AFTER_S
    lose = _lose_active
    if kind == "writer-host-lost":
        lose = _lose_writers
        # While it is not there, all calls go to the other one.
        log = _Log(site, "host-a")
        site.network.cut("host-c")
        await log.said("host lost", host="host-c")
    end = time.monotonic() + seconds - _AFTER_S

    async def act() -> None:
        await lose(site, figures, count, end)

    outcome = await _under_calls(calls, seconds, act, at_s=at_s)
    await site.recovered()
    figures.late_ms = max(figures.late_ms, outcome.sender.lateness.percentile_ms(0.99))
    figures.broken += [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    judgement = await oracle.judge(
        outcome.journal, site.state_dir, cost=_COST * count, patience_s=120, captures=site.captures()
    )
    figures.broken += judgement.faults
    async with await Catalog.connect(site.cluster.dsn, max_size=1) as catalog:
        for row in await catalog.list_recordings(RecordingFilter(limit=10_000)):
            if row.started_at >= began:
                figures.gaps_s += [gap.duration_s for gap in row.gaps if gap.kind is GapKind.LOST]


async def _lose_writers(site: Site, figures: HostFigures, count: int, end: float) -> None:
    """Cut the host that has the media off; the next time it is the other one that has them."""
    log = _Log(site, "host-a")
    site.network.mend("host-c")
    await log.said("host is heard", host="host-c")
    having, free = "host-b", "host-c"
    for _ in range(count):
        await asyncio.sleep(_QUIET_S - _LOOKED_AT_S)
        worked, there = processor_time()
        await asyncio.sleep(_LOOKED_AT_S)
        if time.monotonic() > end:
            return
        worked_then, there_then = processor_time()
        figures.busy.append((worked_then - worked) / (there_then - there))
        sessions = (await asyncio.to_thread(site.cluster.hosts["host-a"].status))["processes"]
        expected = next((one["sessions"] for one in sessions if one["state"] == "active"), None)
        if expected is None:
            raise RuntimeError("host-a has the lease no more: this machine is too slow for so many calls")
        log.skip()
        site.network.cut(having)
        figures.faults += 1
        try:
            await log.said("media moved", expected, before=having)
        finally:
            site.network.mend(having)
        await log.said("host is heard", host=having)
        having, free = free, having


async def _lose_active(site: Site, figures: HostFigures, count: int, end: float) -> None:
    """Cut the active host off, with its writers, and connect it again once the other one has everything."""
    for _ in range(count):
        if time.monotonic() > end:
            return
        lost = await site.active()
        site.network.cut(lost)
        figures.faults += 1
        try:
            figures.answered_s.append(await asyncio.to_thread(_answered))
            await asyncio.sleep(_SETTLED_S)
        finally:
            site.network.mend(lost)
        await site.recovered()


class _Log:
    """What a host logs, each line read once: who looks must not take the time of the clients in the same process."""

    def __init__(self, site: Site, host: str) -> None:
        self._host, self._path = host, site.cluster.hosts[host].log
        self._at = 0
        self.skip()

    def skip(self) -> None:
        """Leave out what it has logged so far."""
        self._at = self._path.stat().st_size

    async def said(self, what: str, times: int = 1, **facts: str) -> None:
        """Wait until it has logged something so often; the values of `facts` begin with these texts."""
        wanted = [f"] {what}", *(f" {name}={value}" for name, value in facts.items())]
        deadline = time.monotonic() + _LIMIT_S
        while times > 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._host} has not said in {_LIMIT_S:.0f} s: {what} {facts}, {times} more times")
            await asyncio.sleep(_PROBE_S)
            times -= sum(all(text in line for text in wanted) for line in self._lines())

    def _lines(self) -> list[str]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole = file.read().rpartition(b"\n")[0] + b"\n"
        if len(whole) == 1:
            return []
        self._at += len(whole)
        return whole.decode().splitlines()


async def _under_calls(calls: int, seconds: float, act: Callable[[], Awaitable[None]], *, at_s: float) -> RunOutcome:
    options = ScenarioOptions(calls=calls, seconds=seconds, rate=_RATE, seed=secrets.randbelow(1 << 31))
    return await run_calls(
        plan_calls(options, started_at=datetime.now(UTC), run=secrets.token_hex(8)),
        Target("udp", FLOATING, SIP_PORT),
        options=RunOptions(),
        moments=[Moment(at_s, act)],
    )


def _answered() -> float:
    began = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PROBE_S)
        sock.connect((FLOATING, SIP_PORT))
        host, port = sock.getsockname()
        while time.monotonic() - began < _LIMIT_S:
            token = secrets.token_hex(6)
            text = (
                f"OPTIONS sip:probe@{FLOATING} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{token}\r\n"
                f"From: <sip:probe@{host}>;tag=1\r\nTo: <sip:probe@{FLOATING}>\r\nCall-ID: {token}\r\n"
                "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
            try:
                sock.send(text.encode())
                if sock.recv(4096).startswith(b"SIP/2.0 200 "):
                    return time.monotonic() - began
            except OSError:
                time.sleep(_PROBE_S)
    raise RuntimeError("the floating address does not answer")


def report(figures: HostFigures, kind: str, calls: int, percentiles: Callable[[Sequence[float]], str]) -> str:
    """Return in one line what came of it."""
    answered = f"; next request answered: {percentiles(figures.answered_s)}" if figures.answered_s else ""
    busy = f"; processors busy before: {statistics.mean(figures.busy):.0%}" if figures.busy else ""
    return (
        f"{kind}: {figures.faults} hosts cut off under {calls} calls of 2 streams{answered};"
        f" gap of a stream ({len(figures.gaps_s)} gaps): {percentiles(figures.gaps_s)}{busy};"
        f" clients late by p99 {figures.late_ms:.0f} ms; broken promises: {len(figures.broken)}"
    )
