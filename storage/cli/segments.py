"""`recorder-admin segments`: every session of a recording, with its dialog, its writer and its captures."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.views import RecordingDetail
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.options import JsonArray, Reference
from storage.cli.presentation import clock, moment, or_dash, printable, segment_json, write_json
from storage.exit_codes import ExitCode


async def run(reference: str, catalog: Catalog, console: Console, *, as_json: bool) -> ExitCode:
    """Print the segments of one recording in their order."""
    recording = await find_recording(catalog, reference)
    if as_json:
        write_json(console, [segment_json(segment) for segment in recording.segments])
    else:
        _print(recording, console)
    return ExitCode.OK


def _print(recording: RecordingDetail, console: Console) -> None:
    console.print(f"Recording {recording.summary.recording_id}, {len(recording.segments)} segments")
    table = Table("", "segment", "state", "from (UTC)", "to", "length", "end", "writer", "host", "Call-ID", box=None)
    for segment in recording.segments:
        length = (segment.closed_at - segment.opened_at).total_seconds() if segment.closed_at else None
        table.add_row(
            *(str(segment.ordinal), segment.segment_id.hex[:8]),
            "interrupted" if segment.interrupted else segment.state.value,
            *(moment(segment.opened_at), moment(segment.closed_at), clock(length), or_dash(segment.end_cause)),
            *(or_dash(segment.writer), or_dash(segment.host), or_dash(segment.sip_call_id)),
        )
    console.print(table)
    for segment in recording.segments:
        for capture in segment.captures:
            console.print(
                f"  {segment.ordinal}: {printable(capture.path)} ({printable(capture.writer)} on "
                f"{printable(capture.host)})",
                soft_wrap=True,
            )


def show_segments(
    ctx: typer.Context,
    reference: Reference,
    as_json: JsonArray = False,
) -> None:
    """Show the segments (sessions) of a recording: dialog, writer, host, times, end cause, captures.

    Example: recorder-admin segments 3f2a91c0
    """

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(reference, catalog, make_console(), as_json=as_json)

    run_command(ctx, as_json=as_json, command=command)
