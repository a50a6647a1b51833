"""`recorder-admin recordings export`: a verified copy of the master file, or another form of the recording."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry
from storage.catalog.records import RecordingState
from storage.catalog.views import FileView, RecordingDetail
from storage.cli.audio_source import AudioSource, open_audio
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.conversion import FOLDERS, SUFFIXES, Converter, ExportFormat, ExportParty, SoundWanted
from storage.cli.evidence import gather
from storage.cli.export_forms import ExportJob, export_form
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.options import JsonObject, PrivateKeyFile, Reason, Reference
from storage.cli.presentation import printable, write_json
from storage.cli.times import parse_position
from storage.errors import AlreadyPublished
from storage.exit_codes import ExitCode
from storage.integrity import SigningKeys

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
    wanted: SoundWanted = field(default_factory=lambda: SoundWanted(format=ExportFormat.MASTER))
    reason: str = ""
    key: Path | None = None
    sign: bool = False
    as_json: bool = False


async def run(options: ExportOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Export a finished recording; its master is compared with the catalog while it is read."""
    recording = await find_recording(catalog, options.reference)
    master = _master_of(recording)
    _check(options, context)
    source = await open_audio(catalog, context, master, options.key)
    await catalog.audit.append(_entry(recording, master, options))
    if options.wanted.format is not ExportFormat.MASTER:
        evidence = options.wanted.format is ExportFormat.EVIDENCE
        job = ExportJob(
            recording=recording,
            revisions=await catalog.read_metadata(recording.summary.recording_id),
            file_name=source.file_name,
            channels=master.channels,
            copy=source.write,
            converter=_converter(context),
            wanted=options.wanted,
            now=datetime.now(UTC),
            keys=await asyncio.to_thread(SigningKeys.open, context.keys_directory)
            if options.sign or evidence
            else None,
            evidence=await gather(recording, catalog, context, by=operator(), reason=options.reason)
            if evidence
            else None,
        )
        await _export_form(options, job, console)
        return ExitCode.OK
    target = options.out / source.file_name if options.out.is_dir() else options.out
    try:
        await asyncio.to_thread(source.write, target, replace=options.force)
    except AlreadyPublished as error:
        raise CommandFailed(f"{error}: use --force to replace it", ExitCode.REFUSED) from error
    _report(recording, master, source, target, console, as_json=options.as_json)
    return ExitCode.OK


def _check(options: ExportOptions, context: CliContext) -> None:
    """Refuse what does not go together before anybody is entered in the audit log."""
    wanted = options.wanted
    if wanted.format is not ExportFormat.MASTER:
        _converter(context)
    if options.sign and wanted.format not in (ExportFormat.VCON, *FOLDERS):
        raise CommandFailed(
            f"--sign needs --format vcon or bundle, not {wanted.format.value}; what is stored has signed manifests",
            ExitCode.USAGE,
        )
    whole = wanted.party is ExportParty.BOTH and wanted.start_s == 0.0 and wanted.end_s is None
    if not whole and wanted.format in (
        ExportFormat.MASTER,
        ExportFormat.PNG,
        ExportFormat.GIR,
        ExportFormat.VCON,
        *FOLDERS,
    ):
        raise CommandFailed(
            f"--party, --from and --to need an audio format such as --format wav, not {wanted.format.value}",
            ExitCode.USAGE,
        )


def _converter(context: CliContext) -> Converter:
    if context.converter is None:
        raise CommandFailed("only `master` can be exported here", ExitCode.REFUSED)
    return context.converter()


async def _export_form(options: ExportOptions, job: ExportJob, console: Console) -> None:
    wanted, target = options.wanted, options.out
    if target.is_dir() and not (wanted.format in FOLDERS and (target / "recording.json").is_file()):
        target /= f"{PurePosixPath(job.file_name).stem}{SUFFIXES[wanted.format]}"
    # On standard error, and only for people: standard output is the answer.
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=options.as_json or not errors.is_terminal) as progress:
        task = progress.add_task("exporting", total=1.0)
        size = await asyncio.to_thread(
            export_form,
            job,
            target,
            force=options.force,
            progress=lambda share: progress.update(task, completed=share),
        )
    if options.as_json:
        facts: dict[str, object] = {
            "id": str(job.recording.summary.recording_id),
            "out": str(target),
            "format": wanted.format.value,
            "party": wanted.party.value,
            "size_bytes": size,
        }
        if job.evidence is not None:
            facts |= {
                "captures": [path.name for path in job.evidence.captures],
                "captures_not_here": [dict(one) for one in job.evidence.not_here],
                "copies": list(job.evidence.copies),
            }
        write_json(console, facts)
        return
    console.print(f"{printable(target)}: {size} bytes, {wanted.format.value}", soft_wrap=True)
    if job.evidence is not None:
        console.print(f"with {len(job.evidence.captures)} captures, and a signed list of all contents")
        if job.evidence.copies:
            console.print(f"healed from {', '.join(job.evidence.copies)}: export them too, for their captures")
        for one in job.evidence.not_here:
            console.print(
                f"not here: capture {printable(one['path'])}, written by host {printable(one['host'])}", soft_wrap=True
            )


def export_recording(
    ctx: typer.Context,
    *,
    reference: Reference,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write; or an existing directory.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    audio_format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="`master`: the stored file. wav, pcm16, mulaw, alaw, flac, opus: audio. png: waveform. gir, vcon: "
            "metadata. bundle: all of it, as directory or .zip. evidence: that with signed manifests, SIP messages and "
            "raw captures; `verify --offline` checks it.",
        ),
    ] = ExportFormat.MASTER,
    party: Annotated[ExportParty, typer.Option("--party", help="One party alone, or both mixed into one channel.")] = (
        ExportParty.BOTH
    ),
    start: Annotated[
        str | None, typer.Option("--from", metavar="POSITION", help="From the beginning: 83.5, 90s, 1:23.5, 1:02:03.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="POSITION", help="To here, in the same forms.")] = None,
    reason: Reason = "",
    key: PrivateKeyFile = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign the vCon with this host's key; `verify --vcon` checks it.")
    ] = False,
    as_json: JsonObject = False,
) -> None:
    """Write a verified copy of a recording's audio, or another form of it. Nothing is overwritten without --force.

    Example: recorder-admin recordings export 3f2a91c0 --out call.wav

    Example: recorder-admin recordings export 3f2a91c0 --format flac --party left --from 90s --to 2m --out left.flac

    Example: recorder-admin recordings export 3f2a91c0 --format evidence --out case-4711.zip --reason "court order"
    """

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        wanted = SoundWanted(
            format=audio_format,
            party=party,
            start_s=parse_position(start) if start else 0.0,
            end_s=parse_position(end) if end else None,
        )
        options = ExportOptions(
            reference=reference,
            out=out,
            force=force,
            wanted=wanted,
            reason=reason,
            key=key,
            sign=sign,
            as_json=as_json,
        )
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
            "format": options.wanted.format.value,
            "party": options.wanted.party.value,
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
