"""`recorder-admin recordings show`: everything that the catalog knows about one recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail, RecordingSummary, SegmentView, StreamView
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.copies_view import copies_json, describe_copies, read_copies
from storage.cli.lookup import find_recording
from storage.cli.options import JsonObject, Reference
from storage.cli.presentation import channel_of, clock, detail_json, moment, or_dash, printable, span, write_json
from storage.cli.timeline import draw_timeline
from storage.exit_codes import ExitCode

TIMELINE_WIDTH: Final = 100
GAPS_SHOWN: Final = 40
"""Lines; the rest is in --json."""
_CONTRIBUTORS: Final = "contributors"
"""Figure of a stream that has lines of its own."""

_STATES: Final = {
    RecordingState.RECORDING: "still being recorded",
    RecordingState.FINALISING: "the captures wait for the curator, or are with it",
    RecordingState.INTERRUPTED: "a session ended without a goodbye; what was captured is rendered",
    RecordingState.NO_MEDIA: "no audio arrived; there is no file",
    RecordingState.FAILED: "could not be rendered; the captures are kept: see `recorder-admin jobs list`",
    RecordingState.DELETING: "its files and captures are being erased",
    RecordingState.DELETED: "a tombstone; files and captures are erased",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOptions:
    """Options of the command."""

    reference: str
    as_json: bool = False


async def run(options: ShowOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Print one recording."""
    recording = await find_recording(catalog, options.reference)
    copies = await read_copies(catalog, recording.summary.recording_id)
    if options.as_json:
        write_json(console, {**detail_json(recording), "copies": copies_json(copies) if copies else None})
        return ExitCode.OK
    for line in describe(recording, width=min(console.width, TIMELINE_WIDTH)):
        console.print(line, soft_wrap=True)
    for line in describe_copies(recording.summary.recording_id, copies) if copies else ():
        console.print(line, soft_wrap=True)
    return ExitCode.OK


def show_recording(
    ctx: typer.Context,
    reference: Reference,
    as_json: JsonObject = False,
) -> None:
    """Show one recording: timeline of both parties with gaps, call data, sessions, files, warnings.

    Example: recorder-admin recordings show 3f2a91c0
    """
    options = ShowOptions(reference=reference, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)


def describe(recording: RecordingDetail, *, width: int) -> Iterator[str]:
    """Yield the lines of the description; nothing in them can drive a terminal."""
    summary = recording.summary
    yield f"Recording {summary.recording_id}"
    note = _STATES.get(summary.state)
    yield f"  state       {summary.state.value}{f' ({note})' if note else ''}"
    yield f"  started     {moment(summary.started_at)} UTC, ended {moment(summary.ended_at)}"
    yield f"  length      {clock(summary.duration_s)}"
    yield f"  door        {summary.door.value}"
    yield f"  identifier  {or_dash(summary.record_identifier)}"
    for name, value in _facts(summary).items():
        yield f"  {name:<12}{printable(value)}"
    yield from _fate(recording)
    yield ""
    yield from _timeline(recording, width)
    for segment in recording.segments:
        yield from _segment(segment)
    for file in recording.files:
        yield f"File ({file.kind}) {printable(file.path)}"
        yield (
            f"  {file.format}, {file.sample_rate} Hz, {file.channels} channels, {file.frames} frames, "
            f"{file.size_bytes} bytes, store {printable(file.store)}"
        )
        yield f"  SHA-256 {file.sha256.hex()}"
    if recording.parameters:
        yield "Parameters as received"
        yield from (f"  {printable(name)} = {printable(value)}" for name, value in recording.parameters)
    if recording.annotations:
        yield "Annotations"
    for one in recording.annotations:
        yield (
            f"  {printable(one.name)} = {printable(one.value)} ({printable(one.added_by)}, {moment(one.added_at)} UTC)"
        )
    if recording.warnings:
        yield "Warnings"
        yield from (f"  {printable(warning)}" for warning in recording.warnings)


def _fate(recording: RecordingDetail) -> Iterator[str]:
    for hold in recording.holds:
        if hold.standing:
            yield (
                f"  LEGAL HOLD  {hold.hold_id}, case {or_dash(hold.matter)}, by {printable(hold.placed_by)}, "
                f"{moment(hold.placed_at)} UTC: {printable(hold.reason)}"
            )
    for one in recording.redactions:
        who = "all parties" if one.party is None else channel_of(one.party) or f"party {one.party}"
        yield (
            f"  redact{'ed  ' if one.done_at else 'ing '}  {clock(one.start_s)} to {clock(one.end_s)}, {who}, by "
            f"{printable(one.requested_by)}: {printable(one.reason)}"
        )
    if (tombstone := recording.tombstone) is not None:
        yield f"  deletion    {moment(tombstone.requested_at)} UTC by {printable(tombstone.requested_by)}"
        yield f"  reason      {printable(tombstone.reason)}"
        if tombstone.rule:
            yield f"  rule        {printable(tombstone.rule)}"
        for file in tombstone.files:
            yield f"  was         {printable(file['kind'])}, {file['size_bytes']} bytes, SHA-256 {file['sha256']}"
    elif not recording.captures_kept:
        yield "  captures    erased: it cannot be rendered again, and a further session opens a new recording"


def _facts(summary: RecordingSummary) -> Mapping[str, str]:
    facts = {
        "call UUID": summary.call_uuid,
        "connection": summary.conn_id,
        "ANI": summary.ani,
        "DNIS": summary.dnis,
        "DN": summary.dn,
        "other DN": summary.other_dn,
        "record DN": summary.record_dn,
        "agent": summary.agent_id,
        "application": summary.sips_app_name,
        "tenant": summary.tenant,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _timeline(recording: RecordingDetail, width: int) -> Iterator[str]:
    duration_s, gaps = recording.summary.duration_s, recording.summary.gaps
    if not duration_s:
        yield "Timeline: none yet" if duration_s is None else "Timeline: no audio"
        yield ""
        return
    yield "Timeline"
    yield from (f"  {line}" for line in draw_timeline(_party_names(recording), gaps, duration_s, width - 2))
    yield ""
    if gaps:
        yield "Gaps        start    length  party   kind    cause"
    for gap in gaps[:GAPS_SHOWN]:
        party = channel_of(gap.party) or str(gap.party)
        yield (
            f"  {clock(gap.start_s):>15}{span(gap.duration_s):>10}  {party:<6}  {gap.kind.value:<6}  "
            f"{printable(gap.cause)}"
        )
    if len(gaps) > GAPS_SHOWN:
        yield f"  and {len(gaps) - GAPS_SHOWN} more: --json lists all"
    yield ""


def _party_names(recording: RecordingDetail) -> list[str]:
    """Name each party by its channel and by the participant of its latest stream, if one is known."""
    known: dict[int, str] = {}
    for stream in (stream for segment in recording.segments for stream in segment.streams):
        known[stream.party] = _speaker(stream) or known.get(stream.party, "")
    parties = range(max([*known, *(gap.party for gap in recording.summary.gaps), 0]) + 1)
    return [f"{channel_of(party) or f'party {party}'} {known.get(party, '')}".strip() for party in parties]


def _speaker(stream: StreamView) -> str:
    participant = stream.participant or {}
    for field in ("name", "aor", "dn"):
        if value := participant.get(field):
            return printable(str(value).removeprefix("sip:"))
    return ""


def _segment(segment: SegmentView) -> Iterator[str]:
    how = "interrupted" if segment.interrupted else segment.state.value
    yield f"Session {segment.ordinal}  {segment.segment_id}  {how}"
    yield (
        f"  {moment(segment.opened_at)} to {moment(segment.closed_at)}, ended by {or_dash(segment.end_cause)}, "
        f"Call-ID {printable(segment.sip_call_id)}"
    )
    if segment.client_opened_at or segment.client_closed_at:
        yield (f"  by the client's clock: {moment(segment.client_opened_at)} to {moment(segment.client_closed_at)}")
    for capture in segment.captures:
        yield f"  capture {printable(capture.path)} ({printable(capture.writer)} on {printable(capture.host)})"
    for stream in segment.streams:
        codecs = ", ".join(printable(_codec_name(codec)) for codec in (stream.payload_types or {}).values())
        yield (
            f"  m-line {stream.index + 1}: {channel_of(stream.party) or stream.party}, label {or_dash(stream.label)}, "
            f"{_speaker(stream) or 'participant unknown'}; {codecs or 'codecs unknown'}"
        )
        yield from _quality(stream.quality or {})


def _quality(quality: Mapping[str, object]) -> Iterator[str]:
    figures = {name: value for name, value in quality.items() if name != _CONTRIBUTORS}
    if figures:
        yield "    " + "  ".join(f"{printable(name)} {printable(value)}" for name, value in figures.items())
    contributors = quality.get(_CONTRIBUTORS)
    for one in contributors if isinstance(contributors, list) else ():
        who = printable(one.get("cname") or "unnamed")
        yield f"    mixed into it: {who} (CSRC {printable(one.get('csrc'))}), {printable(one.get('seconds'))} s"


def _codec_name(codec: object) -> object:
    return codec.get("name", codec) if isinstance(codec, Mapping) else codec
