"""`recorder-admin report usage`: calls, hours, the peak of concurrent sessions, and bytes, day by day."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.reports import Outcome, ReportGroup
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.options import JsonObject
from storage.cli.presentation import write_json
from storage.cli.report_days import Days, FromOption, ToOption
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class UsageDay:
    """One day."""

    day: date
    recordings: int
    hours: float
    """Of timeline."""
    peak: int
    """Sessions open at once."""
    size_bytes: int


async def run(
    days: Days, catalog: Catalog, console: Console, *, as_json: bool = False, as_csv: bool = False
) -> ExitCode:
    """Print one line for each day, quiet days included."""
    if as_json and as_csv:
        raise CommandFailed("--json or --csv: not both", ExitCode.USAGE)
    outcomes = await catalog.reports.outcomes(days.first, days.end, ReportGroup.DAY)
    usage = _usage(days, outcomes, await catalog.reports.peaks(days.first, days.end))
    rows = [
        {
            "day": one.day.isoformat(),
            "recordings": one.recordings,
            "hours": round(one.hours, 4),
            "peak_sessions": one.peak,
            "size_bytes": one.size_bytes,
        }
        for one in usage
    ]
    if as_json:
        write_json(console, {**days.json(), "days": rows})
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        table = Table("day (UTC)", "recordings", "hours", "peak sessions", "GiB", box=None, pad_edge=False)
        for one in usage:
            table.add_row(
                str(one.day), str(one.recordings), f"{one.hours:.1f}", str(one.peak), f"{one.size_bytes / 2**30:.3f}"
            )
        console.print(table)
    return ExitCode.OK


def report_usage(
    ctx: typer.Context,
    *,
    started_from: FromOption,
    started_to: ToOption = "today",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    as_json: JsonObject = False,
) -> None:
    """Show calls, hours, the peak of concurrent sessions, and bytes of each day.

    Example: recorder-admin report usage --from 30d --csv
    """

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        days = Days.parse(started_from, started_to, now=datetime.now(UTC))
        return await run(days, catalog, make_console(), as_json=as_json, as_csv=as_csv)

    run_command(ctx, as_json=as_json, command=command)


def _usage(days: Days, outcomes: Sequence[Outcome], peaks: dict[date, int]) -> list[UsageDay]:
    found = []
    for number in range((days.end - days.first).days):
        day = days.first + timedelta(days=number)
        own = [outcome for outcome in outcomes if outcome.group == day.isoformat()]
        found.append(
            UsageDay(
                day,
                sum(outcome.recordings for outcome in own),
                sum(outcome.seconds for outcome in own) / 3600,
                peaks.get(day, 0),
                sum(outcome.size_bytes for outcome in own),
            )
        )
    return found
