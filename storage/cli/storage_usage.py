"""`recorder-admin storage usage`: what is stored where, how fast it grows, and how long the disk lasts."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.usage import StoredBytes
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.options import JsonObject
from storage.cli.presentation import or_dash, size_text, write_json
from storage.exit_codes import ExitCode

RATE_DAYS: Final = 7
"""Whole days that the present rate is the mean of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system that something of ours is on."""

    what: str
    path: Path
    total_bytes: int
    free_bytes: int
    ours_bytes: int


def daily_rate(days: Sequence[StoredBytes], *, today: date, store: str) -> float:
    """Return bytes a day into one store: the mean of the last whole days, of fewer when it began later."""
    first = today - timedelta(days=RATE_DAYS)
    counted = [one for one in days if one.store == store and one.day is not None and first <= one.day < today]
    if not counted:
        return 0.0
    began = min(one.day for one in counted if one.day is not None)
    return sum(one.size_bytes for one in counted) / (today - began).days


def measure(what: str, path: Path) -> Disk | None:
    """Return the file system of a directory and the bytes below it; None when it does not exist."""
    if not path.is_dir():
        return None
    ours = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                ours += os.stat(os.path.join(folder, name), follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    facts = shutil.disk_usage(path)
    return Disk(what=what, path=path, total_bytes=facts.total, free_bytes=facts.free, ours_bytes=ours)


async def run(
    catalog: Catalog, context: CliContext, console: Console, *, days: int, as_json: bool, now: datetime
) -> ExitCode:
    """Print usage by store and kind, by day, and by disk."""
    today = now.astimezone(UTC).date()
    begin = datetime.combine(today - timedelta(days=max(days, RATE_DAYS)), datetime.min.time(), UTC)
    total = await catalog.usage.total()
    by_day = await catalog.usage.by_day(begin)
    rate = daily_rate(by_day, today=today, store=next(iter(context.roots)))
    archives = list(context.roots.items())[1:]
    places = (("recordings", context.files_root), *archives, ("captures", context.state_dir / "captures"))
    measured = [await asyncio.to_thread(measure, what, path) for what, path in places]
    disks = [disk for disk in measured if disk is not None]
    first = today - timedelta(days=days)
    shown = [one for one in by_day if one.day is not None and one.day > first]
    free = next((disk.free_bytes for disk in disks if disk.what == "recordings"), None)
    left = free / rate if free is not None and rate > 0 else None
    if as_json:
        write_json(
            console,
            {
                "stores": [_json(one) for one in total],
                "days": [{"day": str(one.day), **_json(one)} for one in shown],
                "disks": [
                    {
                        "what": disk.what,
                        "path": str(disk.path),
                        "total_bytes": disk.total_bytes,
                        "free_bytes": disk.free_bytes,
                        "used_by_us_bytes": disk.ours_bytes,
                    }
                    for disk in disks
                ],
                "bytes_per_day": round(rate),
                "days_left": None if left is None else round(left, 1),
            },
        )
        return ExitCode.OK
    _print(console, total, shown, disks)
    console.print(
        f"Grows by {size_text(rate)} a day (mean of the last {RATE_DAYS} days); "
        + ("no end in sight." if left is None else f"the disk lasts {left:.1f} days at this rate.")
    )
    return ExitCode.OK


def _json(one: StoredBytes) -> dict[str, object]:
    return {"store": one.store, "kind": one.kind, "files": one.files, "size_bytes": one.size_bytes}


def _print(console: Console, total: list[StoredBytes], shown: list[StoredBytes], disks: list[Disk]) -> None:
    table = Table("store", "kind", "files", "size", box=None, pad_edge=False)
    for one in total:
        table.add_row(or_dash(one.store), or_dash(one.kind), str(one.files), size_text(one.size_bytes))
    console.print(table)
    by_day: defaultdict[date, list[StoredBytes]] = defaultdict(list)
    for one in shown:
        if one.day is not None:
            by_day[one.day].append(one)
    table = Table("day (UTC)", "files", "size", box=None, pad_edge=False)
    for day, ones in sorted(by_day.items()):
        table.add_row(str(day), str(sum(o.files for o in ones)), size_text(sum(o.size_bytes for o in ones)))
    console.print(table)
    table = Table("disk", "ours", "free", "of", "path", box=None, pad_edge=False)
    for disk in disks:
        table.add_row(
            *(
                disk.what,
                size_text(disk.ours_bytes),
                size_text(disk.free_bytes),
                size_text(disk.total_bytes),
                str(disk.path),
            )
        )
    console.print(table)


def show_usage(
    ctx: typer.Context,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days of growth to show.")] = 14,
    as_json: JsonObject = False,
) -> None:
    """Say what is stored by store and kind, how it grows, how much space is free, and how long it lasts.

    Example: recorder-admin storage usage --days 30
    """

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(catalog, context, make_console(), days=days, as_json=as_json, now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
