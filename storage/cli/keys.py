"""`recorder-admin keys`: the key that signs, and the recipients that audio is encrypted to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.catalog.audit import AuditEntry
from storage.catalog.file_lives import LocatedEnvelope
from storage.cli.audio_source import ask_passphrase
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonObject, Reason
from storage.cli.presentation import printable, write_json
from storage.encryption import Envelope, load_private_key, load_recipients
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import WrongKey
from storage.exit_codes import ExitCode
from storage.integrity import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrapOptions:
    """Options of `keys rewrap`."""

    key: Path
    recipients: tuple[Path, ...]
    reason: str = ""
    dry_run: bool = False
    as_json: bool = False


async def run_rewrap(options: RewrapOptions, catalog: Catalog, context: CliContext, console: Console) -> ExitCode:
    """Wrap the data keys of all encrypted audio for other recipients; the audio is not touched."""
    private = await asyncio.to_thread(load_private_key, options.key, ask_passphrase)
    recipients = await asyncio.to_thread(load_recipients, options.recipients)
    wanted = {recipient.key_id for recipient in recipients}
    done = there = foreign = 0
    if not options.dry_run:
        await catalog.audit.append(
            AuditEntry(
                actor=operator(),
                action="rewrap",
                reason=options.reason,
                details={"recipients": [f"{one.name} ({one.key_id})" for one in recipients]},
            )
        )
    async for row in catalog.files.envelopes():
        envelope = Envelope.decode(row.keys, name=f"{row.path}{KEYS_SUFFIX}")
        if {one.key for one in envelope.recipients} == wanted:
            there += 1
            continue
        try:
            rewrapped = envelope.rewrap(private, recipients)
        except WrongKey:
            foreign += 1
            continue
        done += 1
        if not options.dry_run:
            await _replace(row, rewrapped.encode(), catalog, context)
    facts = {"rewrapped": done, "already": there, "other_key": foreign, "dry_run": options.dry_run}
    if options.as_json:
        write_json(console, facts)
    else:
        would = "would be " if options.dry_run else ""
        console.print(
            f"{done} recordings {would}wrapped anew, {there} were already, {foreign} are encrypted to other keys"
        )
    return ExitCode.OK


def show_keys(
    ctx: typer.Context,
    as_json: JsonObject = False,
) -> None:
    """Show the key that this host signs with, and those that it trusts.

    Example: recorder-admin keys show
    """

    async def command(_: Catalog, context: CliContext) -> ExitCode:
        keys = await asyncio.to_thread(SigningKeys.open, context.keys_directory)
        trusted = await asyncio.to_thread(keys.trusted)
        console = make_console()
        if as_json:
            write_json(console, {"signing": keys.key_id, "trusted": list(trusted.key_ids)})
        else:
            console.print(f"signs with {keys.key_id}; trusts {', '.join(trusted.key_ids)} ({keys.public_directory})")
        return ExitCode.OK

    run_command(ctx, as_json=as_json, command=command)


def export_key(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New PEM file to write.")],
    as_json: JsonObject = False,
) -> None:
    """Write the public key that manifests and anchors are checked with. Keep it away from this host.

    Example: recorder-admin keys export --out recorder-1.pem
    """

    async def command(_: Catalog, context: CliContext) -> ExitCode:
        keys = await asyncio.to_thread(SigningKeys.open, context.keys_directory)
        try:
            with out.open("xb") as file:
                file.write(keys.public_pem)
        except OSError as error:
            raise CommandFailed(f"{out}: {error.strerror}: name another file", ExitCode.REFUSED) from error
        console = make_console()
        if as_json:
            write_json(console, {"out": str(out), "key": keys.key_id})
        else:
            console.print(f"{printable(out)}: public key {keys.key_id}", soft_wrap=True)
        return ExitCode.OK

    run_command(ctx, as_json=as_json, command=command)


def rotate_key(
    ctx: typer.Context,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Make a new signing key; the former public key stays trusted. Restart the curators afterwards.

    Example: recorder-admin keys rotate --reason "yearly"
    """

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        former = await asyncio.to_thread(SigningKeys.open, context.keys_directory)
        present = former
        if not dry_run:
            await catalog.audit.append(
                AuditEntry(actor=operator(), action="rotate-key", subject=former.key_id, reason=reason)
            )
            present = await asyncio.to_thread(former.rotate)
        console = make_console()
        if as_json:
            write_json(console, {"former": former.key_id, "present": present.key_id, "dry_run": dry_run})
        elif dry_run:
            console.print(f"key {former.key_id} would be replaced")
        else:
            console.print(f"key {former.key_id} is replaced by {present.key_id}: restart the curators to use it")
        return ExitCode.OK

    run_command(ctx, as_json=as_json, command=command)


def rewrap_keys(
    ctx: typer.Context,
    *,
    key: Annotated[Path, typer.Option("--key", metavar="PEM", help="A private key that can decrypt now.")],
    to: Annotated[
        list[Path], typer.Option("--to", metavar="PEM", help="Certificate or public key from now on; repeatable.")
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Give all encrypted audio other recipients, without touching the audio.

    Example: recorder-admin keys rewrap --key old.key --to new.pem --to auditor.pem
    """
    options = RewrapOptions(key=key, recipients=tuple(to), reason=reason, dry_run=dry_run, as_json=as_json)

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await run_rewrap(options, catalog, context, make_console())

    run_command(ctx, as_json=as_json, command=command)


async def _replace(row: LocatedEnvelope, keys: bytes, catalog: Catalog, context: CliContext) -> None:
    """Catalog first: what lies beside the audio can be made from it again, not the other way round."""
    if await catalog.files.replace_keys(row.sha256, row.keys, keys):
        await asyncio.to_thread(context.store(row.store).replace, keys, row.path + KEYS_SUFFIX)
