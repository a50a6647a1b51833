"""`recorder-admin copies merge`: an operator says that two recordings are copies of one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from recorder.admin.copies.listing import name_of
from recorder.admin.copies.ruling import own_recording, pairs_with, rule
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyState, RecordingFacts
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.options import DryRun, JsonObject, Reason, Reference
from storage.cli.presentation import printable
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """Options of the command."""

    reference: str
    other: str
    reason: str
    force: bool = False
    dry_run: bool = False
    as_json: bool = False


async def run(options: MergeOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Join two recordings, unless something speaks against it and `force` is not given."""
    one = await own_recording(catalog, options.reference)
    other = await own_recording(catalog, options.other)
    if one.recording_id == other.recording_id:
        raise CommandFailed("these are one and the same recording", ExitCode.USAGE)
    objection = await _objection(catalog, one, other)
    if objection and not options.force:
        raise CommandFailed(f"{objection}: if they are copies nevertheless, use --force", ExitCode.REFUSED)
    names = [name_of(facts.record_identifier, facts.recording_id) for facts in (one, other)]
    return await rule(
        catalog,
        console,
        [(one.recording_id, other.recording_id)],
        CopyState.CONFIRMED,
        options.reason,
        sentence=f"{names[0]} and {names[1]} are copies of one call; a curator heals them when both are finalised"
        + (f" (although {objection})" if objection else ""),
        dry_run=options.dry_run,
        as_json=options.as_json,
    )


async def _objection(catalog: Catalog, one: RecordingFacts, other: RecordingFacts) -> str:
    """Return what speaks against joining two recordings; empty if nothing does."""
    first, second = sorted((one, other), key=lambda facts: facts.started_at)
    if first.ended_at is not None and first.ended_at <= second.started_at:
        return "one had ended before the other began"
    for pair in await pairs_with(catalog, one.recording_id):
        if pair.both == {one.recording_id, other.recording_id} and pair.state is CopyState.REJECTED:
            who = "an operator separated them" if pair.decided_by == "operator" else "their sound says no"
            return f"{who} ({printable(pair.reason)})"
    return ""


def merge_copies(
    ctx: typer.Context,
    *,
    reference: Reference,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The other one.")],
    reason: Reason,
    force: Annotated[
        bool, typer.Option("--force", help="Though they do not overlap, or were found not to be copies.")
    ] = False,
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Say that two recordings are copies of one call. The sound still says where they belong, else their clocks.

    Example: recorder-admin copies merge 3f2a91c0 77b0c2de --reason "same call, other site"
    """
    options = MergeOptions(
        reference=reference, other=other, reason=reason, force=force, dry_run=dry_run, as_json=as_json
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)
