"""`recorder-admin retention plan` and `retention apply`: what policy lets go now, what it spares, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.retention import TraceMonth
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import JsonObject
from storage.cli.presentation import or_dash, printable, write_json
from storage.exit_codes import ExitCode
from storage.retention import Action, Policy, Spared

SHOWN: Final = 200
"""Lines of each table for people; --json has all."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the plan, as `retention plan` does.")]


@dataclass(slots=True)
class Outcome:
    """A plan, and what became of it."""

    actions: list[Action] = field(default_factory=list)
    spared: list[Spared] = field(default_factory=list)
    traces: list[TraceMonth] = field(default_factory=list)
    """Months whose SIP messages go."""
    refused: dict[str, str] = field(default_factory=dict)
    """Recording, or month of traces, to reason: what came between plan and deed."""

    @property
    def totals(self) -> dict[str, int]:
        """Number of actions by kind, and bytes of the files that go."""
        counts = Counter(action.kind.value for action in self.actions)
        return {
            "delete": counts["delete"],
            "erase-captures": counts["erase-captures"],
            "size_bytes": sum(action.size_bytes for action in self.actions),
            "spared": len(self.spared),
        }


async def run(
    policy: Policy, catalog: Catalog, console: Console, *, by: str | None, as_json: bool, now: datetime
) -> ExitCode:
    """Print the plan; carry it out when `by` names who wants it. `REFUSED` when something was not done."""
    outcome = Outcome()
    async for decision in catalog.retention.plan(policy, now=now):
        if isinstance(decision, Spared):
            outcome.spared.append(decision)
            continue
        outcome.actions.append(decision)
        if by is not None:
            answer = await catalog.retention.apply(decision, by=by)
            if answer.refused:
                outcome.refused[str(decision.recording_id)] = answer.refused
    outcome.traces = await catalog.retention.old_traces(policy, now=now)
    for month in outcome.traces if by is not None else ():
        if refused := await catalog.retention.forget_traces(month, by=by or ""):
            outcome.refused[_name(month)] = refused
    if as_json:
        write_json(console, _json(outcome, applied=by is not None))
    else:
        _print(outcome, console, applied=by is not None)
    return ExitCode.REFUSED if outcome.refused else ExitCode.OK


def _name(month: TraceMonth) -> str:
    return f"{month.month:%Y-%m}"


def _json(outcome: Outcome, *, applied: bool) -> dict[str, object]:
    return {
        "applied": applied,
        "totals": outcome.totals,
        "actions": [
            {
                "action": action.kind.value,
                "id": str(action.recording_id),
                "record_identifier": action.record_identifier,
                "rule": action.rule,
                "why": action.why,
                "size_bytes": action.size_bytes,
                "refused": outcome.refused.get(str(action.recording_id)),
            }
            for action in outcome.actions
        ],
        "traces": [
            {
                "month": _name(one),
                "why": one.why,
                "size_bytes": one.size_bytes,
                "held_sessions": one.held_sessions,
                "refused": outcome.refused.get(_name(one)),
            }
            for one in outcome.traces
        ],
        "spared": [
            {"id": str(one.recording_id), "record_identifier": one.record_identifier, "why": one.why}
            for one in outcome.spared
        ],
    }


def _print(outcome: Outcome, console: Console, *, applied: bool) -> None:
    for title, rows in (
        ("action", [(action.kind.value, action, f"{action.rule}: {action.why}") for action in outcome.actions]),
        ("spared", [("stays", one, one.why) for one in outcome.spared]),
    ):
        if not rows:
            continue
        table = Table(title, "recording", "identifier", "why", box=None, pad_edge=False)
        for what, decision, why in rows[:SHOWN]:
            name = or_dash(decision.record_identifier)
            table.add_row(what, decision.recording_id.hex[:8], name, printable(why))
        console.print(table)
        if len(rows) > SHOWN:
            console.print(f"and {len(rows) - SHOWN} more: --json lists all")
    for month in outcome.traces:
        stays = f"; those of {month.held_sessions} held sessions stay" if month.held_sessions else ""
        console.print(
            f"SIP messages of {_name(month)} ({month.size_bytes} bytes) {'given up' if applied else 'due'}{stays}: "
            f"{outcome.refused.get(_name(month)) or month.why}",
            soft_wrap=True,
        )
    totals = outcome.totals
    verb = "begun" if applied else "due"
    console.print(
        f"{totals['delete']} deletions ({totals['size_bytes']} bytes) and {totals['erase-captures']} erasures of "
        f"captures {verb}; {totals['spared']} recordings spared, {len(outcome.refused)} refused meanwhile.",
        soft_wrap=True,
    )


def plan_retention(ctx: typer.Context, as_json: JsonObject = False) -> None:
    """Say what the retention policy lets go now, what it spares, and why. Changes nothing.

    Example: recorder-admin retention plan --json
    """

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(context.retention, catalog, make_console(), by=None, as_json=as_json, now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)


def apply_retention(ctx: typer.Context, dry_run: DryRun = False, as_json: JsonObject = False) -> None:
    """Carry out the retention policy now, as the curator does by itself when `retention.enabled`.

    Example: recorder-admin retention apply --dry-run
    """

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        by = None if dry_run else operator()
        return await run(context.retention, catalog, make_console(), by=by, as_json=as_json, now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
