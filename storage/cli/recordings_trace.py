"""`recorder-admin recordings trace`: the SIP messages of a recording as a ladder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.views import RecordingDetail, TracedMessage, iso_utc
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.options import JsonObject, Reference
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode

ARROWS: Final = {True: "client --> recorder", False: "client <-- recorder"}
MAX_FIRST_LINE: Final = 110
"""Characters; a Request-URI with all call data is longer, and --full shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """Options of the command."""

    reference: str
    full: bool = False
    as_json: bool = False


async def run(options: TraceOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Print the trace of one recording."""
    recording = await find_recording(catalog, options.reference)
    messages = await catalog.read_trace(recording.summary.recording_id)
    if options.as_json:
        write_json(console, trace_json(recording, messages))
        return ExitCode.OK
    if not messages:
        raise CommandFailed(
            f"no SIP messages of recording {recording.summary.recording_id} were kept: its trace was switched off"
            " (trace.enabled), or it has only just begun",
            ExitCode.NOT_FOUND,
        )
    for line in draw_ladder(messages, full=options.full):
        console.print(line, soft_wrap=True)
    return ExitCode.OK


def trace_recording(
    ctx: typer.Context,
    reference: Reference,
    full: Annotated[bool, typer.Option("--full", help="Print whole messages, bodies included.")] = False,
    as_json: JsonObject = False,
) -> None:
    """Show every SIP message of a recording: time, direction, first line. Secrets were masked when it was kept.

    Example: recorder-admin recordings trace 3f2a91c0 --full
    """
    options = TraceOptions(reference=reference, full=full, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)


def draw_ladder(messages: Sequence[TracedMessage], *, full: bool) -> Iterator[str]:
    """Yield the lines of the ladder; nothing in them can drive a terminal."""
    start = min(message.at for message in messages)
    for ordinal, group in groupby(messages, key=lambda message: message.ordinal):
        segment = list(group)
        yield f"Segment {ordinal}, Call-ID {printable(segment[0].sip_call_id)}, began {iso_utc(segment[0].at)}"
        flow = ""
        for message in segment:
            if message.flow != flow:
                flow = message.flow
                yield f"{'':>12}  {printable(flow)}"
            yield f"{offset_s(message.at, start):12.3f}  {ARROWS[message.inbound]}  {_first_line(message, full=full)}"
            if full:
                yield from (f"{'':>14}{printable(line)}" for line in _lines(message)[1:])
                yield ""


def trace_json(recording: RecordingDetail, messages: Sequence[TracedMessage]) -> dict[str, object]:
    """Return the documented form of a trace; offsets are seconds from its first message."""
    start = min((message.at for message in messages), default=recording.summary.started_at)
    return {
        "recording_id": str(recording.summary.recording_id),
        "record_identifier": recording.summary.record_identifier,
        "messages": [
            {
                "segment": message.ordinal,
                "segment_id": str(message.segment_id),
                "sip_call_id": message.sip_call_id,
                "at": iso_utc(message.at),
                "offset_s": round(offset_s(message.at, start), 6),
                "direction": "in" if message.inbound else "out",
                "flow": message.flow,
                "first_line": _lines(message)[0],
                "message": _text(message),
            }
            for message in messages
        ],
    }


def offset_s(at: datetime, start: datetime) -> float:
    """Return the seconds between two times."""
    return (at - start).total_seconds()


def _text(message: TracedMessage) -> str:
    return message.message.decode("utf-8", "backslashreplace")


def _lines(message: TracedMessage) -> list[str]:
    return _text(message).replace("\r\n", "\n").split("\n")


def _first_line(message: TracedMessage, *, full: bool) -> str:
    line = printable(_lines(message)[0])
    return line if full or len(line) <= MAX_FIRST_LINE else f"{line[: MAX_FIRST_LINE - 3]}..."
