"""`recorder-admin audit verify`: is the log complete and unchanged, and does it still hold what was anchored."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.audit_check import check_entries, check_log
from storage.cli.context import CliContext, make_console, run_command, run_offline_command
from storage.cli.options import JsonObject
from storage.cli.presentation import printable, write_json
from storage.errors import IntegrityBroken, StorageMisused
from storage.exit_codes import ExitCode
from storage.inputs import named
from storage.integrity import Anchor, ChainCheck, ChainEntry, ChainFault, PublicKeys, SigningKeys
from storage.integrity.manifest import SUFFIX, Manifest

SHOWN = 20
"""Faults printed for people; `--json` gives all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerifyOptions:
    """Options of the command."""

    anchors: tuple[Path, ...] = ()
    keys: tuple[Path, ...] = ()
    file: Path | None = None
    as_json: bool = False


async def run(options: AuditVerifyOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Check the log in the catalog."""
    trusted = await asyncio.to_thread(_trusted, options, context)
    anchors = await asyncio.to_thread(_read_anchors, options.anchors, trusted)
    check, faults = await check_log(catalog, anchors)
    return _tell(check, faults, len(anchors), console, as_json=options.as_json)


async def run_offline(options: AuditVerifyOptions, console: Console) -> ExitCode:
    """Check an exported log; needs neither recorder nor catalog."""
    if options.file is None:
        raise StorageMisused("an exported log is checked with --file")
    anchors = _read_anchors(options.anchors, PublicKeys.read(options.keys))
    check = ChainCheck()
    faults = await check_entries(_lines(options.file), check, anchors)
    return _tell(check, [*check.faults, *faults], len(anchors), console, as_json=options.as_json)


def verify_audit(
    ctx: typer.Context,
    *,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchor",
            metavar="FILE",
            help="The log must still hold this anchor, or what this manifest states of it; repeatable.",
        ),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="PEM", help="Public key of the anchors; default: this host's. Repeatable."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Check this exported log, without the catalog.")
    ] = None,
    as_json: JsonObject = False,
) -> None:
    """Check that no entry of the audit log was changed, removed or added. Exit code 5 when one was.

    Example: recorder-admin audit verify --anchor /mnt/worm/audit-anchor-000000000042.json
    """
    options = AuditVerifyOptions(anchors=tuple(anchor or ()), keys=tuple(key or ()), file=file, as_json=as_json)
    if file is not None:
        run_offline_command(as_json=as_json, command=lambda: asyncio.run(run_offline(options, make_console())))

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)


async def _lines(path: Path) -> AsyncIterator[ChainEntry]:
    with named(path, "name a file that `audit export` wrote"), path.open("rb") as file:
        for number, line in zip(itertools.count(1), file, strict=False):
            try:
                yield ChainEntry.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise IntegrityBroken(f"{path}, line {number} is not an entry of the audit log: {error}") from error


def _trusted(options: AuditVerifyOptions, context: CliContext) -> PublicKeys:
    if options.keys:
        return PublicKeys.read(options.keys)
    return SigningKeys.open(context.keys_directory).trusted() if options.anchors else PublicKeys([])


def _read_anchors(paths: Sequence[Path], trusted: PublicKeys) -> list[tuple[str, Anchor]]:
    anchors = []
    for path in paths:
        with named(path, "name a file that `audit anchor` wrote, or a manifest"):
            data = path.read_bytes()
        anchors.append((f"anchor {path}", _read_anchor(data, trusted, path)))
    return anchors


def _read_anchor(data: bytes, trusted: PublicKeys, path: Path) -> Anchor:
    if path.suffix != SUFFIX:
        return Anchor.read(data, trusted, name=str(path))
    log = Manifest.read(data, trusted, name=str(path)).log
    if log is None:
        raise IntegrityBroken(f"{path} is the manifest of an earlier program, which states nothing of the audit log")
    return log


def _tell(check: ChainCheck, faults: list[ChainFault], anchors: int, console: Console, *, as_json: bool) -> ExitCode:
    if as_json:
        facts = {
            "entries": check.number,
            "head": check.digest.hex(),
            "anchors": anchors,
            "intact": not faults,
            "faults": [{"number": fault.number, "what": fault.what} for fault in faults],
        }
        write_json(console, facts)
    elif faults:
        for fault in faults[:SHOWN]:
            console.print(f"entry {fault.number}: {printable(fault.what)}", soft_wrap=True)
        if len(faults) > SHOWN:
            console.print(f"... and {len(faults) - SHOWN} more; --json lists them all")
        console.print(f"BROKEN: {check.number} entries read")
    else:
        console.print(f"intact: {check.number} entries, {anchors} anchors; head {check.digest.hex()}", soft_wrap=True)
    return ExitCode.INTEGRITY if faults else ExitCode.OK
