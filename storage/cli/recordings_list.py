"""`recorder-admin recordings list`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.records import Door, RecordingState, Role
from storage.catalog.views import RecordingFilter, RecordingSummary
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.exit_codes import ExitCode
from storage.cli.presentation import clock, lost_seconds, moment, or_dash, span, summary_json, write_json
from storage.cli.times import parse_time

WIDE: Final = 140
"""Characters per line from which on the table shows all columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Options of the command, as typed."""

    started_from: str | None = None
    started_to: str | None = None
    record_identifier: str | None = None
    call_uuid: str | None = None
    dn: str | None = None
    ani: str | None = None
    dnis: str | None = None
    state: RecordingState | None = None
    door: Door | None = None
    copies: bool = False
    limit: int = 100
    as_json: bool = False


async def run(options: ListOptions, catalog: Catalog, console: Console, *, now: datetime) -> ExitCode:
    """Print matching recordings, newest first."""
    wanted = RecordingFilter(
        started_from=parse_time(options.started_from, now=now) if options.started_from else None,
        started_to=parse_time(options.started_to, now=now, end_of_day=True) if options.started_to else None,
        record_identifier=options.record_identifier,
        call_uuid=options.call_uuid,
        dn=options.dn,
        ani=options.ani,
        dnis=options.dnis,
        state=options.state,
        door=options.door,
        copies=options.copies,
        limit=options.limit,
    )
    found = await catalog.list_recordings(wanted)
    if options.as_json:
        write_json(console, [summary_json(recording) for recording in found])
        return ExitCode.OK
    if not found:
        console.print("No recording matches.")
        return ExitCode.OK
    console.print(_table(found, console.width))
    if len(found) == options.limit:
        console.print(f"The newest {options.limit}; there may be more: use --limit, or --to with the last time shown.")
    return ExitCode.OK


def list_recordings(
    ctx: typer.Context,
    *,
    started_from: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Started at or after: 2026-11-22, today, 36h, ...")
    ] = None,
    started_to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Started before; a day without a time is included.")
    ] = None,
    record_identifier: Annotated[
        str | None, typer.Option("--record-identifier", help="Exact, or the beginning followed by *.")
    ] = None,
    call_uuid: Annotated[str | None, typer.Option("--call-uuid", help="Genesys call UUID.")] = None,
    dn: Annotated[str | None, typer.Option("--dn", help="DN of either party.")] = None,
    ani: Annotated[str | None, typer.Option("--ani", help="Calling number.")] = None,
    dnis: Annotated[str | None, typer.Option("--dnis", help="Called number.")] = None,
    state: Annotated[RecordingState | None, typer.Option("--state", help="Only this state.")] = None,
    door: Annotated[Door | None, typer.Option("--door", help="Only sessions that came in this way.")] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Also copies of a call that another recording stands for.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array for scripts.")] = False,
) -> None:
    """List recordings, newest first. Times are UTC.

    Example: recorder-admin recordings list --from today --dn 5550100
    """
    options = ListOptions(
        started_from=started_from,
        started_to=started_to,
        record_identifier=record_identifier,
        call_uuid=call_uuid,
        dn=dn,
        ani=ani,
        dnis=dnis,
        state=state,
        door=door,
        copies=copies,
        limit=limit,
        as_json=as_json,
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), now=datetime.now(UTC))

    run_command(ctx, as_json=as_json, command=command)


def _table(found: list[RecordingSummary], width: int) -> Table:
    """Return the table, on narrow terminals without the columns that `show` has anyway."""
    columns = {title: cell for title, cell in _COLUMNS.items() if width >= WIDE or title not in _WIDE_ONLY}
    table = Table(box=None, pad_edge=False)
    for title in columns:
        # Folded rather than cut: ids and numbers are what people copy.
        table.add_column(title, overflow="fold")
    for recording in found:
        table.add_row(*(cell(recording) for cell in columns.values()))
    return table


def _gaps(recording: RecordingSummary) -> str:
    if recording.duration_s is None:
        return "-"
    lost = lost_seconds(recording.gaps)
    return f"lost {span(lost)}" if lost else "none lost"


_MARKS: Final = {Role.RECORDING: "", Role.COPY: ", copy", Role.MASTER: ", healed", Role.WITHDRAWN: ", withdrawn"}
_COLUMNS: Final[dict[str, Callable[[RecordingSummary], str]]] = {
    "id": lambda recording: recording.recording_id.hex[:8],
    "started (UTC)": lambda recording: moment(recording.started_at),
    "length": lambda recording: clock(recording.duration_s),
    "state": lambda recording: recording.state.value + _MARKS[recording.role],
    "door": lambda recording: recording.door.value,
    "dn": lambda recording: or_dash(recording.dn),
    "other": lambda recording: or_dash(recording.other_dn),
    "ani": lambda recording: or_dash(recording.ani),
    "dnis": lambda recording: or_dash(recording.dnis),
    "gaps": _gaps,
    "identifier": lambda recording: or_dash(recording.record_identifier),
}
_WIDE_ONLY: Final = ("door", "dnis", "identifier")
