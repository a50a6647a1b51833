"""CPU per captured packet of the writer, against plain C in the same session, with every packet's content checked.

`python -m benchmarks.capture --short` takes less than 50 s; its last line is `ratio X.XX, lost N, streams N`.
The reference writes the same captures: records, packets, chained checksums. It visits once or twice between two
syncs, whichever is better. The receiver has a core for itself; the generator has the others. As root the benchmark
moves into a network namespace of its own, so that nobody else's ports are in the way.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.capture.load import Load, compile_c, isolate, sender_cores
from benchmarks.capture.protection import seal_load
from benchmarks.capture.runs import Result, WriterSettings, run_reference, run_writer
from benchmarks.machine import machine_facts
from media.srtp import SUITES

_GROWTH_CALLS: Final = (100, 200, 1000, 2000, 3000, 4000)
_USE: Final = 0.7
"""Part of a core that capture may take; the rest is for commands, syncs and peaks."""
_PACKETS_PER_CALL: Final = 100
"""Per second: two streams of 20 ms."""


def calls_per_core(microseconds: float) -> float:
    """Two-stream calls that one core captures at 70 % use."""
    return _USE * 1e6 / microseconds / _PACKETS_PER_CALL


def main() -> int:
    """Measure, print, and end with the one line that counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one round below 50 s")
    parser.add_argument("--growth", action="store_true", help="cost per packet from 100 to 4,000 calls")
    parser.add_argument("--flush", action="store_true", help="what the group flush costs: with it, and without any")
    parser.add_argument("--source", choices=("sockets", "ring"), default="sockets", help="the writer's packet source")
    parser.add_argument("--streams", type=int, default=2000, help="RTP streams, two to a call")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load in each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sync-ms", type=float, default=500.0, help="the writer's sync interval")
    parser.add_argument("--ring-mb", type=int, default=128, help="memory of the ring")
    parser.add_argument("--jitter-ms", type=float, default=5.0)
    parser.add_argument("--reorder", type=int, default=3, help="packets per thousand that come 25 to 45 ms late")
    parser.add_argument("--loss", type=int, default=0, help="packets per thousand that are not sent")
    parser.add_argument("--receive-buffer", type=int, default=0, help="SO_RCVBUF, 0 for the system's default")
    parser.add_argument("--srtp", choices=tuple(SUITES), help="the writer alone: plain RTP, then SRTP")
    parser.add_argument("--reports", action="store_true", help="the writer alone: without and with receiver reports")
    parser.add_argument("--directory", type=Path, default=None, help="where to write the captures")
    told = parser.parse_args()
    isolate("benchmarks.capture")
    rounds, seconds = (1, min(told.seconds, 6.0)) if told.short else (told.rounds, told.seconds)
    load = Load(told.streams // 2 * 2, seconds, told.jitter_ms, told.reorder, told.loss, told.receive_buffer)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = WriterSettings(told.source, told.ring_mb, told.sync_ms)
    print(f"{machine_facts()}; generator on {len(sender_cores())} core(s)", flush=True)
    with tempfile.TemporaryDirectory(prefix="capture-bench-", dir=told.directory) as scratch:
        directory = Path(scratch)
        generator = compile_c(directory, "generator")
        if told.srtp or told.reports:
            return _variant(directory, generator, load, settings, rounds=rounds, srtp=told.srtp or "")
        if told.growth:
            return _growth(directory, generator, load, settings)
        if told.flush:
            return _flush(directory, generator, load, settings, rounds=rounds)
        reference = compile_c(directory, "reference")
        return _ratio(directory, generator, reference, load, settings, rounds=rounds)


def _ratio(
    directory: Path, generator: Path, reference: Path, load: Load, settings: WriterSettings, *, rounds: int
) -> int:
    writers: list[Result] = []
    references: dict[float, list[Result]] = {settings.sync_ms / 2: [], settings.sync_ms: []}
    for _ in range(rounds):
        for tick_ms, results in references.items():
            results.append(
                _shown(run_reference(directory, generator, reference, load, sync_ms=settings.sync_ms, tick_ms=tick_ms))
            )
        writers.append(_shown(run_writer(directory, generator, load, settings)))
    cost = statistics.median(one.microseconds for one in writers)
    yardstick = min(statistics.median(one.microseconds for one in results) for results in references.values())
    kb_per_call = statistics.median(one.kb_per_call for one in writers)
    on_disk = statistics.median(one.bytes_per_packet for one in writers)
    print(
        f"{calls_per_core(cost):.0f} calls per core at 70 % by CPU per packet; {kb_per_call:.1f} kB of memory per call"
        + (f" and {settings.ring_mb * 1024 / (load.streams / 2):.1f} kB of ring" if settings.source == "ring" else "")
        + f"; {on_disk * _PACKETS_PER_CALL * 3600 / 1e6:.1f} MB of disk per call and hour"
    )
    print(f"ratio {cost / yardstick:.2f}, lost {sum(one.faults for one in writers)}, streams {load.streams}")
    return 0


def _variant(directory: Path, generator: Path, load: Load, settings: WriterSettings, *, rounds: int, srtp: str) -> int:
    """Compare the writer with itself: plain RTP without reports, and SRTP or reports."""
    other = dataclasses.replace(load, reports=not srtp, srtp=srtp)
    if srtp:
        path = directory / "sealed"
        other = dataclasses.replace(other, sealed=(str(path), seal_load(path, srtp, load.streams, load.seconds)))
    plain: list[Result] = []
    varied: list[Result] = []
    for _ in range(rounds):
        plain.append(_shown(run_writer(directory, generator, load, settings)))
        varied.append(_shown(run_writer(directory, generator, other, settings)))
    ratio = statistics.median(one.microseconds for one in varied) / statistics.median(one.microseconds for one in plain)
    faults = sum(one.faults for one in (*plain, *varied))
    print(f"{srtp or 'receiver reports'}: {ratio:.2f} x plain, lost {faults}, streams {load.streams}")
    return 0


def _growth(directory: Path, generator: Path, load: Load, settings: WriterSettings) -> int:
    costs: dict[int, float] = {}
    faults = 0
    for calls in _GROWTH_CALLS:
        result = _shown(run_writer(directory, generator, dataclasses.replace(load, streams=2 * calls), settings))
        costs[calls] = result.microseconds
        faults += result.faults
    for calls, cost in costs.items():
        print(f"{calls:5} calls: {cost:.3f} us/packet, {cost * calls * _PACKETS_PER_CALL / 1e4:5.1f} % of a core")
    print(f"growth from 200 to 3000 calls {costs[3000] / costs[200]:.2f} x linear, lost {faults}")
    return 0


def _flush(directory: Path, generator: Path, load: Load, settings: WriterSettings, *, rounds: int) -> int:
    never = dataclasses.replace(settings, synced=False)
    synced: list[Result] = []
    unsynced: list[Result] = []
    for _ in range(rounds):
        unsynced.append(_shown(run_writer(directory, generator, load, never)))
        synced.append(_shown(run_writer(directory, generator, load, settings)))
    costs = [statistics.median(one.microseconds for one in several) for several in (synced, unsynced)]
    faults = sum(one.faults for one in synced + unsynced)
    share = 100 * (costs[0] / costs[1] - 1)
    print(f"a flush every {settings.sync_ms:.0f} ms costs {share:.1f} % of capture, lost {faults}")
    return 0


def _shown(result: Result) -> Result:
    print(result.row(), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
