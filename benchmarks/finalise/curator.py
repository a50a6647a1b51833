"""Finished calls per minute and core of a running curator: claiming, reading, rendering, fsync, catalog, manifest.

`python -m benchmarks.finalise.curator [--calls 200] [--seconds 180] [--profile FILE]`. Starts an embedded PostgreSQL
with its default settings, ends that many two-party G.711 calls at once, lets one curator process work off its queue,
and divides by the CPU time of that process (user and system). What PostgreSQL uses for it is told beside. Goal: 1,000
a minute and core.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import os
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from benchmarks.finalise.__main__ import write_capture
from benchmarks.machine import machine_facts
from recorder.channel import Channel
from recorder.config import load_settings
from recorder.curator.process import run
from recorder.errors import ChannelLostError
from recorder.logs import configure_logging
from recorder.role import Assignment
from recorder.settings import Settings
from storage.catalog import Catalog, migrate
from storage.postgres import EmbeddedPostgres
from tests.integration.storage_samples import closing, opening

GOAL: Final = 1000
"""Calls per minute and core."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FINISHED: Final = """
SELECT count(*) FILTER (WHERE r.state = 'complete' AND EXISTS (SELECT FROM manifests m WHERE m.recording_id = r.id))
FROM recordings r
"""


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _server_cpu_s(server: EmbeddedPostgres) -> float:
    """CPU seconds of PostgreSQL: its parent, with the children that have ended, and those that run."""
    if server.process is None:
        return 0.0
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_cpu_s(int(one)) for one in [pid, *children])


def _curate(settings: Settings, dsn: str, sock: socket.socket, profile: Path | None) -> None:
    configure_logging(settings.log, role="curator", name="curator-1")
    assignment = Assignment("curator-1", "bench", settings, dsn, [], Channel(sock))
    if profile is None:
        run(assignment)
        return
    measured = cProfile.Profile()
    measured.runcall(run, assignment)
    measured.dump_stats(profile)


async def _fill(dsn: str, state_dir: Path, calls: int, seconds: float) -> None:
    """Leave finished calls behind, as a frontend and a writer do."""
    captures = state_dir / "captures"
    captures.mkdir(parents=True)
    first = captures / f"{0:032x}.tcap"
    write_capture(first, seconds / 60, 0.0)
    async with await Catalog.connect(dsn) as catalog:
        epoch = await catalog.acquire_lease()
        for number in range(calls):
            sample = opening(f"CALL{number:06d}_2026-11-22_09-30-00", epoch=epoch)
            capture = captures / f"{sample.segment_id.hex}.tcap"
            await asyncio.to_thread(shutil.copyfile, first, capture)
            sample = msgspec.structs.replace(sample, capture_path=str(capture), host="bench")
            await catalog.open_segment(sample)
            await catalog.close_segment(closing(sample, after_s=seconds))


def _listen(supervisor: Channel) -> None:
    """Take what the curator tells, as a supervisor does, until it is gone."""
    with suppress(ChannelLostError):
        while True:
            supervisor.receive()


async def measure(folder: Path, calls: int, seconds: float, profile: Path | None) -> None:
    """Measure and print."""
    server = EmbeddedPostgres(folder / "postgres")
    await server.start()
    try:
        await migrate(server.dsn)
        state_dir = folder / "state"
        await _fill(server.dsn, state_dir, calls, seconds)
        settings = load_settings(None, {"state_dir": state_dir, "node": "bench"})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        curator = multiprocessing.get_context("spawn").Process(
            target=_curate, args=(settings, server.dsn, theirs, profile)
        )
        supervisor = Channel(ours)
        before, began = _server_cpu_s(server), time.monotonic()
        curator.start()
        theirs.close()
        assert curator.pid is not None
        # Its start is not part of a call.
        await asyncio.to_thread(supervisor.receive)
        started_s = _cpu_s(curator.pid)
        threading.Thread(target=_listen, args=(supervisor,), daemon=True).start()
        connection = await asyncpg.connect(server.dsn)
        while await connection.fetchval(_FINISHED) < calls:
            if not curator.is_alive():
                raise SystemExit("the curator has died")
            await asyncio.sleep(0.2)
        used, wall, server_s = _cpu_s(curator.pid) - started_s, time.monotonic() - began, _server_cpu_s(server) - before
        await connection.close()
        curator.terminate()
        await asyncio.to_thread(curator.join, 30)
        each = used / calls
        print(
            f"{calls} calls of {seconds:g} s: {60 / each:,.0f} calls per minute and core (goal {GOAL:,}), "
            f"{each * 1000:.1f} ms CPU a call, {seconds / each:,.0f} x real time; "
            f"PostgreSQL {server_s / calls * 1000:.1f} ms a call; {wall:.1f} s in all"
        )
    finally:
        await server.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of each call")
    parser.add_argument("--profile", type=Path, help="where to put a profile of the curator; falsifies the figure")
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        asyncio.run(measure(Path(directory), options.calls, options.seconds, options.profile))


if __name__ == "__main__":
    main()
