"""What the composing application supplies to the storage commands, and how a command runs and fails.

The application puts an object with a `storage_context()` method into typer's `ctx.obj`. It is asked only when a
command runs, so that `--help` works without a recorder.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.conversion import Converter
from storage.errors import StorageError
from storage.exit_codes import ExitCode, exit_code_of
from storage.files import FileStore, Store
from storage.files.object_lock import ObjectLock
from storage.files.object_store import S3Options, S3Store
from storage.integrity import keys
from storage.retention import Policy

WIDTH_WITHOUT_TERMINAL = 200
"""Characters per line when the output goes to a file or a pipe, where rich would assume 80."""


class CommandFailed(StorageError):
    """A command cannot do what was asked; one line says what, and what to do."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class CliContext:
    """Where the recorder's catalog and files are."""

    dsn: str
    files_root: Path
    """Directory in which finished files are made; without `directories` the store "local"."""
    state_dir: Path
    """For messages to people, and where the signing keys are."""
    retention: Policy = field(default_factory=Policy)
    """Of the recorder; its minimum retention binds commands as well."""
    object_store: S3Options | None = None
    """The store named "s3", if there is one."""
    directories: Mapping[str, Path] = field(default_factory=dict)
    """Of finished files, by the names of their stores; the first is `files_root`."""

    def stores(self) -> dict[str, Store]:
        """Return the stores by the names that the catalog has for them."""
        stores: list[Store] = [FileStore(root, name=name) for name, root in self.roots.items()]
        if self.object_store is not None:
            lock = ObjectLock(self.object_store) if self.object_store.lock != "none" else None
            stores.append(S3Store(self.object_store, lock=lock))
        return {store.name: store for store in stores}

    @property
    def roots(self) -> Mapping[str, Path]:
        """Directories of finished files by the names of their stores; the first is where files are made."""
        return self.directories or {"local": self.files_root}

    def store(self, name: str) -> Store:
        """Return a store by its name; `CommandFailed` when this host does not know it."""
        store = self.stores().get(name)
        if store is None:
            host = name.partition("@")[2]
            hint = f"run the command on host {host}" if host else "name the recorder's settings with --config"
            raise CommandFailed(f"store {name!r} is not known here: {hint}", ExitCode.REFUSED)
        return store

    converter: Callable[[], Converter] | None = None
    """Loads what makes other forms of audio; None where nothing does."""

    @property
    def keys_directory(self) -> Path:
        """Signing key and trusted public keys of this host."""
        return self.state_dir / keys.DIRECTORY

    def storage_context(self) -> CliContext:
        """Return itself: a context is its own source."""
        return self


@runtime_checkable
class ContextSource(Protocol):
    """What `ctx.obj` must be. Errors may carry an `exit_code` attribute; their text is shown as it is."""

    def storage_context(self) -> CliContext:
        """Find the recorder's catalog and files; called when a command runs."""
        ...


def make_console() -> Console:
    """Return a console for standard output: no highlighting of numbers, wide when it is not a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def run_command(
    ctx: typer.Context, *, as_json: bool, command: Callable[[Catalog, CliContext], Awaitable[ExitCode | None]]
) -> NoReturn:
    """Connect to the catalog, run a command and leave with its exit code; expected errors become one line."""
    run_offline_command(
        as_json=as_json, command=lambda: asyncio.run(_with_catalog(_source_of(ctx).storage_context(), command))
    )


def run_offline_command(*, as_json: bool, command: Callable[[], ExitCode | None]) -> NoReturn:
    """As `run_command`, for what needs neither recorder nor catalog."""
    try:
        code = command()
    except Exception as error:
        if not isinstance(error, StorageError) and not isinstance(getattr(error, "exit_code", None), int):
            raise
        report(error, as_json=as_json)
        raise typer.Exit(exit_code_of(error)) from None
    raise typer.Exit(code or ExitCode.OK)


def report(error: Exception, *, as_json: bool) -> None:
    """Say what is wrong: one line on standard error, or one JSON object on standard output."""
    message = " ".join(str(error).split())
    if as_json:
        print(json.dumps({"error": message, "exit_code": int(exit_code_of(error))}))
    else:
        typer.echo(f"recorder-admin: {message}", err=True)


def _source_of(ctx: typer.Context) -> ContextSource:
    if not isinstance(ctx.obj, ContextSource):
        raise CommandFailed("these commands run as part of recorder-admin", ExitCode.UNEXPECTED)
    return ctx.obj


async def _with_catalog(
    context: CliContext, command: Callable[[Catalog, CliContext], Awaitable[ExitCode | None]]
) -> ExitCode | None:
    async with await Catalog.connect(
        context.dsn, max_size=2, timeout_s=30.0, application="recorder-admin", for_people=True
    ) as catalog:
        return await command(catalog, context)
