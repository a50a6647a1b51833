"""`recorder-admin recordings list`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.records import Role
from storage.catalog.views import RecordingSummary
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.options import JsonArray
from storage.cli.presentation import clock, lost_seconds, moment, or_dash, span, summary_json, write_json
from storage.cli.selection import Selection, filter_of, filtering
from storage.exit_codes import ExitCode

WIDE: Final = 140
"""Characters per line from which on the table shows all columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Options of the command, as typed."""

    selection: Selection = field(default_factory=Selection)
    copies: bool = False
    limit: int = 100
    after: str | None = None
    as_json: bool = False


async def run(options: ListOptions, catalog: Catalog, console: Console, *, now: datetime) -> ExitCode:
    """Print a page of matching recordings, newest first."""
    wanted = replace(filter_of(options.selection, now=now, limit=options.limit), copies=options.copies)
    if options.after is not None:
        wanted = replace(wanted, after=(await find_recording(catalog, options.after)).summary.key)
    found = await catalog.list_recordings(wanted)
    if options.as_json:
        write_json(console, [summary_json(recording) for recording in found])
        return ExitCode.OK
    if not found:
        console.print("No recording matches.")
        return ExitCode.OK
    console.print(_table(found, console.width))
    if len(found) == options.limit:
        console.print(f"There may be more: --after {found[-1].recording_id} shows the next page.", soft_wrap=True)
    return ExitCode.OK


@filtering
def list_recordings(
    ctx: typer.Context,
    *,
    selection: Selection,
    copies: Annotated[
        bool, typer.Option("--copies", help="Also copies of a call that another recording stands for.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest.")] = 100,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="The page after this recording, the last of a page.")
    ] = None,
    as_json: JsonArray = False,
) -> None:
    """List recordings, newest first. Times are UTC.

    Example: recorder-admin recordings list --from today --dn 5550100

    Example: recorder-admin recordings list --where case=4711 --lost-more-than 1s --json
    """
    options = ListOptions(selection=selection, limit=limit, after=after, copies=copies, as_json=as_json)

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
