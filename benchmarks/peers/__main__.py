"""Calls per core of this writer, of rtpengine and of a plain asyncio recorder, in one session on one core.

See README.md beside this file. Last line: how many times their calls per core the writer's are.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.capture.__main__ import calls_per_core
from benchmarks.capture.load import Load, compile_c, isolate, sender_cores
from benchmarks.capture.runs import WriterSettings, run_writer
from benchmarks.machine import machine_facts
from benchmarks.peers.recorders import Figure, run_asyncio, run_rtpengine


def main() -> int:
    """Measure them in turn, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="two-stream calls at the same time")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load in each run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=None, help="where to write")
    told = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("this measurement needs root: for a network namespace of its own, and for the packet ring")
    isolate("benchmarks.peers")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(2 * told.calls, told.seconds)
    print(f"{machine_facts()}; generator on {len(sender_cores())} core(s)", flush=True)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="peers-bench-", dir=told.directory) as scratch:
        directory = Path(scratch)
        generator = compile_c(directory, "generator")
        for _ in range(told.rounds):
            for source in ("sockets", "ring"):
                result = run_writer(directory, generator, load, WriterSettings(source=source, ring_mb=32))
                kept = result.found.unique
                _note(found, Figure(f"writer, {source}", result.microseconds, result.offered.sent, kept))
            _note(found, run_rtpengine(directory, generator, load))
            _note(found, run_asyncio(directory, generator, load))
    costs = {name: statistics.median(several) for name, several in found.items()}
    for name, cost in costs.items():
        print(f"{name:<18} {calls_per_core(cost):8.0f} calls per core at 70 %")
    engine, plain = costs["rtpengine, pcap"], costs["asyncio"]
    print(
        ", ".join(
            f"{source} {engine / costs[f'writer, {source}']:.1f} x rtpengine"
            f" {plain / costs[f'writer, {source}']:.1f} x asyncio"
            for source in ("sockets", "ring")
        )
    )
    return 0


def _note(found: dict[str, list[float]], figure: Figure) -> None:
    print(figure.row(), flush=True)
    found.setdefault(figure.name, []).append(figure.microseconds)


if __name__ == "__main__":
    sys.exit(main())
