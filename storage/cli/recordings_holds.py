"""`recorder-admin recordings holds`: what is under legal hold now, by whom and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.options import JsonArray
from storage.cli.presentation import hold_json, moment, or_dash, write_json
from storage.exit_codes import ExitCode


async def run(catalog: Catalog, console: Console, *, matter: str | None, as_json: bool) -> ExitCode:
    """Print the standing holds, oldest first."""
    standing = await catalog.holds.standing(matter=matter)
    if as_json:
        write_json(console, [{"record_identifier": name, **hold_json(hold)} for name, hold in standing])
        return ExitCode.OK
    if not standing:
        console.print("No hold stands.")
        return ExitCode.OK
    table = Table("hold", "recording", "case", "placed (UTC)", "by", "reason", "identifier", box=None, pad_edge=False)
    for name, hold in standing:
        table.add_row(
            str(hold.hold_id),
            hold.recording_id.hex[:8],
            or_dash(hold.matter),
            moment(hold.placed_at),
            or_dash(hold.placed_by),
            or_dash(hold.reason),
            or_dash(name),
        )
    console.print(table)
    return ExitCode.OK


def list_holds(
    ctx: typer.Context,
    matter: Annotated[str | None, typer.Option("--case", help="Only holds of this case.")] = None,
    as_json: JsonArray = False,
) -> None:
    """List the legal holds that stand, oldest first.

    Example: recorder-admin recordings holds --case 4711
    """

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(catalog, make_console(), matter=matter, as_json=as_json)

    run_command(ctx, as_json=as_json, command=command)
