"""`recorder-admin verify`: are recordings what they were when they were sealed, and is every stored file known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from storage.catalog import Catalog
from storage.catalog.views import RecordingDetail
from storage.cli.audit_check import check_log
from storage.cli.context import CliContext, CommandFailed, make_console, run_command, run_offline_command
from storage.cli.lookup import find_recording
from storage.cli.options import JsonObject
from storage.cli.presentation import counted, printable, write_json
from storage.cli.recording_check import check_recording, orphans_of, unaccounted
from storage.errors import IntegrityBroken
from storage.exit_codes import ExitCode
from storage.inputs import named
from storage.integrity import PublicKeys, SigningKeys
from storage.integrity.jws import read_jws
from storage.integrity.verify import check_place

SHOWN = 50
"""Faults printed for people; `--json` gives all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """Options of the command."""

    references: tuple[str, ...] = ()
    every: bool = False
    orphans: bool = False
    offline: Path | None = None
    vcon: Path | None = None
    keys: tuple[Path, ...] = ()
    as_json: bool = False


@dataclass(slots=True)
class Findings:
    """What a verification found."""

    recordings: int = 0
    sealed: int = 0
    """Recordings whose present result is stated by a manifest."""
    files: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


async def run(options: VerifyOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Check recordings against catalog, manifests and stores."""
    if not (options.references or options.every or options.orphans):
        raise CommandFailed("name recordings, or give --all or --orphans", ExitCode.USAGE)
    own = await asyncio.to_thread(SigningKeys.open, context.keys_directory)
    trusted = await asyncio.to_thread(PublicKeys.read, [*(options.keys or [own.public_directory])])
    found = Findings()
    if options.every:
        references: Sequence[object] = [one async for one in catalog.files.checkable_recordings()]
    else:
        references = options.references
    with _progress(console, options, len(references)) as progress:
        bar = progress.add_task("verifying", total=len(references))
        for reference in references:
            recording = await find_recording(catalog, str(reference))
            await _check(recording, catalog, context, trusted, found)
            progress.advance(bar)
    if options.every:
        found.faults += [fault async for fault in unaccounted(catalog)]
        _, broken = await check_log(catalog, ())
        found.faults += [("audit log", f"entry {fault.number}: {fault.what}") for fault in broken]
    if options.orphans:
        for name, store in context.stores().items():
            found.faults += [
                (f"{name}:{path}", "nothing in the catalog knows this file")
                async for path in orphans_of(catalog, store)
            ]
    return _tell(found, console, as_json=options.as_json)


def run_offline(options: VerifyOptions, console: Console) -> ExitCode:
    """Check a folder by its manifests, and an exported vCon by its signature; needs neither recorder nor catalog."""
    if options.references or options.every or options.orphans:
        raise CommandFailed(
            "--offline and --vcon look at nothing in the catalog: check its recordings (ID, --all, --orphans) by a "
            "command of their own",
            ExitCode.USAGE,
        )
    if not options.keys:
        raise CommandFailed(
            "--offline and --vcon need --key PEM, the recorder's public key: `recorder-admin keys export` writes it",
            ExitCode.USAGE,
        )
    trusted = PublicKeys.read(options.keys)
    found = Findings()
    if options.offline is not None:
        _check_folder(options.offline, trusted, found)
    if options.vcon is not None:
        _check_vcon(options.vcon, trusted, found)
    return _tell(found, console, as_json=options.as_json)


def _check_folder(folder: Path, trusted: PublicKeys, found: Findings) -> None:
    check = check_place(folder, trusted)
    found.recordings += check.manifests
    found.sealed += check.manifests
    found.files += check.files
    found.faults += check.faults
    if not check.manifests:
        found.faults.append((str(folder), "no manifest is there: nothing can be proved"))


def _check_vcon(vcon: Path, trusted: PublicKeys, found: Findings) -> None:
    with named(vcon, "name a signed vCon"):
        data = vcon.read_bytes()
    try:
        read_jws(data, trusted, name=str(vcon))
        found.recordings += 1
        found.sealed += 1
        found.files += 1
    except IntegrityBroken as error:
        found.faults.append((str(vcon), str(error)))


def verify_recordings(
    ctx: typer.Context,
    *,
    references: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Recording ids, beginnings, or record identifiers.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All finished recordings.")] = False,
    orphans: Annotated[bool, typer.Option("--orphans", help="Look for files that the catalog does not know.")] = False,
    offline: Annotated[
        Path | None,
        typer.Option("--offline", metavar="DIR", help="Check this folder (or exported zip) by its manifests alone."),
    ] = None,
    vcon: Annotated[
        Path | None, typer.Option("--vcon", metavar="FILE", help="Check the signature of an exported vCon.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="PEM", help="Public key to trust, or a folder; repeatable.")
    ] = None,
    as_json: JsonObject = False,
) -> None:
    """Check that recordings are exactly what they were when they were sealed. Exit code 5 when one is not.

    Example: recorder-admin verify --all --orphans

    Example: recorder-admin verify --offline case-4711.zip --key recorder.pem

    Example: recorder-admin verify --vcon call.json --key recorder.pem
    """
    options = VerifyOptions(
        references=tuple(references or ()),
        every=every,
        orphans=orphans,
        offline=offline,
        vcon=vcon,
        keys=tuple(key or ()),
        as_json=as_json,
    )
    if offline is not None or vcon is not None:
        run_offline_command(as_json=as_json, command=lambda: run_offline(options, make_console()))

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)


async def _check(
    recording: RecordingDetail, catalog: Catalog, context: CliContext, trusted: PublicKeys, found: Findings
) -> None:
    checked = await check_recording(recording, catalog, context.stores(), trusted)
    found.recordings += 1
    found.sealed += checked.sealed
    found.files += checked.files
    found.faults += [(str(recording.summary.recording_id), fault) for fault in checked.faults]


def _progress(console: Console, options: VerifyOptions, total: int) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=options.as_json or total < 2 or not console.is_terminal,
    )


def _tell(found: Findings, console: Console, *, as_json: bool) -> ExitCode:
    if as_json:
        facts = {
            "recordings": found.recordings,
            "sealed": found.sealed,
            "files": found.files,
            "intact": not found.faults,
            "faults": [{"subject": subject, "what": what} for subject, what in found.faults],
        }
        write_json(console, facts)
    else:
        for subject, what in found.faults[:SHOWN]:
            told = what if what.startswith(subject) else f"{subject}: {what}"
            console.print(printable(told), soft_wrap=True)
        if len(found.faults) > SHOWN:
            console.print(f"... and {len(found.faults) - SHOWN} more; --json lists them all")
        faults = counted(len(found.faults), "fault")
        verdict = f"NOT INTACT: {faults}; looked at" if found.faults else "intact:"
        waiting = found.recordings - found.sealed
        unsealed = f"; {waiting} not sealed yet" if waiting else ""
        recordings, files = counted(found.recordings, "recording"), counted(found.files, "file")
        console.print(f"{verdict} {recordings}, {files} as they were{unsealed}")
    return ExitCode.INTEGRITY if found.faults else ExitCode.OK
