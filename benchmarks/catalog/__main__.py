"""Filtered pages of a large catalog: p50, p95 and worst of each kind of filter, sizes, and what 50 million would take.

`python -m benchmarks.catalog [--rows 5000000] [--pages 60] [--buffers-mb 128]`. Starts an embedded PostgreSQL of its
own with its default settings but no fsync, fills it by SQL, and asks through `Catalog.list_recordings` as
`recorder-admin` does: 100 rows a page, values drawn afresh for each page. The goal is 50 ms at p95 on 5 million
recordings. 5 million rows take some minutes and below 20 GB. `--invites` measures `open_segment` instead, which is what
each 200 waits for.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.catalog.fill import TABLES, fill
from benchmarks.machine import machine_facts
from storage.catalog import Catalog, migrate
from storage.catalog.records import Door, RecordingState
from storage.catalog.reports import ReportGroup
from storage.catalog.views import RecordingFilter
from storage.postgres import EmbeddedPostgres
from tests.integration.storage_samples import opening

GOAL_MS = 50.0
_BYTES_PER_ROW = 5_000
"""Of disk, write-ahead log and work files included."""
FIRST, LAST = datetime(2024, 12, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def _moment(choice: random.Random) -> datetime:
    return FIRST + (LAST - FIRST) * choice.random()


def _agent(choice: random.Random) -> str:
    return str(int(5000 + 3000 * choice.random() ** 2))


def _day(choice: random.Random) -> dict[str, Any]:
    at = _moment(choice)
    return {"started_from": at, "started_to": at + timedelta(days=1)}


def filters(rows: int) -> dict[str, Callable[[random.Random], dict[str, Any]]]:
    """What people ask for, rare and frequent."""
    return {
        "newest": lambda _: {},
        "a day": _day,
        "record identifier, beginning": lambda c: {"record_identifier": f"{c.randrange(1 << 20):05X}*"},
        "state interrupted": lambda _: {"state": RecordingState.INTERRUPTED},
        "state failed, a day": lambda c: {"state": RecordingState.FAILED, **_day(c)},
        "dn": lambda c: {"dn": _agent(c)},
        "dn, a day": lambda c: {"dn": _agent(c), **_day(c)},
        "dn, old page": lambda c: {"dn": _agent(c), "after": (_moment(c), _ANY_ID)},
        "dn, beginning": lambda c: {"dn": _agent(c)[:3] + "*"},
        "ani (rare)": lambda c: {"ani": str(49301000000 + c.randrange(3000000))},
        "agent": lambda c: {"agent": f"agent{_agent(c)}"},
        "agent, state interrupted": lambda c: {"agent": f"agent{_agent(c)}", "state": RecordingState.INTERRUPTED},
        "agent, lost > 1 s": lambda c: {"agent": f"agent{_agent(c)}", "lost_more_s": 1.0},
        "participant, beginning": lambda c: {"participant": f"Agent Name {_agent(c)[:3]}*"},
        "parameter, rare": lambda c: {"where": (("X-Case", str(c.randrange(rows // 4))),)},
        "parameter, none has it": lambda c: {"where": (("X-Case", f"none{c.random()}"),)},
        "parameter, all have it": lambda _: {"where": (("gvp-tenant-id", "[Environment].record"),)},
        "agent, failed": lambda c: {"agent": f"agent{_agent(c)}", "state": RecordingState.FAILED},
        "two frequent parameters": lambda c: {
            "where": (("X-Queue", f"queue{c.randrange(40)}"), ("dnis", f"800{c.randrange(40)}")),
            "door": Door.SIPREC,
        },
        "queue and agent": lambda c: {"where": (("X-Queue", f"queue{c.randrange(40)}"),), "dn": _agent(c)},
        "longer than 1 h": lambda _: {"longer_s": 3600.0},
        "lost more than 20 s": lambda _: {"lost_more_s": 20.0},
        "lost more than 0 s": lambda _: {"lost_more_s": 0.0},
    }


_ANY_ID = UUID(int=1 << 127)


async def measure(dsn: str, rows: int, pages: int) -> int:
    """Print the figures of all filters; returns 1 when one misses the goal."""
    missed = 0
    async with await Catalog.connect(dsn, max_size=1, timeout_s=60.0, for_people=True) as catalog:
        print(f"\n{'filter':32} {'rows':>5} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}")
        together: list[float] = []
        for name, make in filters(rows).items():
            choice = random.Random(name)
            times, found = [], 0
            for _ in range(pages):
                wanted = RecordingFilter(**make(choice), limit=100)
                before = time.perf_counter()
                found += len(await catalog.list_recordings(wanted))
                times.append((time.perf_counter() - before) * 1000)
            missed += _line(name, times, f"{found / pages:.0f}")
            together += times
        _line("all of them together", together, "")
        print("\nreports")
        last, end = date(2026, 11, 30), date(2026, 12, 1)
        for name, ask in {
            "completeness, a day": lambda: catalog.reports.shares(last, end),
            "completeness, 30 days by agent": lambda: catalog.reports.shares(
                last - timedelta(days=29), end, ReportGroup.AGENT
            ),
            "outcomes, 30 days": lambda: catalog.reports.outcomes(last - timedelta(days=29), end),
            "concurrent peak, 7 days": lambda: catalog.reports.peaks(last - timedelta(days=6), end),
        }.items():
            times = []
            for _ in range(5):
                before = time.perf_counter()
                await ask()
                times.append((time.perf_counter() - before) * 1000)
            _line(name, times, "", goal=None)
    return 1 if missed else 0


async def measure_invites(dsn: str, count: int) -> None:
    """Print what `open_segment` takes; fsync is off, so that it is the work of the database and not of the disk."""
    async with await Catalog.connect(dsn, max_size=1, timeout_s=60.0) as catalog:
        epoch = await catalog.acquire_lease()
        times = []
        for number in range(count):
            sample = opening(f"INVITE{number:08d}", epoch=epoch)
            before = time.perf_counter()
            await catalog.open_segment(replace(sample, opened_at=datetime.now(UTC)))
            times.append((time.perf_counter() - before) * 1000)
        _line("open_segment", times[count // 10 :], str(count), goal=None)


def _line(name: str, times: list[float], rows: str, *, goal: float | None = GOAL_MS) -> int:
    p95 = statistics.quantiles(times, n=20)[18]
    late = goal is not None and p95 > goal
    mark = f"  above {goal:g} ms" if late else ""
    print(f"{name:32} {rows:>5} {statistics.median(times):8.2f} {p95:8.2f} {max(times):8.2f}{mark}", flush=True)
    return int(late)


async def sizes(dsn: str, rows: int) -> None:
    """Print what the tables take, and what 50 million recordings would."""
    connection = await asyncpg.connect(dsn)
    try:
        print(f"\n{'table':24} {'heap MB':>9} {'index MB':>9} {'at 50 million, GB':>18}")
        for table in TABLES:
            heap, index = await connection.fetchrow(
                "SELECT sum(pg_table_size(t.oid))::bigint, sum(pg_indexes_size(t.oid))::bigint FROM"
                " (SELECT relid AS oid FROM pg_partition_tree($1::regclass) UNION SELECT $1::regclass) AS t",
                table,
            )
            print(f"{table:24} {heap / 1e6:9.0f} {index / 1e6:9.0f} {(heap + index) / 1e9 * 50_000_000 / rows:18.0f}")
    finally:
        await connection.close()


async def run(options: argparse.Namespace, directory: Path) -> int:
    """Fill, measure, print."""
    server = EmbeddedPostgres(directory / "data")
    await server.start()
    try:
        free = shutil.disk_usage(directory).free
        if free < options.rows * _BYTES_PER_ROW:
            raise SystemExit(
                f"{directory} has {free / 1e9:.0f} GB free, {options.rows:,} recordings take up to "
                f"{options.rows * _BYTES_PER_ROW / 1e9:.0f} GB: set TMPDIR to a larger disk, or take fewer --rows"
            )
        connection = await asyncpg.connect(server.dsn)
        settings = ["fsync = off", "max_wal_size = '8GB'"]
        settings += [f"shared_buffers = '{options.buffers_mb}MB'"] if options.buffers_mb else []
        for setting in settings:
            await connection.execute(f"ALTER SYSTEM SET {setting}")
        await connection.close()
        await server.stop()
        await server.start()
        await migrate(server.dsn)
        if options.invites:
            await measure_invites(server.dsn, options.invites)
            return 0
        before = time.perf_counter()
        print(f"filling with {options.rows:,} recordings", flush=True)
        await fill(server.dsn, options.rows)
        print(f"filled in {time.perf_counter() - before:.0f} s", flush=True)
        result = await measure(server.dsn, options.rows, options.pages)
        await sizes(server.dsn, options.rows)
        return result
    finally:
        await server.stop()


def main() -> int:
    """Return 1 when a filter misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--pages", type=int, default=60, help="pages of each filter")
    parser.add_argument("--buffers-mb", type=int, help="PostgreSQL's `shared_buffers`; default: as on this machine")
    parser.add_argument("--invites", type=int, default=0, help="measure so many open_segment calls instead")
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        return asyncio.run(run(options, Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
