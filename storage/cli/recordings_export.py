"""`recorder-admin recordings export`: a verified copy of the master file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry
from storage.catalog.records import RecordingState
from storage.catalog.views import FileView, RecordingDetail
from storage.cli.audio_source import AudioSource, open_audio
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.exit_codes import ExitCode
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.presentation import printable, write_json
from storage.errors import AlreadyPublished

_NOT_READY: Final = {
    RecordingState.RECORDING: "it is still being recorded; export it after the call has ended",
    RecordingState.FINALISING: "the curator has not finished it yet; try again in a moment",
    RecordingState.FAILED: "it could not be rendered: `recorder-admin jobs list --state dead` says why, "
    "`recorder-admin jobs retry` tries again",
    RecordingState.DELETING: "its audio is being erased",
    RecordingState.DELETED: "its audio is gone; `recorder-admin recordings show` says who had it deleted and why",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of the command."""

    reference: str
    out: Path
    force: bool = False
    party: int | None = None
    format: str = "master"
    reason: str = ""
    key: Path | None = None
    as_json: bool = False


async def run(options: ExportOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Copy the master file of a finished recording; it is compared with the catalog while it is copied."""
    if options.party is not None:
        raise CommandFailed(
            "single parties are not offered yet: export the two-channel master and take its left or right channel",
            ExitCode.REFUSED,
        )
    if options.format != "master":
        raise CommandFailed(
            f"format {printable(options.format)} is not offered yet: only `master`, the file as it is stored",
            ExitCode.REFUSED,
        )
    recording = await find_recording(catalog, options.reference)
    master = _master_of(recording)
    source = await open_audio(catalog, context, master, options.key)
    await catalog.audit.append(_entry(recording, master, options))
    target = options.out / source.file_name if options.out.is_dir() else options.out
    try:
        await asyncio.to_thread(source.write, target, replace=options.force)
    except AlreadyPublished as error:
        raise CommandFailed(f"{error}: use --force to replace it", ExitCode.REFUSED) from error
    _report(recording, master, source, target, console, as_json=options.as_json)
    return ExitCode.OK


def export_recording(
    ctx: typer.Context,
    *,
    reference: Annotated[
        str, typer.Argument(metavar="ID", help="Recording id, the beginning of it, or a record identifier.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write; or an existing directory.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    party: Annotated[int | None, typer.Option("--party", min=0, max=1, help="Only this party (not yet).")] = None,
    audio_format: Annotated[
        str, typer.Option("--format", help="Audio format; `master` is the stored file.")
    ] = "master",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit log.")] = "",
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PEM", help="Private key that encrypted audio is decrypted with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Write a verified copy of a recording's audio.

    Example: recorder-admin recordings export 3f2a91c0 --out call.wav
    """
    options = ExportOptions(
        reference=reference,
        out=out,
        force=force,
        party=party,
        format=audio_format,
        reason=reason,
        key=key,
        as_json=as_json,
    )

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)


def _entry(recording: RecordingDetail, master: FileView, options: ExportOptions) -> AuditEntry:
    """Say who takes what where; this is durable before the first byte is copied."""
    return AuditEntry(
        actor=operator(),
        action="export",
        subject=str(recording.summary.recording_id),
        reason=options.reason,
        details={
            "record_identifier": recording.summary.record_identifier,
            "out": str(options.out.absolute()),
            "format": options.format,
            "sha256": master.sha256.hex(),
            "decrypted": options.key is not None,
        },
    )


def _master_of(recording: RecordingDetail) -> FileView:
    state = recording.summary.state
    if state in _NOT_READY:
        raise CommandFailed(
            f"recording {recording.summary.recording_id} is {state.value}: {_NOT_READY[state]}", ExitCode.NOT_READY
        )
    for file in recording.files:
        if file.kind == "master":
            return file
    raise CommandFailed(
        f"recording {recording.summary.recording_id} has no audio (state {state.value}): "
        "`recorder-admin recordings show` says what arrived",
        ExitCode.NOT_FOUND,
    )


def _report(
    recording: RecordingDetail, master: FileView, source: AudioSource, target: Path, console: Console, *, as_json: bool
) -> None:
    if as_json:
        facts = {
            "id": str(recording.summary.recording_id),
            "out": str(target),
            "format": master.format,
            "size_bytes": source.size_bytes,
            "sha256": source.sha256.hex(),
        }
        write_json(console, facts)
        return
    console.print(f"{printable(target)}: {source.size_bytes} bytes, {master.format}, SHA-256 verified", soft_wrap=True)
