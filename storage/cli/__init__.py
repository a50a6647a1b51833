"""The storage administrator's commands: typer sub-apps that `recorder-admin` composes.

One module per subcommand, each with an options value and a `run` function that needs no process. `context` says what
the composing application supplies, `storage.exit_codes` what a script can rely on.
"""

from storage.cli.apps import (
    audit_app,
    jobs_app,
    keys_app,
    recordings_app,
    report_app,
    retention_app,
    storage_app,
)
from storage.cli.context import CliContext, ContextSource
from storage.cli.segments import show_segments
from storage.cli.verify import verify_recordings

__all__ = [
    "CliContext",
    "ContextSource",
    "audit_app",
    "jobs_app",
    "keys_app",
    "recordings_app",
    "report_app",
    "retention_app",
    "show_segments",
    "storage_app",
    "verify_recordings",
]
