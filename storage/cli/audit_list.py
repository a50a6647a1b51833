"""`recorder-admin audit list`: who did what to which recording, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.audit import AuditFilter
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.options import JsonArray
from storage.cli.presentation import moment, or_dash, write_json
from storage.cli.times import parse_window
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditListOptions:
    """Options of the command, as typed."""

    since: str | None = None
    until: str | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    limit: int = 100
    as_json: bool = False


async def run(options: AuditListOptions, catalog: Catalog, console: Console, *, now: datetime) -> ExitCode:
    """Print the latest matching entries, oldest first."""
    since, until = parse_window(options.since, options.until, now=now)
    wanted = AuditFilter(
        actor=options.actor,
        action=options.action,
        subject=options.subject,
        since=since,
        until=until,
    )
    entries = await catalog.audit.latest(wanted, options.limit)
    if options.as_json:
        write_json(console, [entry.to_json() for entry in entries])
        return ExitCode.OK
    if not entries:
        console.print("No entry matches.")
        return ExitCode.OK
    table = Table("entry", "time (UTC)", "who", "did", "to", "why", "details", box=None)
    for entry in entries:
        table.add_row(
            str(entry.number),
            moment(entry.at),
            or_dash(entry.actor),
            or_dash(entry.action),
            or_dash(entry.subject),
            or_dash(entry.reason),
            "" if entry.details == "{}" else or_dash(entry.details),
        )
    console.print(table)
    return ExitCode.OK


def list_audit(
    ctx: typer.Context,
    *,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="At or after: today, 36h, ...")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before; a day is included.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who, as shown: user@host.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="What was done: export, delete, ...")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="To what: the full id of a recording.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, the latest.")] = 100,
    as_json: JsonArray = False,
) -> None:
    """List the audit log: who did what, to which recording, and why.

    Example: recorder-admin audit list --from 7d --action export
    """
    options = AuditListOptions(
        since=since, until=until, actor=actor, action=action, subject=subject, limit=limit, as_json=as_json
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)
