"""Arguments and options that several commands have, each named and explained in one way; and the one way to ask."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from storage.cli.context import CommandFailed
from storage.exit_codes import ExitCode

Reference = Annotated[
    str, typer.Argument(metavar="ID", help="Recording id, the beginning of it, or a record identifier.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; an auditor reads it.")]
"""Required without a default."""
PrivateKeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="PEM", help="Private key that encrypted audio is decrypted with.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and what not and why.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
JsonObject = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]
JsonArray = Annotated[bool, typer.Option("--json", help="Print a JSON array for scripts.")]
MAX_NUMBER: Final = 2**63 - 1
"""The catalog numbers jobs and holds by bigint."""


def confirm(what: str, *, yes: bool, as_json: bool) -> None:
    """Have a person agree to something that cannot be taken back.

    Args:
        what: what would be done, as the end of "N recordings would be ...".
        yes: whether it was agreed to on the command line.
        as_json: whether a script reads the answer; it cannot be asked.

    Errors: `CommandFailed` with `USAGE` where nobody can be asked, `REFUSED` for a no.

    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise CommandFailed(f"{what}: nobody can be asked here, so say --yes, or --dry-run", ExitCode.USAGE)
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise CommandFailed("nothing was changed", ExitCode.REFUSED)
