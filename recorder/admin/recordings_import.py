"""`recorder-admin recordings import`: take in recordings of another site; they are paired like our own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import track

from recorder.depot import Depot, Draft, Subject
from storage.catalog import Catalog
from storage.catalog.imports import ImportOutcome
from storage.catalog.records import RecordingState
from storage.cli.bundle_form import Described, imported, read_description
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import JsonArray
from storage.cli.presentation import printable, write_json
from storage.errors import IntegrityBroken
from storage.exit_codes import ExitCode
from storage.files.bundle import SUFFIX, open_bundle
from storage.files.layout import is_suffix
from storage.inputs import named

_TAKEN: Final = (ImportOutcome.IMPORTED, ImportOutcome.REPLACED, ImportOutcome.UNCHANGED)
_FINISHED: Final = (RecordingState.COMPLETE, RecordingState.INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Options of the command."""

    paths: Sequence[Path]
    dry_run: bool = False
    as_json: bool = False


async def run(options: ImportOptions, catalog: Catalog, depot: Depot, console: Console) -> ExitCode:
    """Import every bundle; a damaged one is told and does not keep the others out."""
    results: list[dict[str, object]] = []
    bundles = _bundles(options.paths)
    quiet = options.as_json or not console.is_terminal
    for path in track(bundles, "Importing", console=console, disable=quiet):
        facts: dict[str, object] = {"path": str(path), "id": None, "record_identifier": None}
        try:
            facts |= await _take(path, catalog, depot, dry_run=options.dry_run)
        except IntegrityBroken as error:
            facts |= {"outcome": "damaged", "error": str(error)}
        results.append(facts)
        if not options.as_json:
            console.print(
                f"{facts['outcome']!s:<12}  {printable(facts['id'] or '-')}  {printable(facts.get('error', path))}",
                soft_wrap=True,
            )
    if options.as_json:
        write_json(console, results)
    if any(facts["outcome"] == "damaged" for facts in results):
        return ExitCode.INTEGRITY
    taken = {outcome.value for outcome in _TAKEN} | {"would-import"}
    return ExitCode.OK if all(facts["outcome"] in taken for facts in results) else ExitCode.REFUSED


async def _take(path: Path, catalog: Catalog, depot: Depot, *, dry_run: bool) -> dict[str, object]:
    """Check a bundle, put its audio into the store as our own is put there, then tell the catalog."""
    described = await asyncio.to_thread(_check, path)
    facts: dict[str, object] = {"id": str(described.id), "record_identifier": described.record_identifier}
    call = {
        **msgspec.structs.asdict(described.call),
        "identifier": described.record_identifier,
        "door": described.door.value,
    }
    with await asyncio.to_thread(depot.draft, Subject(described.id, described.started_at, call)) as draft:
        await asyncio.to_thread(_fill, path, described, draft)
        if dry_run:
            return {**facts, "outcome": "would-import"}
        published = await depot.publish(draft)
    answer = await catalog.imports.take(imported(path, described, published), by=operator())
    # What was not taken is nobody's; what was is claimed.
    await catalog.files.withdraw(described.id)
    return {**facts, "outcome": answer.value}


def _check(path: Path) -> Described:
    with open_bundle(path) as bundle:
        described = read_description(path, bundle.description)
    if described.state not in _FINISHED or described.audio.channels < 1 or described.audio.frames < 1:
        raise IntegrityBroken(f"{path}: it does not hold a finished recording with audio")
    if not is_suffix(described.audio.suffix):
        raise IntegrityBroken(f"{path}: its description is damaged: {described.audio.suffix!r} ends no name of a file")
    return described


def _fill(path: Path, described: Described, draft: Draft) -> None:
    """Copy the audio of a bundle into a draft and seal it."""
    try:
        sha256 = bytes.fromhex(described.audio.sha256)
    except ValueError as error:
        raise IntegrityBroken(f"{path}: its description is damaged: {error}") from error
    with open_bundle(path) as bundle:
        bundle.copy_audio(draft.path, size_bytes=described.audio.size_bytes, sha256=sha256)
    draft.seal(described.audio.suffix)


def _bundles(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles that are named, and those in the directories that are named."""
    found: list[Path] = []
    for path in paths:
        with named(path, "name bundles, or directories of them"):
            path.stat()
        found += sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not found:
        raise CommandFailed(f"no bundle (*{SUFFIX}) there", ExitCode.NOT_FOUND)
    return found


def import_recordings(
    ctx: typer.Context,
    *,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE", help="Bundles, or directories of them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the bundles, audio included.")] = False,
    as_json: JsonArray = False,
) -> None:
    """Import recordings that another site wrote with `recordings bundle`. Importing again changes nothing.

    Example: recorder-admin recordings import /mnt/exchange
    """
    options = ImportOptions(paths=paths, dry_run=dry_run, as_json=as_json)

    settings = ctx.obj.settings

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, Depot(catalog, settings), make_console())

    run_command(ctx, as_json=as_json, command=command)
