"""`recorder-admin writers list|drain|undrain`: the writer pool."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from recorder.admin.asking import ask_recorder
from storage.cli.context import make_console
from storage.cli.options import JsonArray, JsonObject

WriterName = Annotated[str, typer.Argument(metavar="WRITER", help="Name of the writer, as `writers list` shows it.")]


def list_writers(ctx: typer.Context, as_json: JsonArray = False) -> None:
    """Show the writers with their sessions and ports.

    Example: recorder-admin writers list --json
    """
    writers = [one for one in ask_recorder(ctx, "status", as_json=as_json)["processes"] if one["role"] == "writer"]
    if as_json:
        print(json.dumps(writers))
        return
    table = Table("name", "pid", "state", "restarts", "figures", box=None)
    for one in writers:
        figures = "  ".join(
            f"{key} {value}" for key, value in one.items() if key not in {"role", "name", "pid", "state", "restarts"}
        )
        table.add_row(one["name"], str(one["pid"]), one["state"], str(one["restarts"]), figures)
    make_console().print(table)


def drain(ctx: typer.Context, writer: WriterName, as_json: JsonObject = False) -> None:
    """Give a writer no new session and move its live ones to other writers by re-INVITE; nothing is lost.

    On the active host of a site the writers of the others as well, by HOST/WRITER; until another host becomes active.

    Example: recorder-admin writers drain writer-1
    """
    answer = ask_recorder(ctx, "drain-writer", as_json=as_json, writer=writer, draining=True)
    print(json.dumps(answer) if as_json else f"{writer} is being drained; `writers list` shows how far")


def undrain(ctx: typer.Context, writer: WriterName, as_json: JsonObject = False) -> None:
    """Use a drained writer again.

    Example: recorder-admin writers undrain writer-1
    """
    answer = ask_recorder(ctx, "drain-writer", as_json=as_json, writer=writer, draining=False)
    print(json.dumps(answer) if as_json else f"{writer} takes new sessions again")
