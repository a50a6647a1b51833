"""`recorder-admin storage rebalance`: move finished recordings between directories and the object store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from recorder.file_moves import FileMover
from storage.catalog import Catalog
from storage.catalog.file_lives import StoredRecording
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonObject
from storage.cli.presentation import counted, moment, printable, size_text, write_json
from storage.cli.times import parse_time
from storage.errors import CatalogUnreachable, StorageError, StoreForbidden, StoreFull, StoreUnreachable
from storage.exit_codes import ExitCode, exit_code_of
from storage.files import FileStore, Store

_SIZE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(kB|MB|GB|TB|)")
_UNITS: Final = {"": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000}
_HOPELESS: Final = (CatalogUnreachable, StoreUnreachable, StoreForbidden, StoreFull)
"""Faults that the next file would meet as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebalanceOptions:
    """Options of the command."""

    source: str
    target: str
    references: Sequence[str] = ()
    started_to: str | None = None
    limit: str | None = None
    dry_run: bool = False
    as_json: bool = False


@dataclass(slots=True)
class _Tally:
    recordings: int = 0
    files: int = 0
    size_bytes: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    code: int = ExitCode.OK


class Rebalance:
    """One run of the command."""

    def __init__(self, catalog: Catalog, context: CliContext, console: Console, *, by: str) -> None:
        self._catalog = catalog
        self._context = context
        self._console = console
        self._by = by

    async def run(self, options: RebalanceOptions, *, now: datetime) -> int:
        """Move, or say what would be moved; the worst of the codes of what failed."""
        source, target = self._store(options.source), self._store(options.target)
        if source.name == target.name:
            raise CommandFailed(f"from {source.name} to {target.name}: name two stores", ExitCode.USAGE)
        limit = None if options.limit is None else parse_size(options.limit)
        before = parse_time(options.started_to, now=now) if options.started_to else now
        due = await self._due(options.references, source, before, limit)
        if options.dry_run:
            tally = _Tally(len(due), sum(one.files for one in due), sum(one.size_bytes for one in due))
        else:
            tally = await self._move(due, source, target, quiet=options.as_json)
        self._conclude(options, due, tally)
        return tally.code

    def _store(self, name: str) -> Store:
        """Return a store by its name, or by what stands before the host's name."""
        stores = self._context.stores()
        known = {key.partition("@")[0]: store for key, store in stores.items()} | stores
        if name not in known:
            raise CommandFailed(f"no store {printable(name)} here; there are {', '.join(stores)}", ExitCode.USAGE)
        store = known[name]
        if isinstance(store, FileStore) and not store.root.is_dir():
            raise CommandFailed(
                f"{store.root}, the directory of {store.name}, does not exist: is its disk mounted?", ExitCode.REFUSED
            )
        return store

    async def _due(
        self, references: Sequence[str], source: Store, before: datetime, limit: int | None
    ) -> list[StoredRecording]:
        due: list[StoredRecording] = []
        left = limit
        async for one in self._named(references, source) if references else self._all(source, before):
            if left is not None:
                if one.size_bytes > left:
                    break
                left -= one.size_bytes
            due.append(one)
        return due

    async def _named(self, references: Sequence[str], source: Store) -> AsyncIterator[StoredRecording]:
        for reference in references:
            found = await find_recording(self._catalog, reference)
            claims = await self._catalog.files.in_store(found.summary.recording_id, source.name)
            if claims:
                size = sum(claim.size_bytes for claim in claims)
                yield StoredRecording(found.summary.recording_id, found.summary.started_at, len(claims), size)

    async def _all(self, source: Store, before: datetime) -> AsyncIterator[StoredRecording]:
        after = None
        while page := await self._catalog.files.recordings_in(source.name, before=before, after=after):
            for one in page:
                yield one
            after = page[-1].key

    async def _move(self, due: Sequence[StoredRecording], source: Store, target: Store, *, quiet: bool) -> _Tally:
        tally, mover = _Tally(), FileMover(self._catalog)
        with Progress(
            TextColumn("Moving"),
            *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        ) as progress:
            task = progress.add_task("", total=sum(one.size_bytes for one in due))
            for one in due:
                whole = True
                for claim in await self._catalog.files.in_store(one.recording_id, source.name):
                    try:
                        await mover.move(one.recording_id, claim, source, target, by=self._by)
                    except _HOPELESS:
                        raise
                    except StorageError as error:
                        whole = False
                        tally.failed.append(
                            {"id": str(one.recording_id), "path": claim.path, "error": " ".join(str(error).split())}
                        )
                        tally.code = max(tally.code, int(exit_code_of(error)))
                        continue
                    tally.files += 1
                    tally.size_bytes += claim.size_bytes
                    progress.update(task, advance=claim.size_bytes)
                tally.recordings += whole
        return tally

    def _conclude(self, options: RebalanceOptions, due: Sequence[StoredRecording], tally: _Tally) -> None:
        if options.as_json:
            write_json(
                self._console,
                {
                    "from": options.source,
                    "to": options.target,
                    "dry_run": options.dry_run,
                    "recordings": tally.recordings,
                    "files": tally.files,
                    "size_bytes": tally.size_bytes,
                    "failed": tally.failed,
                },
            )
            return
        for one in tally.failed:
            self._console.print(f"{one['id']}  {printable(one['path'])}: {printable(one['error'])}", soft_wrap=True)
        amount = (
            f"{counted(tally.recordings, 'recording')}, {counted(tally.files, 'file')}, {size_text(tally.size_bytes)}"
        )
        if options.dry_run:
            span = f", begun {moment(due[0].started_at)} to {moment(due[-1].started_at)}" if due else ""
            self._console.print(f"Would move {amount}{span}, from {options.source} to {options.target}.")
            return
        self._console.print(
            f"Moved {amount} from {options.source} to {options.target}; {counted(len(tally.failed), 'file')} left. "
            "Curators remove the former files now. Give the same command again to go on."
        )


def parse_size(text: str) -> int:
    """Return the bytes that `text` names: 500MB, 1.5TB; a number alone is bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise CommandFailed(f"{printable(text)} is not a size: write 800MB, 500GB or 1.5TB", ExitCode.USAGE)
    return round(float(match[1]) * _UNITS[match[2]])


def rebalance_storage(
    ctx: typer.Context,
    *,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these recordings; without them all, oldest first."),
    ] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="STORE", help="local, s3, or a name of recordings.archives.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="STORE", help="The same.")],
    started_to: Annotated[
        str | None, typer.Option("--before", metavar="TIME", help="Only those begun before: 2026-01-31, or 90d ago.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="SIZE", help="Stop before more than this is moved: 500GB.")
    ] = None,
    dry_run: DryRun = False,
    as_json: JsonObject = False,
) -> None:
    """Move finished recordings, oldest first, between directories and the object store; holds and signatures go along.

    It may be interrupted at any time: give the same command again, and it goes on.

    Example: recorder-admin storage rebalance --from local --to archive --before 90d --limit 500GB
    """
    options = RebalanceOptions(
        source=source,
        target=target,
        references=tuple(references or ()),
        started_to=started_to,
        limit=limit,
        dry_run=dry_run,
        as_json=as_json,
    )

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        rebalance = Rebalance(catalog, context, make_console(), by=operator())
        return ExitCode(await rebalance.run(options, now=datetime.now(UTC)))

    run_command(ctx, as_json=as_json, command=command)
