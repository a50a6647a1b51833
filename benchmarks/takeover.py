"""What each kind of death costs: frontends, writers and PostgreSQL killed again and again under running calls.

`python -m benchmarks.takeover [--faults 100] [--calls 20]`. The simulator's journal says what was sent; recorder and
simulator share the machine, so its load is printed beside the result.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import takeover_hosts
from benchmarks.machine import machine_facts
from recorder.simulator.scenario import ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, RunOutcome, Target, run_calls
from recorder.state_dir import StateDir
from tests.failover.chaos import faults, oracle
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import Dialog, SipClient, msr_uri, new_identifier, offer

_SETTLED_S: Final = 2.0
_PROBE_S: Final = 0.02
_LIMIT_S: Final = 40.0
_STREAMS: Final = 2
_RATE: Final = 40.0
"""Calls per second until all of a set talk."""
_PER_RUN: Final = 20
"""Faults under one set of calls; each set has a recorder of its own and is judged as a whole."""
_EACH_S: Final = 4.0
"""Media time for each fault of a set."""
_SPARE: Final = {"RECORDER_SIP_FRONTENDS": "5", "RECORDER_MEDIA_WRITERS": "6"}
"""More processes than anybody runs: the supervisor waits up to 5 s before it restarts one that dies again and again,
which no figure here is about."""
_KNOWN_AWAY_S: Final = 2.5
"""By then a write has found that PostgreSQL does not answer, or nothing is written."""
_HOSTS: Final = ("host-lost", "writer-host-lost")
_TAKEOVER: Final = re.compile(r"active dialogs=(\d+) .*takeover_ms=([\d.]+)")


@dataclass(slots=True)
class Figures:
    """One measurement."""

    faults: int = 0
    times_s: list[float] = field(default_factory=list)
    packets: int = 0
    lost: int = 0
    longest_gap_s: float = 0.0
    """Of one stream, declared as lost."""
    broken: list[str] = field(default_factory=list)
    messages: int = 0
    """Requests of the recorder."""

    def times(self) -> str:
        """Return p50, p99 and the largest, in milliseconds."""
        return percentiles(self.times_s)


def percentiles(times_s: Sequence[float]) -> str:
    """Return p50, p99 and the largest, in milliseconds."""
    if not times_s:
        return "none"
    ordered = sorted(times_s)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"p50 {statistics.median(ordered) * 1e3:.0f}, p99 {p99 * 1e3:.0f}, max {ordered[-1] * 1e3:.0f} ms"


class Probe:
    """A dialog of its own without media: asks OPTIONS within it until somebody answers."""

    def __init__(self, recorder: RunningRecorder) -> None:
        self._client = SipClient(recorder.sip_port)
        self._dialog = Dialog(client=self._client, uri=msr_uri(new_identifier(), recorder.sip_port, _own_call))
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
            for sock in (one, two):
                sock.bind(("127.0.0.1", 0))
            answer = self._dialog.send("INVITE", offer([one.getsockname()[1], two.getsockname()[1]], version=1))
        if answer.status != 200:
            raise RuntimeError(answer.text)

    def answered(self) -> float:
        """Return the seconds until a request within the dialog is answered 200, repeated every 20 ms."""
        request = self._dialog.request("OPTIONS")
        began = time.monotonic()
        while time.monotonic() - began < _LIMIT_S:
            self._client.send(request)
            try:
                status = self._client.final("OPTIONS", cseq=self._dialog.cseq, limit_s=_PROBE_S).status
            except AssertionError:
                continue
            if status != 200:
                raise RuntimeError(f"request within the dialog answered {status}")
            return time.monotonic() - began
        raise RuntimeError("request within the dialog is not answered")

    def close(self) -> None:
        """End the dialog."""
        self._dialog.bye(limit_s=_LIMIT_S)
        self._client.close()


async def under_calls(
    recorder: RunningRecorder,
    calls: int,
    seconds: float,
    act: Callable[[], Awaitable[None]],
    *,
    rate: float,
    at_s: float,
) -> RunOutcome:
    """Run calls and act, `at_s` seconds after the first one began."""
    options = ScenarioOptions(calls=calls, seconds=seconds, rate=rate, seed=secrets.randbelow(1 << 31))
    return await run_calls(
        plan_calls(options, started_at=datetime.now(UTC), run=secrets.token_hex(8)),
        Target("udp", "127.0.0.1", recorder.sip_port),
        options=RunOptions(),
        moments=[Moment(at_s, act)],
    )


async def strike(recorder: RunningRecorder, figures: Figures, role: str, count: int, calls: int) -> None:
    """Kill the active frontend, or one writer, `count` times under one set of calls, and judge the recordings."""
    target = faults.Target(recorder)
    await target.recovered()
    probe = Probe(recorder)

    async def act() -> None:
        for number in range(count):
            began = time.monotonic()
            victims = target.pids("frontend", "active") if role == "frontend" else target.pids("writer")
            victim = victims[number % len(victims)]
            os.kill(victim, signal.SIGKILL)
            if role == "frontend":
                figures.times_s.append(await asyncio.to_thread(probe.answered))
                await asyncio.to_thread(_standby_ready, target)
            else:
                await asyncio.to_thread(_noticed, target, victim)
                await target.recovered()
                figures.times_s.append(time.monotonic() - began)
            figures.faults += 1
            # Let a flush pass, so that no fault profits from the one before.
            await asyncio.sleep(max(_SETTLED_S / 2, began + _SETTLED_S - time.monotonic()))

    outcome = await under_calls(recorder, calls, count * _EACH_S + 4, act, rate=_RATE, at_s=calls / _RATE + 1)
    await target.recovered()
    probe.close()
    judgement = await oracle.judge(
        outcome.journal, StateDir(recorder.state_dir), cost=count if role == "writer" else 0, patience_s=120
    )
    figures.packets += sum(verdict.sent for verdict in judgement.verdicts)
    figures.lost += judgement.lost
    rows = await asyncio.to_thread(recorder.recordings)
    longest = [gap["duration_s"] for row in rows for gap in row["gaps"] if gap["kind"] == "lost"]
    figures.longest_gap_s = max([figures.longest_gap_s, *longest])
    figures.messages += sum(1 for trace in outcome.journal.sip if not trace.outgoing and _is_request(trace.message))
    figures.broken += [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    figures.broken += judgement.faults


def _standby_ready(target: faults.Target) -> None:
    eventually(
        lambda: target.pids("frontend", "active") and target.pids("frontend", "standby"),
        limit_s=_LIMIT_S,
        what="active frontend and standby",
    )


def _noticed(target: faults.Target, victim: int) -> None:
    eventually(lambda: victim not in target.pids("writer"), limit_s=_LIMIT_S, what="its death to be noticed")


def _is_request(message: str) -> bool:
    return not message.startswith("SIP/2.0 ")


async def database_away(recorder: RunningRecorder, seconds: float, calls: int) -> tuple[RunOutcome, oracle.Judgement]:
    """Freeze PostgreSQL while calls come, talk and go."""
    target = faults.Target(recorder)
    await target.recovered()

    async def away() -> None:
        await faults.without_postgres(target, seconds)

    outcome = await under_calls(recorder, calls, seconds / 2, away, rate=calls / (seconds + 4), at_s=2.0)
    return outcome, await oracle.judge(outcome.journal, StateDir(recorder.state_dir), patience_s=120)


def _own_call(call_uuid: str) -> str:
    """Return call data that no other call has: curators take none for the copy of another."""
    return f"calluuid={call_uuid};dn={call_uuid[:8]};connid={call_uuid[:16]}"


def many_dialogs(directory: Path, dialogs: int, repeats: int) -> list[tuple[int, float]]:
    """Open dialogs without media, kill the active frontend, and return how many were restored in how many ms."""
    environment = {
        "RECORDER_MEDIA_MAX_STREAMS": str(_STREAMS * dialogs + 20),
        "RECORDER_MEDIA_FIRST_PORT": "20000",
        "RECORDER_MEDIA_LAST_PORT": "32000",
    }
    with (
        RunningRecorder(directory / "many", environment=environment) as recorder,
        SipClient(recorder.sip_port) as client,
    ):
        for _ in range(dialogs):
            dialog = Dialog(client=client, uri=msr_uri(new_identifier(), recorder.sip_port, _own_call))
            if dialog.send("INVITE", offer([9, 9], version=1)).status != 200:
                raise RuntimeError("a session was refused")
        target = faults.Target(recorder)
        for _ in range(repeats):
            asyncio.run(target.recovered())
            os.kill(target.active(), signal.SIGKILL)
            asyncio.run(target.recovered())
        return [(int(count), float(ms)) for count, ms in _TAKEOVER.findall(recorder.log()) if int(count)]


def main() -> int:
    """Measure and print; the exit code tells whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--dialogs", type=int, default=1000)
    parser.add_argument("--away", type=float, default=60.0, help="seconds without PostgreSQL")
    parser.add_argument("--sites", type=int, default=10, help="recorders whose PostgreSQL is away at the same time")
    parser.add_argument(
        "--only",
        choices=["frontend", "writer", "postgresql", "dialogs", "frontend-with-postgresql-away", *_HOSTS],
        help="the last two need root and are not among what runs without --only",
    )
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    broken: list[str] = []
    results: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tandem-takeover-") as name:
        directory = Path(name)
        for role in ("frontend", "writer"):
            if options.only in {None, role}:
                broken += _report_deaths(directory, role, options, results)
        if options.only in {None, "postgresql"}:
            broken += _report_outages(directory, options, results)
        if options.only in {None, "frontend-with-postgresql-away"}:
            broken += _report_blind_takeovers(directory, options, results)
        if options.only in _HOSTS:
            figures = takeover_hosts.measure(directory, options.only, faults=options.faults, calls=options.calls)
            broken += figures.broken
            results.append(takeover_hosts.report(figures, options.only, options.calls, percentiles))
        if options.only in {None, "dialogs"}:
            for count, ms in many_dialogs(directory, options.dialogs, 5):
                results.append(f"{count} dialogs taken over in {ms:.0f} ms")
    print(f"load {os.getloadavg()[0]:.2f} after")
    for fault in broken[:20]:
        print(fault)
    # Last, and one line for each part: what it comes to.
    print("\n".join(results))
    return 1 if broken else 0


def _report_deaths(directory: Path, role: str, options: argparse.Namespace, results: list[str]) -> Sequence[str]:
    figures = Figures()
    while figures.faults < options.faults:
        count = min(_PER_RUN, options.faults - figures.faults)
        with RunningRecorder(directory / f"{role}-{figures.faults}", environment=_SPARE) as recorder:
            asyncio.run(strike(recorder, figures, role, count, options.calls))
        print(f"  {role}: {figures.faults} deaths, {figures.times()}, {figures.lost} packets lost", flush=True)
    what = "next request answered" if role == "frontend" else "every process at work again"
    results.append(
        f"{role} killed {figures.faults} times under {options.calls} calls of {_STREAMS} streams; {what}:"
        f" {figures.times()}; packets lost: {figures.lost} of {figures.packets:,};"
        f" longest gap {figures.longest_gap_s * 1e3:.0f} ms; requests of the recorder: {figures.messages};"
        f" broken promises: {len(figures.broken)}"
    )
    return figures.broken


async def _blind_takeovers(recorder: RunningRecorder, figures: Figures, count: int, calls: int) -> None:
    """Freeze PostgreSQL, kill the active frontend, and let both come back; `count` times under one set of calls."""
    target = faults.Target(recorder)
    await target.recovered()

    async def act() -> None:
        for _ in range(count):
            # Anew each time: without media, the next frontend gives a dialog up whose ACK only the dead one has seen.
            probe = await asyncio.to_thread(Probe, recorder)
            away = asyncio.ensure_future(faults.without_postgres(target, _KNOWN_AWAY_S + _SETTLED_S))
            await asyncio.sleep(_KNOWN_AWAY_S)
            os.kill(await asyncio.to_thread(target.active), signal.SIGKILL)
            figures.times_s.append(await asyncio.to_thread(probe.answered))
            figures.faults += 1
            await away
            await target.recovered()
            await asyncio.to_thread(probe.close)

    outcome = await under_calls(recorder, calls, count * 4 * _EACH_S + 4, act, rate=_RATE, at_s=calls / _RATE + 1)
    await target.recovered()
    judgement = await oracle.judge(outcome.journal, StateDir(recorder.state_dir), patience_s=120)
    figures.packets += sum(verdict.sent for verdict in judgement.verdicts)
    figures.lost += judgement.lost
    figures.broken += [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    figures.broken += judgement.faults


def _report_blind_takeovers(directory: Path, options: argparse.Namespace, results: list[str]) -> Sequence[str]:
    figures = Figures()
    while figures.faults < options.faults:
        count = min(_PER_RUN // 4, options.faults - figures.faults)
        with RunningRecorder(directory / f"blind-{figures.faults}", environment=_SPARE) as recorder:
            asyncio.run(_blind_takeovers(recorder, figures, count, options.calls))
    results.append(
        f"frontend killed {figures.faults} times while PostgreSQL was frozen, under {options.calls} calls;"
        f" next request answered: {figures.times()}; packets lost: {figures.lost} of {figures.packets:,};"
        f" broken promises: {len(figures.broken)}"
    )
    return figures.broken


def _outage(state_dir: Path, seconds: float, calls: int) -> Figures:
    with RunningRecorder(state_dir) as recorder:
        outcome, judgement = asyncio.run(database_away(recorder, seconds, calls))
    return Figures(
        packets=sum(verdict.sent for verdict in judgement.verdicts),
        lost=judgement.lost,
        broken=[
            *(f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed),
            *judgement.faults,
        ],
    )


def _report_outages(directory: Path, options: argparse.Namespace, results: list[str]) -> Sequence[str]:
    """Freeze the PostgreSQL of several sites at once, each with a recorder and calls of its own."""
    done: list[Figures] = []
    while len(done) < options.faults:
        sites = range(len(done), min(options.faults, len(done) + options.sites))
        with ThreadPoolExecutor(len(sites)) as executor:
            done += executor.map(lambda site: _outage(directory / f"away-{site}", options.away, options.calls), sites)
        broken = [fault for one in done for fault in one.broken]
        print(f"  postgresql: {len(done)} outages, {len(broken)} broken promises", flush=True)
    results.append(
        f"PostgreSQL away {options.away:.0f} s, {len(done)} times, at {options.sites} sites side by side, while"
        f" {options.calls} calls came and went at each; packets lost: {sum(one.lost for one in done)} of"
        f" {sum(one.packets for one in done):,}; broken promises, calls not completed among them: {len(broken)}"
    )
    return broken


if __name__ == "__main__":
    sys.exit(main())
