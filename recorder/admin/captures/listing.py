"""`recorder-admin captures list` and `captures verify`: what is on disk, what the catalog knows, and is it whole."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from media.container import read_capture
from media.errors import MediaError
from recorder.admin.captures.inventory import CaptureOnDisk, captures_in
from recorder.admin.context import admin_context_of
from storage.catalog import Catalog
from storage.catalog.captures import KnownCapture
from storage.catalog.records import RecordingState, SegmentState
from storage.catalog.views import iso_utc
from storage.cli.context import CliContext, make_console, run_command, run_offline_command
from storage.cli.options import JsonArray
from storage.cli.presentation import or_dash, printable, write_json
from storage.exit_codes import ExitCode

UNREADABLE: Final = "unreadable"


class CaptureState(enum.StrEnum):
    """Where a capture is, and who knows of it."""

    KEPT = "kept"
    RECORDING = "recording"
    """Its session is open."""
    ERASING = "erasing"
    MISSING = "missing"
    """The catalog names it, the disk has it not."""
    UNKNOWN = "unknown"
    """The other way round."""
    ELSEWHERE = "elsewhere"
    """Another host's."""


def entries(known: list[KnownCapture], disk: list[CaptureOnDisk], *, host: str) -> list[dict[str, Any]]:
    """Return one entry for each capture of the catalog or the disk, with its state."""
    sizes = {str(found.path): found for found in disk}
    made = [_known(capture, sizes.pop(capture.path, None), host=host) for capture in known]
    made += [
        {
            "path": path,
            "host": host,
            "state": CaptureState.UNKNOWN.value,
            "size_bytes": found.size_bytes,
            "modified_at": iso_utc(found.modified_at),
            "recording_id": None,
            "record_identifier": None,
            "session": None,
        }
        for path, found in sizes.items()
    ]
    return made


def _known(capture: KnownCapture, found: CaptureOnDisk | None, *, host: str) -> dict[str, Any]:
    if capture.host != host:
        state = CaptureState.ELSEWHERE
    elif capture.captures_state == "erasing" or capture.recording_state is RecordingState.DELETING:
        state = CaptureState.ERASING
    elif found is None:
        state = CaptureState.MISSING
    else:
        state = CaptureState.RECORDING if capture.segment_state is SegmentState.OPEN else CaptureState.KEPT
    return {
        "path": capture.path,
        "host": capture.host,
        "state": state.value,
        "size_bytes": found.size_bytes if found else None,
        "modified_at": iso_utc(found.modified_at) if found else None,
        "recording_id": str(capture.recording_id),
        "record_identifier": capture.record_identifier,
        "session": capture.ordinal,
    }


def list_captures(
    ctx: typer.Context,
    state: Annotated[CaptureState | None, typer.Option("--state", help="Only this state.")] = None,
    as_json: JsonArray = False,
) -> None:
    """List captures: on this host's disk, in the catalog, or both.

    Example: recorder-admin captures list --state unknown
    """
    settings = admin_context_of(ctx)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        disk = await asyncio.to_thread(lambda: list(captures_in(settings.state_dir.captures)))
        made = entries(await catalog.captures.known(), disk, host=settings.node)
        chosen = [entry for entry in made if state is None or entry["state"] == state]
        _print_list(chosen, make_console(), as_json=as_json)
        return ExitCode.INTEGRITY if any(entry["state"] == CaptureState.MISSING for entry in chosen) else ExitCode.OK

    run_command(ctx, as_json=as_json, command=command)


def _print_list(chosen: list[dict[str, Any]], console: Console, *, as_json: bool) -> None:
    if as_json:
        write_json(console, chosen)
        return
    if chosen:
        table = Table("state", "bytes", "recording", "session", "host", "capture", box=None, pad_edge=False)
        for entry in chosen:
            table.add_row(
                *(entry["state"], or_dash(entry["size_bytes"]), (entry["recording_id"] or "-")[:8]),
                *(or_dash(entry["session"]), or_dash(entry["host"]), printable(entry["path"])),
            )
        console.print(table)
    total = sum(entry["size_bytes"] or 0 for entry in chosen)
    console.print(f"{len(chosen)} captures, {total} bytes on this host.")


def check(path: Path) -> dict[str, Any]:
    """Read every block of a capture; `whole` is False when a block is bad or missing."""
    try:
        capture = read_capture(path)
    except MediaError as error:
        facts = {"path": str(path), "whole": False, "damage": UNREADABLE, "at_byte": 0, "detail": str(error)}
        return {**facts, "packets": 0, "rtcp": 0}
    ended = capture.end is not None
    return {
        "path": str(path),
        "whole": capture.complete,
        "damage": capture.damage.value or ("" if ended else "no-end"),
        "at_byte": None if capture.complete else capture.valid_bytes,
        "detail": "" if capture.complete else f"{capture.truncated_bytes} bytes behind the last good block",
        "packets": capture.packet_count,
        "rtcp": capture.rtcp_count,
    }


def verify_captures(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Captures, wherever they are; all of this host without any."),
    ] = None,
    as_json: JsonArray = False,
) -> None:
    """Read every block of captures and report the first bad one of each. Captures under way are left out.

    Example: recorder-admin captures verify

    Example: recorder-admin captures verify case-4711/captures/*.tcap
    """
    if paths:
        run_offline_command(as_json=as_json, command=lambda: _verify(paths, make_console(), as_json=as_json))
    settings = admin_context_of(ctx)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        known = await catalog.captures.known(host=settings.node)
        open_ones = {one.path for one in known if one.segment_state is SegmentState.OPEN}
        disk = await asyncio.to_thread(lambda: list(captures_in(settings.state_dir.captures)))
        chosen = [one.path for one in disk if str(one.path) not in open_ones]
        return await asyncio.to_thread(_verify, chosen, make_console(), as_json=as_json)

    run_command(ctx, as_json=as_json, command=command)


def _verify(paths: Sequence[Path], console: Console, *, as_json: bool) -> ExitCode:
    """Read captures and tell; needs nothing but the files."""
    quiet = as_json or not console.is_terminal
    results = [check(path) for path in track(paths, "Reading", console=console, disable=quiet, transient=True)]
    bad = sum(not one["whole"] for one in results)
    if as_json:
        write_json(console, results)
    else:
        for one in results:
            if not one["whole"]:
                where = f"{printable(one['path'])}: {one['damage']} at byte {one['at_byte']}; "
                # What cannot be read at all names its file itself.
                console.print(
                    f"{'' if one['damage'] == UNREADABLE else where}{printable(one['detail'])}", soft_wrap=True
                )
        console.print(f"{len(results)} captures read, {len(results) - bad} whole, {bad} torn or damaged.")
    gone = sum(not path.exists() for path in paths)
    if bad > gone:
        return ExitCode.INTEGRITY
    return ExitCode.NOT_FOUND if gone else ExitCode.OK
