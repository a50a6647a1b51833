"""Compose `recorder-admin` out of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from recorder.admin.context import AdminContext
from recorder.config import load_settings
from recorder.errors import ConfigError
from storage.cli.groups import ALONE
from storage.cli.groups import GROUPS as OF_STORAGE
from storage.cli.on_demand import Group, on_demand

GROUPS: Final = {
    **OF_STORAGE,
    "recordings": OF_STORAGE["recordings"].having(
        {
            "import": "recorder.admin.recordings_import:import_recordings",
            "redact": "recorder.admin.recordings_redact:redact_recording",
        }
    ),
    "storage": OF_STORAGE["storage"].having({"rebalance": "recorder.admin.storage_rebalance:rebalance_storage"}),
    "copies": Group(
        "Recordings of one call under different record identifiers.",
        {
            "list": "recorder.admin.copies.listing:list_copies",
            "explain": "recorder.admin.copies.explain:explain_copies",
            "split": "recorder.admin.copies.split:split_copies",
            "merge": "recorder.admin.copies.merge:merge_copies",
        },
    ),
    "writers": Group(
        "The RTP writers of this host.",
        {
            "list": "recorder.admin.writers:list_writers",
            "drain": "recorder.admin.writers:drain",
            "undrain": "recorder.admin.writers:undrain",
        },
    ),
    "captures": Group(
        "What writers left on disk: list, verify, and take back into the catalog.",
        {
            "list": "recorder.admin.captures.listing:list_captures",
            "verify": "recorder.admin.captures.listing:verify_captures",
            "salvage": "recorder.admin.captures.adopt:salvage_captures",
            "adopt": "recorder.admin.captures.adopt:adopt_captures",
        },
    ),
}

app = typer.Typer(
    cls=on_demand(
        {**ALONE, "status": "recorder.admin.status:status", "switchover": "recorder.admin.switchover:switchover"}
    ),
    name="recorder-admin",
    help="Administer a Tandem recorder: its recordings, jobs and processes. Exit codes: docs/admin-cli.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, group in GROUPS.items():
    app.add_typer(group.app(), name=name)


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
