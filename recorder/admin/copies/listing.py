"""`recorder-admin copies list`: groups of recordings that are, or may be, copies of one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.copy_records import CopyGroup, CopyState
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.copies_view import group_json, state_of
from storage.cli.options import JsonArray
from storage.cli.presentation import moment, or_dash, printable, span, write_json
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Options of the command."""

    state: CopyState | None = None
    limit: int = 100
    as_json: bool = False


async def run(options: ListOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Print groups, the newest first."""
    found = await catalog.copies.groups(limit=options.limit, rejected=options.state is CopyState.REJECTED)
    groups = [group for group in found if options.state is None or _has(group, options.state)]
    if options.as_json:
        write_json(console, [group_json(group) for group in groups])
        return ExitCode.OK
    if not groups:
        console.print("No copies.")
        return ExitCode.OK
    table = Table(box=None, pad_edge=False)
    for title in ("group", "recording", "copy", "state", "started (UTC)", "gave", "master", "identifier"):
        table.add_column(title, overflow="fold")
    for group in groups:
        for member in group.members:
            table.add_row(
                group.group_id.hex[:8],
                member.recording_id.hex[:8],
                state_of(member, group.pairs).value,
                member.state.value,
                moment(member.started_at),
                "-" if member.given_s is None else span(member.given_s),
                "-" if member.master_id is None else member.master_id.hex[:8],
                or_dash(member.record_identifier),
            )
    console.print(table)
    return ExitCode.OK


def list_copies(
    ctx: typer.Context,
    state: Annotated[
        CopyState | None, typer.Option("--state", help="Only groups with a pair in this state; `rejected` shows more.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many groups, the newest.")] = 100,
    as_json: JsonArray = False,
) -> None:
    """List copies of calls: what may be one while it is being recorded, what is one, and what could not be decided.

    Example: recorder-admin copies list --state undecided
    """
    options = ListOptions(state=state, limit=limit, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)


def _has(group: CopyGroup, state: CopyState) -> bool:
    return any(pair.state is state for pair in group.pairs)


def name_of(record_identifier: str, recording_id: object) -> str:
    """Return how a recording is called in sentences for people."""
    return f"{str(recording_id)[:8]} ({printable(record_identifier)})"
