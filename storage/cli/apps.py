"""The typer apps, put together from one module per subcommand."""

from __future__ import annotations

import typer

from storage.cli.audit_anchor import export_audit, write_anchor
from storage.cli.audit_list import list_audit
from storage.cli.audit_verify import verify_audit
from storage.cli.jobs_list import list_jobs
from storage.cli.jobs_retry import retry_job
from storage.cli.keys import export_key, rewrap_keys, rotate_key, show_keys
from storage.cli.recordings_annotate import annotate_recording
from storage.cli.recordings_bundle import bundle_recordings
from storage.cli.recordings_delete import delete_recordings
from storage.cli.recordings_erase import erase_person
from storage.cli.recordings_export import export_recording
from storage.cli.recordings_hold import hold_recordings
from storage.cli.recordings_holds import list_holds
from storage.cli.recordings_list import list_recordings
from storage.cli.recordings_release import release_recordings
from storage.cli.recordings_show import show_recording
from storage.cli.recordings_trace import trace_recording
from storage.cli.report_completeness import report_completeness
from storage.cli.report_usage import report_usage
from storage.cli.retention_plan import apply_retention, plan_retention
from storage.cli.storage_usage import show_usage

recordings_app = typer.Typer(no_args_is_help=True, help="Find, explain, export, hold and delete recordings.")
recordings_app.command("list")(list_recordings)
recordings_app.command("show")(show_recording)
recordings_app.command("export")(export_recording)
recordings_app.command("bundle")(bundle_recordings)
recordings_app.command("trace")(trace_recording)
recordings_app.command("annotate")(annotate_recording)
recordings_app.command("hold")(hold_recordings)
recordings_app.command("release")(release_recordings)
recordings_app.command("holds")(list_holds)
recordings_app.command("delete")(delete_recordings)
recordings_app.command("erase")(erase_person)

storage_app = typer.Typer(no_args_is_help=True, help="How much is stored, and where.")
storage_app.command("usage")(show_usage)

retention_app = typer.Typer(no_args_is_help=True, help="What the retention policy lets go, and when.")
retention_app.command("plan")(plan_retention)
retention_app.command("apply")(apply_retention)

jobs_app = typer.Typer(no_args_is_help=True, help="Background work: what waits, what runs, what has failed.")
jobs_app.command("list")(list_jobs)
jobs_app.command("retry")(retry_job)

audit_app = typer.Typer(no_args_is_help=True, help="Who did what to which recording, and the proof that it is all.")
audit_app.command("list")(list_audit)
audit_app.command("verify")(verify_audit)
audit_app.command("anchor")(write_anchor)
audit_app.command("export")(export_audit)

keys_app = typer.Typer(no_args_is_help=True, help="Keys that sign manifests, and keys that audio is encrypted to.")
keys_app.command("show")(show_keys)
keys_app.command("export")(export_key)
keys_app.command("rotate")(rotate_key)
keys_app.command("rewrap")(rewrap_keys)

report_app = typer.Typer(no_args_is_help=True, help="What was lost and why, how much was recorded, is all there.")
report_app.command("completeness")(report_completeness)
report_app.command("usage")(report_usage)
