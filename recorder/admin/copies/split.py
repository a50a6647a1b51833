"""`recorder-admin copies split`: an operator says that recordings are not copies, and it stays so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from recorder.admin.copies.listing import name_of
from recorder.admin.copies.ruling import own_recording, rule
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyState
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.options import DryRun, JsonObject, Reason, Reference
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """Options of the command."""

    reference: str
    others: tuple[str, ...] = ()
    reason: str
    dry_run: bool = False
    as_json: bool = False


async def run(options: SplitOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Separate one recording from others; without names, from all that it is grouped with."""
    one = await own_recording(catalog, options.reference)
    if options.others:
        others = [(await own_recording(catalog, other)) for other in options.others]
    else:
        groups = await catalog.copies.groups(limit=1, rejected=True, recording_id=one.recording_id)
        ids = [member.recording_id for group in groups for member in group.members]
        others = [facts for other in ids if (facts := await catalog.copies.facts(other))]
    others = [other for other in others if other.recording_id != one.recording_id]
    if not others:
        raise CommandFailed(
            f"{name_of(one.record_identifier, one.recording_id)} has no copies to be separated from", ExitCode.NOT_FOUND
        )
    names = ", ".join(name_of(other.record_identifier, other.recording_id) for other in others)
    return await rule(
        catalog,
        console,
        [(one.recording_id, other.recording_id) for other in others],
        CopyState.REJECTED,
        options.reason,
        sentence=f"{name_of(one.record_identifier, one.recording_id)} is separated from {names}, for good;"
        " a curator withdraws or heals anew what was made of them. No file is removed.",
        dry_run=options.dry_run,
        as_json=options.as_json,
    )


def split_copies(
    ctx: typer.Context,
    *,
    reference: Reference,
    others: Annotated[
        list[str] | None, typer.Argument(metavar="OTHER", help="From these only; default: from all of its group.")
    ] = None,
    reason: Reason,
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Say that a recording is not a copy of others. It is remembered: they are never paired again by themselves.

    Example: recorder-admin copies split 3f2a91c0 --reason "two calls of one agent, see ticket 4711"
    """
    options = SplitOptions(
        reference=reference, others=tuple(others or ()), reason=reason, dry_run=dry_run, as_json=as_json
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)
