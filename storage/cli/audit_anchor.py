"""`recorder-admin audit anchor` and `audit export`: the log's signed head, and the whole log, for keeping elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import JsonObject, Reason
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode
from storage.files.durable import file_errors, sync_directory
from storage.integrity import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorOptions:
    """Options of the command."""

    out: Path
    reason: str = ""
    as_json: bool = False


async def run_anchor(options: AnchorOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Write the signed head; the anchor covers the entry that says that it was made."""
    _check(options.out)
    keys = await asyncio.to_thread(SigningKeys.open, context.keys_directory)
    await catalog.audit.append(
        AuditEntry(actor=operator(), action="anchor", reason=options.reason, details={"key": keys.key_id})
    )
    head = await catalog.audit.head()
    target = options.out / f"audit-anchor-{head.number:012d}.json" if options.out.is_dir() else options.out
    content = head.signed(keys, at=datetime.now(UTC), node=socket.gethostname())
    await asyncio.to_thread(_write, target, [content])
    facts = {"out": str(target), "number": head.number, "digest": head.digest.hex(), "key": keys.key_id}
    if options.as_json:
        write_json(console, facts)
    else:
        console.print(
            f"{printable(target)}: entry {head.number}, signed with key {keys.key_id}. Keep it where nobody who can"
            " write this catalog can write.",
            soft_wrap=True,
        )
    return ExitCode.OK


async def run_export(options: AnchorOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Write every entry as one line of JSON."""
    _check(options.out)
    lines = [msgspec.json.encode(entry.to_json()) + b"\n" async for entry in catalog.audit.read()]
    await asyncio.to_thread(_write, options.out, lines)
    if options.as_json:
        write_json(console, {"out": str(options.out), "entries": len(lines)})
    else:
        console.print(f"{printable(options.out)}: {len(lines)} entries", soft_wrap=True)
    return ExitCode.OK


def write_anchor(
    ctx: typer.Context,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New file to write; or a directory.")],
    reason: Reason = "",
    as_json: JsonObject = False,
) -> None:
    """Write the head of the audit log, signed, to a file. Keep it elsewhere: it proves what the log was.

    Example: recorder-admin audit anchor --out /mnt/worm/
    """
    options = AnchorOptions(out=out, reason=reason, as_json=as_json)

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run_anchor(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)


def export_audit(
    ctx: typer.Context,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New file to write.")],
    as_json: JsonObject = False,
) -> None:
    """Write the whole audit log, one entry a line; `audit verify --file` checks it without the catalog.

    Example: recorder-admin audit export --out audit.jsonl
    """
    options = AnchorOptions(out=out, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run_export(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)


def _check(out: Path) -> None:
    if not out.parent.is_dir():
        raise CommandFailed(f"{out.parent} is not a directory: make it first", ExitCode.REFUSED)


def _write(target: Path, blocks: list[bytes]) -> None:
    """Write a new file durably; an existing one is left alone, because an anchor is never replaced."""
    with file_errors(target):
        try:
            with target.open("xb") as file:
                file.writelines(blocks)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise CommandFailed(f"{target} exists already: name another file", ExitCode.REFUSED) from None
        sync_directory(target.parent)
