"""What the loss of a host costs, measured on a lab cluster: hosts are network namespaces; needs root.

`python -m benchmarks.takeover --only host-lost` and `--only writer-host-lost`. Hosts, clients and PostgreSQL share the
machine, so it has to be a quiet one.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from recorder.control import ask
from recorder.lab.cluster import CLIENT, FLOATING, SIP_PORT, Cluster
from recorder.simulator.scenario import ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, RunOutcome, Target, run_calls
from storage.catalog import Catalog
from storage.catalog.records import GapKind
from storage.catalog.views import RecordingFilter
from tests.failover.chaos import oracle
from tests.kit.namespaces import inside

_PROBE_S: Final = 0.02
_LIMIT_S: Final = 30.0
_RATE: Final = 40.0
_SETTLED_S: Final = 3.0
_AFTER_S: Final = 8.0
_WORKING: Final = frozenset({"running", "active", "standby", "candidate"})
_COST: Final = 50 * 30


@dataclass(slots=True)
class HostFigures:
    """One measurement."""

    faults: int = 0
    answered_s: list[float] = field(default_factory=list)
    """Until the floating address answered a request."""
    gaps_s: list[float] = field(default_factory=list)
    """Declared as lost, one of each stream."""
    broken: list[str] = field(default_factory=list)


def measure(directory: Path, kind: str, *, faults: int, calls: int) -> HostFigures:
    """Lose a host `faults` times under `calls` calls each.

    Args:
        directory: empty, for the lab.
        kind: host-lost (the active one, with its writers) or writer-host-lost (signalling is on the other one).
        faults: how many times.
        calls: at the same time.

    """
    figures = HostFigures()
    settings = {"media": {"max_streams": 4 * calls + 40, "first_port": 20000, "last_port": 29999}}
    with Cluster(directory, settings=settings) as cluster, inside(cluster.network.namespace(CLIENT)):
        for _ in range(faults):
            cluster.wait(lambda: _whole(cluster), "every process of both hosts at work")
            asyncio.run(_lose(cluster, figures, kind, calls))
            figures.faults += 1
    return figures


async def _lose(cluster: Cluster, figures: HostFigures, kind: str, calls: int) -> None:
    lost, other = cluster.active(), cluster.standby()

    async def act() -> None:
        if kind == "writer-host-lost":
            answer = await asyncio.to_thread(ask, cluster.hosts[lost].state_dir, "switchover", away=True)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            await asyncio.sleep(_SETTLED_S)
        cluster.network.cut(lost)
        figures.answered_s.append(await asyncio.to_thread(_answered))

    began = datetime.now(UTC)
    outcome = await _under_calls(calls, act)
    figures.broken += [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    judgement = await oracle.judge(outcome.journal, cluster.hosts[other].state_dir, cost=_COST, patience_s=120)
    figures.broken += judgement.faults
    async with await Catalog.connect(cluster.dsn, max_size=1) as catalog:
        for row in await catalog.list_recordings(RecordingFilter(limit=10_000)):
            if row.started_at >= began:
                figures.gaps_s += [gap.duration_s for gap in row.gaps if gap.kind is GapKind.LOST]
    cluster.network.mend(lost)


async def _under_calls(calls: int, act: Callable[[], Awaitable[None]]) -> RunOutcome:
    at_s = calls / _RATE + 2
    options = ScenarioOptions(
        calls=calls, seconds=at_s + _SETTLED_S + _AFTER_S, rate=_RATE, seed=secrets.randbelow(1 << 31)
    )
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


def _whole(cluster: Cluster) -> bool:
    status = [host.status() for host in cluster.hosts.values()]
    return bool(cluster.active() and cluster.standby()) and all(
        one["pid"] and one["state"] in _WORKING for answer in status for one in answer["processes"]
    )


def report(figures: HostFigures, kind: str, calls: int, percentiles: Callable[[Sequence[float]], str]) -> list[str]:
    """Print what came of it; returns the broken promises."""
    print(f"{kind}: {figures.faults} hosts cut off under {calls} calls of 2 streams")
    print(f"  next request answered: {percentiles(figures.answered_s)}")
    print(f"  gap of a stream ({len(figures.gaps_s)} gaps): {percentiles(figures.gaps_s)}")
    print(f"  broken promises: {len(figures.broken)}", flush=True)
    return figures.broken
