"""The commands that need nothing of `recorder`: one module for each, which is loaded when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage.cli.on_demand import Group

GROUPS: Final[Mapping[str, Group]] = {
    "recordings": Group(
        "Find, explain, export, hold and delete recordings.",
        {
            "list": "storage.cli.recordings_list:list_recordings",
            "show": "storage.cli.recordings_show:show_recording",
            "export": "storage.cli.recordings_export:export_recording",
            "bundle": "storage.cli.recordings_bundle:bundle_recordings",
            "trace": "storage.cli.recordings_trace:trace_recording",
            "annotate": "storage.cli.recordings_annotate:annotate_recording",
            "hold": "storage.cli.recordings_hold:hold_recordings",
            "release": "storage.cli.recordings_release:release_recordings",
            "holds": "storage.cli.recordings_holds:list_holds",
            "delete": "storage.cli.recordings_delete:delete_recordings",
            "erase": "storage.cli.recordings_erase:erase_person",
        },
    ),
    "jobs": Group(
        "Background work: what waits, what runs, what has failed.",
        {
            "list": "storage.cli.jobs_list:list_jobs",
            "retry": "storage.cli.jobs_retry:retry_job",
        },
    ),
    "audit": Group(
        "Who did what to which recording, and the proof that it is all.",
        {
            "list": "storage.cli.audit_list:list_audit",
            "verify": "storage.cli.audit_verify:verify_audit",
            "anchor": "storage.cli.audit_anchor:write_anchor",
            "export": "storage.cli.audit_anchor:export_audit",
        },
    ),
    "keys": Group(
        "Keys that sign manifests, and keys that audio is encrypted to.",
        {
            "show": "storage.cli.keys:show_keys",
            "export": "storage.cli.keys:export_key",
            "rotate": "storage.cli.keys:rotate_key",
            "rewrap": "storage.cli.keys:rewrap_keys",
        },
    ),
    "report": Group(
        "What was lost and why, how much was recorded, is all there.",
        {
            "completeness": "storage.cli.report_completeness:report_completeness",
            "usage": "storage.cli.report_usage:report_usage",
        },
    ),
    "retention": Group(
        "What the retention policy lets go, and when.",
        {
            "plan": "storage.cli.retention_plan:plan_retention",
            "apply": "storage.cli.retention_plan:apply_retention",
        },
    ),
    "storage": Group("How much is stored, and where.", {"usage": "storage.cli.storage_usage:show_usage"}),
}

ALONE: Final = {
    "segments": "storage.cli.segments:show_segments",
    "verify": "storage.cli.verify:verify_recordings",
}
"""Of no group."""
