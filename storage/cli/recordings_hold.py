"""`recorder-admin recordings hold`: keep recordings from being removed, whoever tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonArray, Reason
from storage.cli.presentation import counted, moment, printable, write_json
from storage.cli.selection import Selection, select, selecting
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOptions:
    """Options of the command."""

    selection: Selection
    reason: str
    matter: str = ""
    dry_run: bool = False
    as_json: bool = False


async def run(options: HoldOptions, catalog: Catalog, console: Console, *, by: str, now: datetime) -> ExitCode:
    """Hold every recording selected; `REFUSED` when one of them could not be held."""
    results: list[dict[str, object]] = []
    for recording in await select(options.selection, catalog, now=now):
        facts: dict[str, object] = {
            "id": str(recording.recording_id),
            "record_identifier": recording.record_identifier,
            "hold": None,
            "captures": None,
            "result": "would-hold",
        }
        if not options.dry_run:
            placing = await catalog.holds.place(
                recording.recording_id, reason=options.reason, matter=options.matter, by=by
            )
            facts |= {"hold": placing.hold_id, "captures": placing.captures}
            facts["result"] = placing.refused or ("held" if placing.placed else "held-already")
        results.append(facts)
        if not options.as_json:
            number = f" (hold {facts['hold']})" if facts["hold"] else ""
            console.print(
                f"{recording.recording_id}  {facts['result']}{number}  {moment(recording.started_at)}"
                f"  {printable(recording.record_identifier)}",
                soft_wrap=True,
            )
            if facts["captures"] == "erasing":
                console.print("  Warning: its captures were being erased when the hold came; some may be gone.")
    refused = [facts for facts in results if facts["result"] not in ("held", "held-already", "would-hold")]
    if options.as_json:
        write_json(console, results)
    elif refused:
        console.print(
            f"{len(refused)} of {counted(len(results), 'recording')} could not be held: being deleted, or gone already."
        )
    else:
        console.print(f"{'Would hold' if options.dry_run else 'Held'}: {counted(len(results), 'recording')}.")
    return ExitCode.REFUSED if refused else ExitCode.OK


@selecting
def hold_recordings(
    ctx: typer.Context,
    *,
    selection: Selection,
    reason: Reason,
    matter: Annotated[str, typer.Option("--case", help="The case it is for; release names it again.")] = "",
    dry_run: DryRun = False,
    as_json: JsonArray = False,
) -> None:
    """Put recordings under legal hold: nothing removes them, their files or their captures until it is released.

    Example: recorder-admin recordings hold --dn 5550100 --from 2026-11-01 --case 4711 --reason "court order 12/26"
    """
    options = HoldOptions(
        selection=selection,
        reason=reason,
        matter=matter,
        dry_run=dry_run,
        as_json=as_json,
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), by=operator(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
