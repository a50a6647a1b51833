"""What signalling costs: set-ups per second and core, time to the 200, memory per dialog, restoring dialogs.

`python -m benchmarks.signalling [--short] [--only core|setup|calls|latency|dialogs]`. The long form opens 10,000
dialogs, which takes two minutes. Every set-up is durable in PostgreSQL before its 200. Every figure is printed with its
goal; the exit code tells whether anything was refused or lost, not whether a goal was met: the machine may be busy.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.machine import machine_facts
from benchmarks.signalling.core import CoreCost, measure
from benchmarks.signalling.messages import DOORS
from benchmarks.signalling.recorder import Bench, Load, most_dialogs

_SETTLED_S = 35.0
"""64*T1 and some: until then transactions absorb retransmissions."""
_OPENED_PER_S: Final = 130
"""Ten thousand dialogs then open in 77 s."""
_PARTS = ("core", "setup", "calls", "latency", "dialogs")
_CARRIED_PER_S: Final = 40
"""Calls that two cores carry although they serve clients, PostgreSQL, writers and curators as well."""
_ENDED_S: Final = 10.0
"""After the last call, until most of what curators do for it is done."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a minute on a quiet machine")
    parser.add_argument("--only", choices=_PARTS)
    parser.add_argument(
        "--per-second", type=int, default=80, help="set-ups offered; beyond what is carried, repetitions are measured"
    )
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    cost = measure(5 if options.short else 20)
    faults: list[str] = []
    if options.only in {None, "core"}:
        _report_core(cost)
    with tempfile.TemporaryDirectory(prefix="tandem-signalling-") as name:
        if options.only in {None, "setup"}:
            faults += _setup(Path(name) / "setup", cost, options.per_second, calls=600 if options.short else 3000)
        if options.only in {None, "calls"}:
            faults += _calls(Path(name) / "calls", calls=400 if options.short else 2000)
        if options.only in {None, "latency"}:
            faults += _latency(Path(name) / "latency", seconds=5 if options.short else 30)
        if options.only in {None, "dialogs"}:
            faults += _dialogs(Path(name) / "dialogs", dialogs=1000 if options.short else 10_000)
    print(f"load {os.getloadavg()[0]:.2f} after")
    for fault in faults:
        print(f"FAULT {fault}")
    return 1 if faults else 0


def _report_core(cost: CoreCost) -> None:
    print(
        f"core, one SIPREC INVITE of {cost.bytes} bytes, CPU us (ratio to the bare parser loop of {cost.parse:.0f} us):"
    )
    print(f"  user agent, INVITE to 200: {cost.user_agent:.0f} ({cost.user_agent / cost.parse:.1f}); goal 250")
    print(f"  with multipart and offer/answer: {cost.negotiated:.0f} ({cost.negotiated / cost.parse:.1f})")
    print(f"  with metadata and call data: {cost.described:.0f} ({cost.described / cost.parse:.1f})", flush=True)


def _setup(directory: Path, cost: CoreCost, per_s: int, *, calls: int) -> list[str]:
    """CPU of the frontend for each set-up; what comes together is served together, so it falls as the rate rises."""
    faults = []
    directory.mkdir()
    with Bench(directory, streams=2 * calls + 100) as bench:
        for door in DOORS:
            load = bench.place(door, calls, per_s)
            hung_up = bench.hang_up(load.dialogs, per_s)
            faults += _faults(f"set-up {door}", load, calls) + hung_up.faults + bench.refusals()
            print(
                f"set-up, {door}: {load.cpu_ms:.2f} ms CPU of the frontend, {load.cpu_ms * 1e3 / cost.parse:.1f} times"
                f" the parser loop: {1e3 / load.cpu_ms:.0f}/s on one core; goal 300 (offered {per_s}/s,"
                f" carried {load.rate:.0f}/s, {load.repeated} requests repeated, client {load.client_cpu_ms:.2f} ms)"
                f"; BYE {hung_up.cpu_ms:.2f} ms",
                flush=True,
            )
    return faults


def _calls(directory: Path, *, calls: int) -> list[str]:
    """What whole calls cost all processes together, from the INVITE to the finished recording."""
    directory.mkdir()
    with Bench(directory, streams=2 * calls + 100) as bench:
        # What is done once, such as planning statements, is no part of a call.
        warm = bench.place("msr", _CARRIED_PER_S, _CARRIED_PER_S, hold_s=1.0)
        time.sleep(_ENDED_S)
        before = bench.cpu_of_all()
        load = bench.place("msr", calls, _CARRIED_PER_S, hold_s=2.0)
        time.sleep(_ENDED_S)
        after = bench.cpu_of_all()
        costs = {what: (used - before.get(what, 0.0)) * 1e3 / calls for what, used in after.items()}
        print(f"one MSR call of 2 s at {load.rate:.0f}/s, CPU ms: {sum(costs.values()):.1f} in all", flush=True)
        for what, cost in sorted(costs.items(), key=lambda one: -one[1]):
            print(f"  {what}: {cost:.2f}")
        print(f"  (the client beside them: {load.client_cpu_ms:.2f})", flush=True)
        return _faults("calls", warm, _CARRIED_PER_S) + _faults("calls", load, calls) + bench.refusals()


def _latency(directory: Path, *, seconds: int) -> list[str]:
    """Time to the 200 at 150 calls per second with 1,000 dialogs open: of calls that stay, and of calls of 2 s."""
    faults = []
    for hold_s, kind in ((None, "calls that stay"), (2.0, "calls of 2 s, until they are finished recordings")):
        faults += _answered(directory / f"hold-{hold_s}", kind, hold_s, seconds=seconds)
    return faults


def _answered(directory: Path, kind: str, hold_s: float | None, *, seconds: int) -> list[str]:
    directory.mkdir(parents=True)
    rate, opened = 150, 1000
    calls = rate * seconds
    with Bench(directory, streams=2 * (opened + calls) + 100) as bench:
        base = bench.place("msr", opened, 100)
        before = bench.cpu_of_all()
        load = bench.place("msr", calls, rate, hold_s=hold_s)
        used_s = sum(used - before.get(what, 0.0) for what, used in bench.cpu_of_all().items())
        print(
            f"INVITE to 200 at {rate}/s with {opened} dialogs open, {kind}: p50 {load.p50_ms:.1f},"
            f" p99 {load.p99_ms:.1f} ms; goal 20 (of which the configured delay 3; generator late by p99"
            f" {load.lateness_p99_ms:.1f} ms, {load.repeated} requests repeated; all processes"
            f" {used_s * 1e3 / calls:.1f} ms CPU a call, client {load.client_cpu_ms:.2f})",
            flush=True,
        )
        return _faults("open", base, opened) + _faults("latency", load, calls) + bench.refusals()


def _dialogs(directory: Path, *, dialogs: int) -> list[str]:
    """Memory of open dialogs, all of them durable, and a successor that restores them."""
    directory.mkdir()
    dialogs = min(dialogs, most_dialogs())
    with Bench(directory, streams=dialogs + 100) as bench:
        idle_kb = bench.memory_kb()
        load = bench.place("msr", dialogs, _OPENED_PER_S, streams=1)
        time.sleep(_SETTLED_S)
        print(
            f"{load.answered} dialogs open on one frontend: {(bench.memory_kb() - idle_kb) / dialogs:.1f} kB each; goal"
            f" 40 ({load.cpu_ms:.2f} ms CPU of the frontend for each)",
            flush=True,
        )
        faults = list(load.faults)
        if (durable := bench.durable_dialogs()) != load.answered:
            faults.append(f"{durable} sessions in the catalog, {load.answered} were promised")
        restored = bench.restore()
        print(
            f"{restored.dialogs} dialogs restored by a successor in {restored.ms:.0f} ms; goal 1 ms each"
            f" ({restored.cpu_ms:.0f} ms of its CPU); it holds {(restored.kb - idle_kb) / dialogs:.1f} kB for each",
            flush=True,
        )
        if restored.dialogs != load.answered or load.answered != dialogs:
            faults.append(f"{restored.dialogs} of {dialogs} dialogs restored, {load.answered} answered")
        return faults


def _faults(what: str, load: Load, calls: int) -> list[str]:
    found = [f"{what}: {fault}" for fault in load.faults]
    return [*found, *[f"{what}: {load.answered} of {calls} calls answered"] * (load.answered != calls)]


if __name__ == "__main__":
    sys.exit(main())
