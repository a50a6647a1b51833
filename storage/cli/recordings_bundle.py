"""`recorder-admin recordings bundle`: recordings with their audio in one file each, for import at another site."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry
from storage.catalog.records import RecordingState
from storage.cli.audio_source import AudioSource, open_audio
from storage.cli.bundle_form import describe
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.options import JsonArray, PrivateKeyFile, Reason
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode
from storage.files.bundle import SUFFIX, write_bundle

_FINISHED = (RecordingState.COMPLETE, RecordingState.INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """Options of the command."""

    references: Sequence[str]
    out: Path
    reason: str = ""
    force: bool = False
    key: Path | None = None
    as_json: bool = False


async def run(options: BundleOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Write one bundle for each recording into a directory."""
    if not options.out.is_dir():
        raise CommandFailed(f"{printable(options.out)} is not a directory: make it first", ExitCode.REFUSED)
    written = []
    for reference in options.references:
        recording = await find_recording(catalog, reference)
        summary = recording.summary
        if summary.state not in _FINISHED:
            raise CommandFailed(
                f"recording {summary.recording_id} is {summary.state.value}: only finished ones with audio can go",
                ExitCode.NOT_READY,
            )
        file = next((file for file in recording.files if file.kind == "master"), None)
        audio = await catalog.copies.audio(summary.recording_id)
        if file is None or audio is None:
            raise CommandFailed(f"recording {summary.recording_id} has no audio", ExitCode.NOT_FOUND)
        source = await open_audio(catalog, context, file, options.key)
        target = options.out / f"{Path(source.file_name).stem}{SUFFIX}"
        origin = recording.segments[0].host if recording.segments else socket.gethostname()
        await catalog.audit.append(
            AuditEntry(
                actor=operator(),
                action="export",
                subject=str(summary.recording_id),
                reason=options.reason,
                details={"format": "bundle", "out": str(target.absolute()), "decrypted": options.key is not None},
            )
        )
        description = {
            **describe(recording, source, file, audio, origin=origin),
            "exported_at": datetime.now(UTC).isoformat(),
        }
        await asyncio.to_thread(_write, target, description, source, replace=options.force)
        written.append({"id": str(summary.recording_id), "out": str(target)})
        if not options.as_json:
            console.print(f"{summary.recording_id}  {printable(target)}", soft_wrap=True)
    if options.as_json:
        write_json(console, written)
    return ExitCode.OK


def _write(target: Path, description: Mapping[str, Any], source: AudioSource, *, replace: bool) -> None:
    """Write a bundle by way of a verified copy in clear beside it."""
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as folder:
        clear = Path(folder) / source.file_name
        source.write(clear)
        write_bundle(target, description, clear, replace=replace)


def bundle_recordings(
    ctx: typer.Context,
    *,
    references: Annotated[
        list[str], typer.Argument(metavar="ID", help="Recording ids, beginnings of them, or record identifiers.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write to.")],
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    key: PrivateKeyFile = None,
    as_json: JsonArray = False,
) -> None:
    """Write recordings as bundles that `recordings import` of another site takes.

    Example: recorder-admin recordings bundle 3f2a91c0 --out /mnt/exchange
    """
    options = BundleOptions(references=references, out=out, reason=reason, force=force, key=key, as_json=as_json)

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)
