"""`recorder-admin copies`: which recordings are copies of one call, why, and what an operator says about it.

One module per command. The rules are in `recorder.pairing` and docs/copies.md; what people decide is remembered by the
catalog, and no comparison overrides it.
"""

from __future__ import annotations

import typer

from recorder.admin.copies.explain import explain_copies
from recorder.admin.copies.listing import list_copies
from recorder.admin.copies.merge import merge_copies
from recorder.admin.copies.split import split_copies

app = typer.Typer(no_args_is_help=True, help="Recordings of one call under different record identifiers.")
app.command("list")(list_copies)
app.command("explain")(explain_copies)
app.command("split")(split_copies)
app.command("merge")(merge_copies)

__all__ = ["app"]
