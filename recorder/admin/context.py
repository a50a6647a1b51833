"""What every `recorder-admin` command needs to find: the state directory, and through it the running recorder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from recorder.errors import NotRunningError
from recorder.retention_settings import RetentionSettings
from recorder.settings import Settings
from recorder.state_dir import StateDir, recordings_root
from recorder.stores import directories, s3_options
from storage.cli.context import CliContext
from storage.cli.conversion import Converter
from storage.cli.on_demand import load


@dataclass(frozen=True, slots=True)
class AdminContext:
    """Given to the commands as `ctx.obj`."""

    settings: Settings

    @property
    def state_dir(self) -> StateDir:
        """The state directory that the command line, the environment or the settings name."""
        return StateDir(self.settings.state_dir)

    @property
    def node(self) -> str:
        """Name of this host in the catalog: the running recorder's, else that of the settings."""
        running = self.state_dir.read_running()
        return (running.node if running else "") or self.settings.node

    def storage_context(self) -> CliContext:
        """Find catalog and files: those of the recorder that runs here, else the configured database.

        Raises:
            NotRunningError: no recorder runs on this state directory, and no database is configured.

        """
        running = self.state_dir.read_running()
        if running:
            return CliContext(
                dsn=running.dsn,
                files_root=Path(running.recordings_root),
                directories={name: Path(path) for name, path in running.directories.items()},
                state_dir=self.state_dir.root,
                retention=RetentionSettings.model_validate(running.retention).policy(),
                object_store=running.object_store,
                converter=_load_converter,
            )
        if self.settings.database.dsn:
            return CliContext(
                dsn=self.settings.database.dsn,
                files_root=recordings_root(self.settings),
                directories=directories(self.settings),
                state_dir=self.state_dir.root,
                retention=self.settings.retention.policy(),
                object_store=s3_options(self.settings),
                converter=_load_converter,
            )
        raise NotRunningError(
            f"no recorder runs on {self.state_dir.root}:"
            f" start it with `recorder run --state-dir {self.state_dir.root}`,"
            " or name the right directory with --state-dir or RECORDER_STATE_DIR"
        )


def _load_converter() -> Converter:
    """Return what converts audio: most commands need none, and it loads every codec."""
    converter: Converter = load("recorder.admin.conversion:MediaConverter")()
    return converter


def admin_context_of(ctx: typer.Context) -> AdminContext:
    """Return what the commands of a context act on."""
    context = ctx.obj
    if not isinstance(context, AdminContext):
        raise TypeError("this command runs as part of recorder-admin")
    return context


def state_dir_of(ctx: typer.Context) -> StateDir:
    """Return the state directory of a command."""
    return admin_context_of(ctx).state_dir
