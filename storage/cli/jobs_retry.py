"""`recorder-admin jobs retry`: take a job off the dead letter list and queue it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.options import MAX_NUMBER, JsonObject
from storage.cli.presentation import write_json
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsRetryOptions:
    """Options of the command."""

    job_id: int
    as_json: bool = False


async def run(options: JobsRetryOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Queue a dead job again, with all its attempts."""
    if not await catalog.retry_job(options.job_id):
        raise CommandFailed(
            f"no dead job {options.job_id}: `recorder-admin jobs list --state dead` shows them", ExitCode.NOT_FOUND
        )
    if options.as_json:
        write_json(console, {"id": options.job_id, "queued": True})
    else:
        console.print(f"Job {options.job_id} is queued again.")
    return ExitCode.OK


def retry_job(
    ctx: typer.Context,
    job_id: Annotated[int, typer.Argument(metavar="JOB", min=1, max=MAX_NUMBER, help="Number of the job.")],
    as_json: JsonObject = False,
) -> None:
    """Queue a dead job again.

    Example: recorder-admin jobs retry 17
    """
    options = JobsRetryOptions(job_id=job_id, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)
