"""`recorder-admin status`: the processes of the running recorder."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from recorder.admin.context import state_dir_of
from recorder.admin.control import ask
from recorder.errors import NotRunningError
from storage.cli.context import report

_COLUMNS: Final = ("role", "name", "pid", "state", "restarts")


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Show the processes of the running recorder, their states and figures.

    Example: recorder-admin --state-dir /var/lib/tandem-recorder status --json
    """
    state_dir = state_dir_of(ctx)
    try:
        answer = ask(state_dir, "status")
    except NotRunningError as error:
        report(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    _print(answer)


def _print(answer: dict[str, Any]) -> None:
    console = Console()
    sip, http = answer["sip"], answer["http"]
    console.print(
        f"Tandem {answer['version']} on {answer['node']}: {answer['state']} since {answer['started_at']}",
        highlight=False,
    )
    console.print(
        f"SIP {'+'.join(sip['transports'])} {sip['host']}:{sip['port']}"
        f"   HTTP {http['host']}:{http['port'] or 'off'}"
        f"   PostgreSQL {'embedded' if answer['database']['embedded'] else 'external'}"
        f"   state {answer['state_dir']}",
        highlight=False,
    )
    table = Table(*_COLUMNS, "figures", box=None)
    for process in answer["processes"]:
        figures = "  ".join(f"{key} {value}" for key, value in process.items() if key not in _COLUMNS)
        table.add_row(*(str(process[column] if process[column] is not None else "-") for column in _COLUMNS), figures)
    console.print(table)
