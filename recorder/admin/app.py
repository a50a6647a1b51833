"""Compose `recorder-admin` out of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recorder.admin.captures import app as captures_app
from recorder.admin.context import AdminContext
from recorder.admin.copies import app as copies_app
from recorder.admin.recordings_import import import_recordings
from recorder.admin.recordings_redact import redact_recording
from recorder.admin.status import status
from recorder.admin.storage_rebalance import rebalance_storage
from recorder.admin.switchover import switchover
from recorder.admin.writers import app as writers_app
from recorder.config import load_settings
from recorder.errors import ConfigError
from storage.cli import (
    audit_app,
    jobs_app,
    keys_app,
    recordings_app,
    report_app,
    retention_app,
    show_segments,
    storage_app,
    verify_recordings,
)

app = typer.Typer(
    name="recorder-admin",
    help="Administer a Tandem recorder: its recordings, jobs and processes. Exit codes: docs/admin-cli.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
recordings_app.command("import")(import_recordings)
recordings_app.command("redact")(redact_recording)
storage_app.command("rebalance")(rebalance_storage)
app.add_typer(recordings_app, name="recordings")
app.add_typer(copies_app, name="copies")
app.add_typer(jobs_app, name="jobs")
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")
app.add_typer(report_app, name="report")
app.add_typer(retention_app, name="retention")
app.add_typer(storage_app, name="storage")
app.add_typer(writers_app, name="writers")
app.add_typer(captures_app, name="captures")
app.command("segments")(show_segments)
app.command("verify")(verify_recordings)
app.command()(status)
app.command()(switchover)


@app.callback()
def select(
    ctx: typer.Context,
    state_dir: Annotated[
        Path | None, typer.Option(help="State directory of the recorder; RECORDER_STATE_DIR without it.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The recorder's TOML settings.")] = None,
) -> None:
    """Choose the recorder; the commands below act on it."""
    try:
        settings = load_settings(config, {"state_dir": state_dir} if state_dir else {})
    except ConfigError as error:
        for line in error.faults:
            typer.echo(f"recorder-admin: {line}", err=True)
        raise typer.Exit(error.exit_code) from None
    ctx.obj = AdminContext(settings)


def main() -> None:
    """Entry point of the `recorder-admin` command."""
    app()
