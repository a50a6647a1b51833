"""`recorder-admin recordings erase`: somebody asks that what is kept of him be erased."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.holds import checked_reason
from storage.catalog.persons import Appearance
from storage.catalog.records import RecordingState
from storage.catalog.views import iso_utc
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonObject, Yes, confirm
from storage.cli.presentation import moment, printable, write_json
from storage.exit_codes import ExitCode
from storage.retention import Candidate, Policy

CONFLICTS: Final = ("legal-hold", "minimum-retention", "recording", "finalising")


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOptions:
    """Options of the command."""

    person: str
    reason: str
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


async def run(
    options: EraseOptions, policy: Policy, catalog: Catalog, console: Console, *, by: str, now: datetime
) -> ExitCode:
    """Delete what names the person and may go, report the rest; `REFUSED` when something has to stay for now."""
    checked_reason(options.reason)
    found = await catalog.persons.find(options.person)
    known = {one.recording_id: one for one in await catalog.retention.candidates([one.recording_id for one in found])}
    if not options.dry_run:
        what = f"{len(found)} recordings name this person, and would be deleted as far as they may go"
        confirm(what, yes=options.yes, as_json=options.as_json)
    entries = []
    for one in found:
        result, until = await _fate(one, known[one.recording_id], options, policy, catalog, by=by, now=now)
        entries.append(
            {
                "id": str(one.recording_id),
                "record_identifier": one.record_identifier,
                "started_at": iso_utc(one.started_at),
                "named_by": list(one.named_by),
                "result": result,
                "possible_from": iso_utc(until),
            }
        )
        if not options.as_json:
            names = ", ".join(one.named_by)
            after = f" (possible from {moment(until)} UTC)" if until else ""
            console.print(
                f"{one.recording_id}  {result}{after}  {moment(one.started_at)}  named by {names}"
                f"  {printable(one.record_identifier)}",
                soft_wrap=True,
            )
    counts = Counter(str(entry["result"]) for entry in entries)
    masked = 0
    if not options.dry_run:
        masked = await catalog.persons.mask(options.person, by=by, reason=options.reason, details={"results": counts})
    if options.as_json:
        write_json(console, {"dry_run": options.dry_run, "recordings": entries, "results": counts, "masked": masked})
    else:
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
        console.print(f"{len(entries)} recordings name this person: {told}. {masked} tombstones masked.")
    return ExitCode.REFUSED if any(entry["result"] in CONFLICTS for entry in entries) else ExitCode.OK


async def _fate(
    one: Appearance,
    candidate: Candidate,
    options: EraseOptions,
    policy: Policy,
    catalog: Catalog,
    *,
    by: str,
    now: datetime,
) -> tuple[str, datetime | None]:
    """Return what becomes of a recording, and from when on it could be deleted if only a minimum forbids it."""
    if one.state is RecordingState.DELETED:
        return "tombstone", None
    if one.state is RecordingState.DELETING:
        return "deleting-already", None
    if candidate.held:
        return "legal-hold", None
    safe_until = policy.verdict(candidate).safe_until
    if safe_until > now:
        return "minimum-retention", safe_until
    if options.dry_run:
        return (one.state.value if one.state in CONFLICTS else "would-delete"), None
    # The person's request, and not the person: the tombstone stays.
    answer = await catalog.deletions.begin(one.recording_id, by=by, reason=options.reason, rule="erasure request")
    return answer.refused or "deleting", None


def erase_person(
    ctx: typer.Context,
    *,
    person: Annotated[
        str, typer.Option("--person", help="Number, DN, agent or address (aor), whole; sip: and host may be left out.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="The request; an auditor reads it. Do not name the person.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonObject = False,
) -> None:
    """Erase what is kept of a person: deletes the recordings, reports conflicts with holds and minimum retention.

    Example: recorder-admin recordings erase --person 5550199 --reason "request 2026-118" --dry-run
    """
    options = EraseOptions(person=person, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, context.retention, catalog, make_console(), by=operator(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
