"""`recorder-admin jobs list`: background work that waits, runs, or has failed for good."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.cli.context import CliContext, make_console, run_command
from storage.cli.options import JsonArray
from storage.cli.presentation import age, job_json, or_dash, write_json
from storage.exit_codes import ExitCode

PATIENT: Final = 1_000_000
"""Attempts of jobs that are never given up."""


class JobState(enum.StrEnum):
    """States of a job; a finished one is gone."""

    QUEUED = "queued"
    RUNNING = "running"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsListOptions:
    """Options of the command."""

    state: JobState | None = None
    limit: int = 1000
    as_json: bool = False


async def run(options: JobsListOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Print jobs, oldest first."""
    jobs = await catalog.list_jobs(state=options.state.value if options.state else None, limit=options.limit)
    if options.as_json:
        write_json(console, [job_json(job) for job in jobs])
        return ExitCode.OK
    if not jobs:
        console.print("No job matches.")
        return ExitCode.OK
    columns = ("job", "kind", "subject", "state", "age", "runs for", "due in", "attempts", "worker", "last error")
    table = Table(*columns, box=None)
    for job in jobs:
        subject = job.payload.get("recording_id")
        table.add_row(
            str(job.job_id),
            or_dash(job.kind),
            or_dash(subject),
            job.state,
            age(job.age_s),
            age(job.running_s),
            age(job.due_in_s),
            f"{job.attempts} of {job.max_attempts}" if job.max_attempts < PATIENT else str(job.attempts),
            or_dash(job.locked_by),
            or_dash(job.last_error),
        )
    console.print(table)
    return ExitCode.OK


def list_jobs(
    ctx: typer.Context,
    state: Annotated[JobState | None, typer.Option("--state", help="Only this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, the oldest.")] = 1000,
    as_json: JsonArray = False,
) -> None:
    """List background jobs: queued, running, and dead (those need a look).

    Example: recorder-admin jobs list --state dead
    """
    options = JobsListOptions(state=state, limit=limit, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)
