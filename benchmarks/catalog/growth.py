"""What a call adds to the catalog, table by table, what its tombstone keeps, and what giving up old traces costs.

`python -m benchmarks.catalog.growth [--calls 200] [--traced 100000]`. A whole recorder takes calls of 5 s from the
simulator, half of them MSR and half SIPREC; then all are deleted as retention does. After that a month of the messages
of so many further calls is written and given up twice: call by call, as deletions of recordings do it, and at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.machine import machine_facts
from tests.kit.running import BIN, RunningRecorder, eventually

_CALL_S: Final = 5
_SIZES: Final = """
SELECT r.relname, coalesce(sum(pg_total_relation_size(t.relid)), pg_total_relation_size(r.oid))::bigint AS size_bytes
FROM pg_class r LEFT JOIN LATERAL pg_partition_tree(r.oid) AS t ON true
WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition AND r.relnamespace = 'public'::regnamespace
GROUP BY r.oid, r.relname ORDER BY r.relname
"""
"""Tables with their indexes, partitions and long values."""
_MONTH: Final = "timestamptz '2020-01-01 00:00+00'"
_WRITE: Final = f"""
INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
SELECT md5(n::text)::uuid, {_MONTH} + n * interval '20 milliseconds' + (m.at - m.first), m.inbound, m.flow,
    set_byte(m.message, 20, n % 256)
FROM generate_series(1, $1) AS n CROSS JOIN LATERAL (
    SELECT e.*, min(e.at) OVER () AS first FROM sip_example e
    WHERE e.number = n % (SELECT max(number) + 1 FROM sip_example)
) AS m
"""
"""The messages of calls that took place, each call with a session of its own."""
_FORGET: Final = "SELECT refused FROM forget_trace_month_v1('2020-01-01', 'benchmark', 'measured')"


async def measure(dsn: str, calls: int, traced: int, delete: Callable[[], Awaitable[None]]) -> None:
    """Print what the tables take."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE sip_example AS SELECT m.*, dense_rank() OVER (ORDER BY m.segment_id) - 1 AS number"
            " FROM sip_messages m"
        )
        live = await _sizes(connection)
        await delete()
        dead = await _sizes(connection)
        print(f"\n{'table':24} {'bytes per call':>15} {'of a tombstone':>15}")
        for name in sorted(live, key=lambda one: -live[one]):
            if name != "sip_example" and live[name] > 400 * calls / 10:
                print(f"{name:24} {live[name] / calls:15,.0f} {dead.get(name, 0) / calls:15,.0f}")
        total = (sum(sizes.values()) - sizes.get("sip_example", 0) for sizes in (live, dead))
        print(f"{'all':24} " + " ".join(f"{one / calls:15,.0f}" for one in total))
        await _months(connection, traced)
    finally:
        await connection.close()


async def _sizes(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    """Bytes of each table once it is packed."""
    await connection.execute("VACUUM FULL", timeout=600)
    return {row["relname"]: row["size_bytes"] for row in await connection.fetch(_SIZES)}


async def _months(connection: asyncpg.Connection[asyncpg.Record], traced: int) -> None:
    """Print what a month of messages costs when it comes and when it goes."""
    size = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('sip_messages')"
    print(f"\na month of the messages of {traced:,} calls")
    for name in ("call by call", "at once"):
        await connection.execute(f"SELECT ensure_month_v1('sip_messages', {_MONTH})")
        await _timed(connection, "written", lambda: connection.execute(_WRITE, traced, timeout=3600))
        await connection.execute("VACUUM ANALYZE sip_messages", timeout=3600)
        before = await connection.fetchval(size)
        if name == "call by call":
            await _timed(connection, f"given up {name}", lambda: _one_by_one(connection, traced))
        else:
            await _timed(connection, f"given up {name}", lambda: connection.fetchval(_FORGET, timeout=60))
        after = await connection.fetchval(size)
        print(f"  {before / 1e6:,.0f} MB before, {after / 1e6:,.0f} MB after")
        await connection.execute("DROP TABLE IF EXISTS sip_messages_202001")


async def _one_by_one(connection: asyncpg.Connection[asyncpg.Record], traced: int) -> None:
    delete = await connection.prepare("DELETE FROM sip_messages WHERE segment_id = md5($1::int::text)::uuid")
    for first in range(1, traced + 1, 500):
        async with connection.transaction():
            await delete.executemany([(number,) for number in range(first, min(first + 500, traced + 1))])
    await connection.execute("VACUUM sip_messages", timeout=3600)


async def _timed(
    connection: asyncpg.Connection[asyncpg.Record], what: str, act: Callable[[], Awaitable[object]]
) -> None:
    start, began = await connection.fetchval("SELECT pg_current_wal_lsn()"), time.perf_counter()
    await act()
    taken = time.perf_counter() - began
    log = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)::float8", start)
    print(f"  {what}: {taken:.2f} s, {log / 1e6:,.1f} MB of write-ahead log", flush=True)


def _call(recorder: RunningRecorder, calls: int, door: str) -> None:
    subprocess.run(
        [BIN / "recorder", "simulate", "--target", f"udp:127.0.0.1:{recorder.sip_port}", "--door", door,
         "--calls", str(calls), "--seconds", str(_CALL_S), "--rate", "10"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _delete_all(recorder: RunningRecorder) -> None:
    ids = [one["id"] for one in recorder.recordings("--limit", "10000")]
    recorder.admin("recordings", "delete", *ids, "--reason", "measured", "--yes")
    eventually(
        lambda: not recorder.recordings("--limit", "1"), limit_s=600, what="all deleted", detail=recorder.log_tail
    )


def _finished(recorder: RunningRecorder, calls: int) -> bool:
    return not recorder.admin("jobs", "list") and len(recorder.recordings("--limit", "10000")) == calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--traced", type=int, default=100_000)
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        recorder = RunningRecorder(Path(directory) / "state", environment={"RECORDER_MEDIA_MAX_STREAMS": "400"})
        with recorder:
            for door in ("msr", "siprec"):
                _call(recorder, options.calls // 2, door)
            eventually(
                lambda: _finished(recorder, options.calls),
                limit_s=600,
                what="all finished",
                detail=recorder.log_tail,
            )
            dsn = json.loads((recorder.state_dir / "run" / "running.json").read_text())["dsn"]
            time.sleep(5)  # what the tracers hold for a moment
            asyncio.run(measure(dsn, options.calls, options.traced, lambda: asyncio.to_thread(_delete_all, recorder)))


if __name__ == "__main__":
    main()
