"""`recorder-admin recordings release`: end legal holds, and never one that somebody else still needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.holds import Hold
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import MAX_NUMBER, DryRun, JsonObject, Reason
from storage.cli.presentation import counted, printable, write_json
from storage.cli.selection import Selection, select, selecting
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOptions:
    """Options of the command."""

    selection: Selection
    reason: str
    matter: str | None = None
    hold_id: int | None = None
    every: bool = False
    dry_run: bool = False
    as_json: bool = False


async def run(options: ReleaseOptions, catalog: Catalog, console: Console, *, by: str, now: datetime) -> ExitCode:
    """Release the holds meant on every recording selected; nothing is released when one is not clear."""
    recordings = await select(options.selection, catalog, now=now)
    chosen = _chosen(await catalog.holds.of([recording.recording_id for recording in recordings]), options)
    results: list[dict[str, object]] = []
    for hold in chosen:
        released = options.dry_run or await catalog.holds.release(hold.hold_id, reason=options.reason, by=by)
        result = "would-release" if options.dry_run else "released" if released else "released-already"
        results.append({"id": str(hold.recording_id), "hold": hold.hold_id, "case": hold.matter, "result": result})
        if not options.as_json:
            console.print(
                f"{hold.recording_id}  hold {hold.hold_id} {result}  (placed by {printable(hold.placed_by)}: "
                f"{printable(hold.reason)})",
                soft_wrap=True,
            )
    still = await catalog.holds.held_among([recording.recording_id for recording in recordings])
    if options.as_json:
        write_json(console, {"holds": results, "still_held": sorted(str(recording) for recording in still)})
    elif not options.dry_run:
        left = f"{len(still)} of {counted(len(recordings), 'recording')}"
        console.print(f"{counted(len(results), 'hold')} released; still held: {left}.")
    return ExitCode.OK


def _chosen(holds: list[Hold], options: ReleaseOptions) -> list[Hold]:
    standing = [hold for hold in holds if hold.standing]
    if options.hold_id is not None:
        chosen = [hold for hold in standing if hold.hold_id == options.hold_id]
    elif options.matter is not None:
        chosen = [hold for hold in standing if hold.matter == options.matter]
    else:
        chosen = standing
        if not options.every:
            _refuse_unclear(standing)
    if not chosen:
        raise CommandFailed(
            "no such hold stands on these recordings: `recorder-admin recordings holds` shows them", ExitCode.NOT_FOUND
        )
    return chosen


def _refuse_unclear(standing: list[Hold]) -> None:
    """Refuse to choose between several holds of one recording: another one's may be among them."""
    by_recording: defaultdict[UUID, list[Hold]] = defaultdict(list)
    for hold in standing:
        by_recording[hold.recording_id].append(hold)
    for recording_id, several in by_recording.items():
        if len(several) > 1:
            listed = "; ".join(f"{hold.hold_id} (case {hold.matter or '-'}: {hold.reason})" for hold in several)
            raise CommandFailed(
                f"recording {recording_id} has several holds: {printable(listed)}. "
                "Say which with --hold or --case, or --all; nothing was released",
                ExitCode.USAGE,
            )


@selecting
def release_recordings(
    ctx: typer.Context,
    *,
    selection: Selection,
    reason: Reason,
    matter: Annotated[str | None, typer.Option("--case", help="Only holds of this case.")] = None,
    hold_id: Annotated[
        int | None, typer.Option("--hold", min=1, max=MAX_NUMBER, help="Only the hold with this number.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All holds of these recordings, whoever placed them.")] = False,
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Release legal holds. A recording with several holds stays held until the last one is released.

    Example: recorder-admin recordings release --from 2026-11-01 --case 4711 --reason "case closed"
    """
    options = ReleaseOptions(
        selection=selection,
        reason=reason,
        matter=matter,
        hold_id=hold_id,
        every=every,
        dry_run=dry_run,
        as_json=as_json,
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), by=operator(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
