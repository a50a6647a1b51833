"""`recorder-admin captures adopt` and `captures salvage`: captures without a recorder come back into the catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recorder.admin.captures.inventory import CaptureOnDisk, captures_in
from recorder.admin.captures.taking import TAKEN, Result, Taker
from recorder.admin.context import admin_context_of
from storage.catalog import Catalog
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonArray
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode
from storage.inputs import named


async def run(files: Iterable[CaptureOnDisk], taker: Taker, console: Console, *, as_json: bool) -> ExitCode:
    """Take captures in, one after the other; `INTEGRITY` when one of them needs a look."""
    results: list[Result] = []
    for found in files:
        results.append(await taker.take(found))
        if not as_json:
            last = results[-1]
            console.print(
                f"{printable(last.path)}  {last.result}  {last.recording_id or ''}  {printable(last.detail)}".rstrip(),
                soft_wrap=True,
            )
    if as_json:
        write_json(
            console,
            [
                {"path": str(one.path), "result": one.result, "detail": one.detail, "recording_id": one.recording_id}
                for one in results
            ],
        )
    else:
        counts = Counter(one.result for one in results)
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
        console.print(f"{len(results)} captures: {told}.")
        if any(one.result in TAKEN for one in results):
            console.print("Curators render the recordings concerned; `recorder-admin jobs list` shows what waits.")
    return ExitCode.INTEGRITY if any(one.bad for one in results) else ExitCode.OK


def adopt_captures(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The dead host's captures directory, or a copy.")],
    dry_run: DryRun = False,
    as_json: JsonArray = False,
) -> None:
    """Take in the captures of a dead host: copied and verified, joined to their recordings, which are rendered again.

    The host whose disk it is must not run. What is taken in once is skipped the next time; the source stays as it is.

    Example: recorder-admin captures adopt /mnt/old-disk/tandem-recorder/captures
    """
    settings = admin_context_of(ctx)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        with named(directory, "name the captures directory of a dead host"):
            next(directory.iterdir(), None)
        root = settings.state_dir.captures
        if directory.resolve().is_relative_to(root.resolve()):
            raise CommandFailed(f"{directory} holds this host's own captures: use `captures salvage`", ExitCode.USAGE)
        taker = Taker(catalog, root=root, host=settings.node, by=operator(), dry_run=dry_run)
        return await run(captures_in(directory.resolve()), taker, make_console(), as_json=as_json)

    run_command(ctx, as_json=as_json, command=command)


def salvage_captures(
    ctx: typer.Context,
    older_than_min: Annotated[
        float,
        typer.Option("--older-than", metavar="MINUTES", min=0, help="Only files not written to for so long."),
    ] = 15.0,
    dry_run: DryRun = False,
    as_json: JsonArray = False,
) -> None:
    """Take in this host's captures that the catalog does not know: of writers that died before it was told.

    Captures of sessions that the catalog knows need no salvage: their sessions are closed when the recorder starts.

    Example: recorder-admin captures salvage --dry-run
    """
    settings = admin_context_of(ctx)
    before = datetime.now(UTC) - timedelta(minutes=older_than_min)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        root = settings.state_dir.captures
        known = {capture.path for capture in await catalog.captures.known(host=settings.node)}
        files = [found for found in captures_in(root) if str(found.path) not in known and found.modified_at <= before]
        taker = Taker(catalog, root=root, host=settings.node, by=operator(), dry_run=dry_run)
        return await run(files, taker, make_console(), as_json=as_json)

    run_command(ctx, as_json=as_json, command=command)
