"""The typer app of `recorder-admin captures`."""

from __future__ import annotations

import typer

from recorder.admin.captures.adopt import adopt_captures, salvage_captures
from recorder.admin.captures.listing import list_captures, verify_captures

app = typer.Typer(no_args_is_help=True, help="What writers left on disk: list, verify, and take back into the catalog.")
app.command("list")(list_captures)
app.command("verify")(verify_captures)
app.command("salvage")(salvage_captures)
app.command("adopt")(adopt_captures)
