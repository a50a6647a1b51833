"""A whole recorder under calls: CPU of its frontend per call, times to the 200, memory per dialog, and restoring them.

The generator is a process of its own. CPU time and ratios are what a shared machine tells truly; times to the 200 need
one that is quiet, and the generator's own lateness is measured beside them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.recording import cpu_seconds
from benchmarks.signalling.messages import Door
from tests.failover.chaos.faults import Target
from tests.kit.running import RunningRecorder, eventually

_REFUSED: Final = re.compile(r"session refused .*?reason=('[^']*'|\"[^\"]*\"|\S+)")
_RESTORED_S: Final = 60.0
_OTHER_DESCRIPTORS: Final = 600
_ASKERS: Final = {"tandem": "frontends", "tandem-curator": "curators"}
_TAKEOVER: Final = re.compile(r"active dialogs=(\d+) .*takeover_ms=([\d.]+)")


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator did; times in milliseconds."""

    answered: int
    refused: list[str]
    unanswered: int
    repeated: int
    rate: float
    """Set-ups per second, from the first INVITE to the last 200."""
    p50_ms: float
    p99_ms: float
    lateness_p99_ms: float
    """Of the generator."""
    cpu_ms: float
    """Of the frontend, for each call."""
    client_cpu_ms: float
    """Of the generator, for each call."""
    dialogs: list[list[str]]

    @property
    def faults(self) -> list[str]:
        """What must not happen, in words."""
        found = [f"refused: {line}" for line in self.refused[:3]]
        return [*found, *[f"{self.unanswered} requests without an answer"] * bool(self.unanswered)]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a takeover did."""

    dialogs: int
    ms: float
    """From activation to the first request served."""
    cpu_ms: float
    """Of the successor, from before the death."""
    kb: int
    """Its resident memory afterwards."""


class Bench:
    """A recorder that is loaded: context manager.

    Args:
        directory: for its state.
        streams: at the same time, in all.

    """

    def __init__(self, directory: Path, *, streams: int) -> None:
        self.recorder = RunningRecorder(
            directory / "state",
            environment={
                "RECORDER_MEDIA_MAX_STREAMS": str(streams),
                "RECORDER_MEDIA_FIRST_PORT": "10000",
                "RECORDER_MEDIA_LAST_PORT": "32700",
                # Every call comes from one address here.
                "RECORDER_ACCESS_REQUESTS_PER_S": "0",
                "RECORDER_ACCESS_TOTAL_REQUESTS_PER_S": "0",
            },
        )

    def __enter__(self) -> Bench:
        self.recorder.start()
        self._target = Target(self.recorder)
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing is left to be finalised that anybody wants.
        self.recorder.kill_everything()

    def cpu_of_all(self) -> dict[str, float]:
        """Return the CPU seconds that each kind of process has used so far; PostgreSQL by whom it works for."""
        used: Counter[str] = Counter()
        for process in self._target.processes():
            if process["pid"]:
                standby = " standing by" if process["state"] == "standby" else ""
                used[process["role"] + standby] += cpu_seconds(process["pid"])
        assert self.recorder.process
        used["supervisor"] += cpu_seconds(self.recorder.process.pid)
        running = self._target.state_dir.read_running()
        assert running is not None
        asked_by = asyncio.run(_backends(running.dsn))
        for pid in self._target.postgres():
            with suppress(OSError):  # a worker that has ended since
                used[f"PostgreSQL for {_ASKERS.get(asked_by.get(pid, ''), 'itself')}"] += cpu_seconds(pid)
        return dict(used)

    def memory_kb(self) -> int:
        """Return the resident memory of the active frontend in kB."""
        status = Path(f"/proc/{self._target.active()}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def place(self, door: Door, calls: int, rate: float, *, hold_s: float | None = None, streams: int = 2) -> Load:
        """Set calls up at a rate; they stay open, or are hung up after some seconds."""
        arguments = ["--calls", str(calls), "--rate", str(rate), "--door", door, "--streams", str(streams)]
        return self._run(calls, [*arguments, *(["--hold", str(hold_s)] if hold_s is not None else [])])

    def hang_up(self, dialogs: list[list[str]], rate: float) -> Load:
        """Hang calls up at a rate."""
        return self._run(len(dialogs), ["--hang-up", "--rate", str(rate)], json.dumps(dialogs))

    def durable_dialogs(self) -> int:
        """Return how many sessions the catalog holds as open."""
        return len(self.recorder.recordings("--state", "recording", "--limit", "10000"))

    def refusals(self) -> list[str]:
        """Return why sessions were refused, most frequent first, from the recorder's log."""
        reasons = Counter(_REFUSED.findall(self.recorder.log()))
        return [f"refused {count} times: {reason}" for reason, count in reasons.most_common(5)]

    def restore(self) -> Restored:
        """Kill the active frontend; return what its successor restored."""
        before = len(_TAKEOVER.findall(self.recorder.log()))
        (standby,) = self._target.pids("frontend", "standby")
        used_s = cpu_seconds(standby)
        os.kill(self._target.active(), signal.SIGKILL)
        count, ms = eventually(
            lambda: next(iter(_TAKEOVER.findall(self.recorder.log())[before:]), None),
            limit_s=_RESTORED_S, what="a successor", detail=self.recorder.log_tail,
        )  # fmt: skip
        cpu_ms = (cpu_seconds(standby) - used_s) * 1e3
        return Restored(dialogs=int(count), ms=float(ms), cpu_ms=cpu_ms, kb=self.memory_kb())

    def _run(self, calls: int, arguments: list[str], given: str = "") -> Load:
        frontend = self._target.active()
        before = cpu_seconds(frontend)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.signalling.generator", str(self.recorder.sip_port), *arguments],
            input=given, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        cpu_s = cpu_seconds(frontend) - before
        found: dict[str, Any] = json.loads(done.stdout)
        times = sorted(found["latencies"] or found["bye_latencies"])
        return Load(
            answered=len(times),
            refused=found["refused"],
            unanswered=found["unanswered"],
            repeated=found["repeated"],
            rate=len(times) / found["seconds"] if found["seconds"] else 0.0,
            p50_ms=_quantile(times, 0.5) * 1e3,
            p99_ms=_quantile(times, 0.99) * 1e3,
            lateness_p99_ms=_quantile(sorted(found["lateness"]), 0.99) * 1e3,
            cpu_ms=cpu_s / calls * 1e3,
            client_cpu_ms=found["cpu_s"] / calls * 1e3,
            dialogs=found["dialogs"],
        )


async def _backends(dsn: str) -> dict[int, str]:
    """Return which application each connection to PostgreSQL is of."""
    connection = await asyncpg.connect(dsn)
    try:
        return {
            row["pid"]: row["application_name"]
            for row in await connection.fetch("SELECT pid, application_name FROM pg_stat_activity")
        }
    finally:
        await connection.close()


def most_dialogs() -> int:
    """Return how many dialogs of one stream the limit of descriptors allows: the supervisor needs two each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (hard - _OTHER_DESCRIPTORS) // 2


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))] if ordered else 0.0
