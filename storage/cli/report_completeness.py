"""`recorder-admin report completeness`: what was lost, and why; and is every expected call there."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.ledger import LedgerKind
from storage.catalog.records import RecordingState
from storage.catalog.reports import Outcome, ReportGroup, Share
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.options import JsonObject
from storage.cli.presentation import clock, counted, or_dash, span, write_json
from storage.cli.reconciliation import reconcile
from storage.cli.report_days import Days, FromOption, ToOption
from storage.exit_codes import ExitCode

_KINDS: Final = tuple(LedgerKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessOptions:
    """Options of the command, as typed."""

    started_from: str
    started_to: str = "today"
    by: ReportGroup | None = None
    expected: Path | None = None
    tolerance_s: float = 30.0
    as_json: bool = False
    as_csv: bool = False


async def run(options: CompletenessOptions, catalog: Catalog, console: Console, *, now: datetime) -> ExitCode:
    """Print the report; with an expected list, the comparison with it."""
    if options.as_json and options.as_csv:
        raise CommandFailed("--json or --csv: not both", ExitCode.USAGE)
    days = Days.parse(options.started_from, options.started_to, now=now)
    if options.expected is not None:
        return await reconcile(
            options.expected,
            catalog,
            console,
            days=days,
            tolerance_s=options.tolerance_s,
            as_json=options.as_json,
            as_csv=options.as_csv,
        )
    shares = await catalog.reports.shares(days.first, days.end, options.by)
    outcomes = await catalog.reports.outcomes(days.first, days.end, options.by)
    if options.as_json:
        write_json(console, report_json(days, options.by, shares, outcomes))
    elif options.as_csv:
        _write_csv(shares, outcomes)
    else:
        _print(console, days, options.by, shares, outcomes)
    return ExitCode.OK


def report_completeness(
    ctx: typer.Context,
    *,
    started_from: FromOption,
    started_to: ToOption = "today",
    by: Annotated[ReportGroup | None, typer.Option("--by", help="Break the figures down.")] = None,
    expected: Annotated[
        Path | None,
        typer.Option("--expected", metavar="FILE", help="CSV of calls that should be there (CDRs): compare with it."),
    ] = None,
    tolerance_s: Annotated[
        float, typer.Option("--tolerance", min=0, max=3600, metavar="SECONDS", help="For calls matched by time.")
    ] = 30.0,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    as_json: JsonObject = False,
) -> None:
    """Say what was lost and why: recorded, silent, paused and lost time by cause, and how sessions ended.

    Example: recorder-admin report completeness --from 2026-11-01 --to 2026-11-30 --by day

    Example: recorder-admin report completeness --from 7d --expected cdr.csv --json
    """
    options = CompletenessOptions(
        started_from=started_from,
        started_to=started_to,
        by=by,
        expected=expected,
        tolerance_s=tolerance_s,
        as_json=as_json,
        as_csv=as_csv,
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)


def report_json(
    days: Days, by: ReportGroup | None, shares: Sequence[Share], outcomes: Sequence[Outcome]
) -> dict[str, object]:
    """Return the documented form of the report; seconds are those of all parties together."""
    groups = sorted({share.group for share in shares} | {outcome.group for outcome in outcomes})
    report: dict[str, object] = {**days.json(), "by": by.value if by else None, **_figures(shares, outcomes)}
    if by is not None and by is not ReportGroup.CAUSE:
        report["groups"] = [
            {
                by.value: group,
                **_figures(
                    [share for share in shares if share.group == group],
                    [outcome for outcome in outcomes if outcome.group == group],
                ),
            }
            for group in groups
        ]
    return report


def _figures(shares: Sequence[Share], outcomes: Sequence[Outcome]) -> dict[str, object]:
    causes: dict[tuple[LedgerKind, str], list[float]] = defaultdict(lambda: [0.0, 0, 0])
    for share in shares:
        figures = causes[share.kind, share.cause]
        for position, value in enumerate((share.seconds, share.intervals, share.recordings)):
            figures[position] += value
    return {
        "recordings": sum(outcome.recordings for outcome in outcomes),
        "outcomes": {state.value: _count(outcomes, state) for state in RecordingState},
        "seconds": {kind.value: round(_seconds(shares, kind), 6) for kind in _KINDS},
        "causes": [
            {
                "kind": kind.value,
                "cause": cause,
                "seconds": round(seconds, 6),
                "intervals": int(intervals),
                "recordings": int(recordings),
            }
            for (kind, cause), (seconds, intervals, recordings) in sorted(
                causes.items(), key=lambda item: (_KINDS.index(item[0][0]), -item[1][0])
            )
        ],
    }


def _count(outcomes: Iterable[Outcome], state: RecordingState) -> int:
    return sum(outcome.recordings for outcome in outcomes if outcome.state is state)


def _seconds(shares: Iterable[Share], kind: LedgerKind) -> float:
    return sum(share.seconds for share in shares if share.kind is kind)


def _write_csv(shares: Sequence[Share], outcomes: Sequence[Outcome]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(("group", "kind", "cause", "seconds", "intervals", "recordings"))
    for outcome in outcomes:
        writer.writerow(
            (outcome.group, "outcome", outcome.state.value, round(outcome.seconds, 3), "", outcome.recordings)
        )
    for share in shares:
        writer.writerow(
            (share.group, share.kind.value, share.cause, round(share.seconds, 6), share.intervals, share.recordings)
        )


def _print(
    console: Console, days: Days, by: ReportGroup | None, shares: Sequence[Share], outcomes: Sequence[Outcome]
) -> None:
    total = sum(share.seconds for share in shares)
    states = {state: _count(outcomes, state) for state in RecordingState}
    console.print(f"Completeness of {days} (UTC days of the start)")
    console.print(
        f"  {counted(sum(states.values()), 'recording')}: "
        + (", ".join(f"{count} {state.value}" for state, count in states.items() if count) or "none")
    )
    if not total:
        return
    for kind in _KINDS:
        seconds = _seconds(shares, kind)
        console.print(f"  {kind.value:<9}{clock(seconds):>14}  {seconds / total:10.4%} of all parties' time")
    lost = [share for share in shares if share.kind is LedgerKind.LOST]
    console.print()
    console.print("Lost, and why" if lost else "Nothing was lost.")
    if lost:
        console.print(_causes(lost))
    if by is ReportGroup.CAUSE:
        console.print()
        console.print("All causes")
        console.print(_causes(shares))
    elif by is not None:
        console.print()
        console.print(_groups(by, shares, outcomes))


def _causes(shares: Sequence[Share]) -> Table:
    table = Table("kind", "cause", "time", "intervals", "recordings", box=None, pad_edge=False)
    figures = _figures(shares, ())["causes"]
    for one in figures if isinstance(figures, list) else ():
        table.add_row(
            one["kind"], or_dash(one["cause"]), span(one["seconds"]), str(one["intervals"]), str(one["recordings"])
        )
    return table


def _groups(by: ReportGroup, shares: Sequence[Share], outcomes: Sequence[Outcome]) -> Table:
    table = Table(
        by.value, "recordings", "no media", "failed", *(kind.value for kind in _KINDS), box=None, pad_edge=False
    )
    for group in sorted({share.group for share in shares} | {outcome.group for outcome in outcomes}):
        own = [outcome for outcome in outcomes if outcome.group == group]
        table.add_row(
            or_dash(group),
            str(sum(outcome.recordings for outcome in own)),
            str(_count(own, RecordingState.NO_MEDIA)),
            str(_count(own, RecordingState.FAILED)),
            *(span(_seconds((share for share in shares if share.group == group), kind)) for kind in _KINDS),
        )
    return table
