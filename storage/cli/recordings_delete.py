"""`recorder-admin recordings delete`: remove recordings for good; a tombstone says what was, who and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.holds import checked_reason
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingSummary
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonArray, Reason, Yes, confirm
from storage.cli.presentation import counted, moment, printable, write_json
from storage.cli.selection import Selection, select, selecting
from storage.exit_codes import ExitCode
from storage.retention import Policy

BEGUN: Final = "deleting"
GOING: Final = (RecordingState.DELETING, RecordingState.DELETED)

_WHY: Final = {
    "legal-hold": "under legal hold (`recorder-admin recordings holds`)",
    "recording": "still being recorded",
    "finalising": "not finalised yet; try again in a moment",
    "unknown-recording": "gone meanwhile",
    "minimum-retention": "younger than the minimum retention (`retention.min_days`, or `min_days` of a rule)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Options of the command."""

    selection: Selection
    reason: str
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


async def run(
    options: DeleteOptions, policy: Policy, catalog: Catalog, console: Console, *, by: str, now: datetime
) -> ExitCode:
    """Begin the deletion of every recording selected that may go; `REFUSED` when one may not."""
    checked_reason(options.reason)
    recordings = await select(options.selection, catalog, now=now)
    known = {one.recording_id: one for one in await catalog.retention.candidates([r.recording_id for r in recordings])}
    results: list[dict[str, object]] = []
    if recordings and not options.dry_run:
        confirm(
            f"{counted(len(recordings), 'recording')} would be deleted for good",
            yes=options.yes,
            as_json=options.as_json,
        )
    for recording in recordings:
        candidate = known[recording.recording_id]
        if recording.state not in GOING and policy.verdict(candidate).safe_until > now:
            result = "minimum-retention"
        elif options.dry_run:
            result = _foreseen(recording, held=candidate.held)
        else:
            answer = await catalog.deletions.begin(recording.recording_id, by=by, reason=options.reason)
            result = answer.refused or (BEGUN if answer.begun else "deleting-already")
        results.append(
            {"id": str(recording.recording_id), "record_identifier": recording.record_identifier, "result": result}
        )
        if not options.as_json:
            console.print(
                f"{recording.recording_id}  {_WHY.get(result, result)}  {moment(recording.started_at)}"
                f"  {printable(recording.record_identifier)}",
                soft_wrap=True,
            )
    if options.as_json:
        write_json(console, results)
    elif results:
        console.print(_conclusion(results, dry_run=options.dry_run))
    return ExitCode.REFUSED if any(facts["result"] in _WHY for facts in results) else ExitCode.OK


def _foreseen(recording: RecordingSummary, *, held: bool) -> str:
    if recording.state in GOING:
        return "deleting-already"
    if recording.state in _WHY:
        return recording.state.value
    return "legal-hold" if held else "would-delete"


def _conclusion(results: Sequence[dict[str, object]], *, dry_run: bool) -> str:
    counts = Counter("refused" if facts["result"] in _WHY else "taken" for facts in results)
    if dry_run:
        return f"{counts['taken']} would be deleted, {counts['refused']} refused. Nothing was changed."
    return (
        f"{counts['taken']} are deleted, {counts['refused']} refused. Curators erase files and captures now; "
        "`recorder-admin recordings show` says when it is done."
    )


@selecting
def delete_recordings(
    ctx: typer.Context,
    *,
    selection: Selection,
    reason: Reason,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonArray = False,
) -> None:
    """Delete recordings for good: audio, captures and call data. Refused on legal hold and minimum retention.

    Example: recorder-admin recordings delete 3f2a91c0 --reason "recorded by mistake, ticket 812"
    """
    options = DeleteOptions(selection=selection, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, context.retention, catalog, make_console(), by=operator(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
