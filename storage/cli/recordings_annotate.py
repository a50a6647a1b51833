"""`recorder-admin recordings annotate`: add what was learnt later; what was received stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.options import JsonObject, Reason, Reference
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode

NAME_LIMIT: Final = 64
VALUE_LIMIT: Final = 4000
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateOptions:
    """Options of the command, as typed."""

    reference: str
    pairs: tuple[str, ...]
    reason: str = ""
    as_json: bool = False


async def run(options: AnnotateOptions, catalog: Catalog, console: Console, *, by: str) -> ExitCode:
    """Add the annotations; they are found by `recordings list --where` at once."""
    pairs = [_pair(text) for text in options.pairs]
    recording = await find_recording(catalog, options.reference)
    recording_id = recording.summary.recording_id
    added = await catalog.annotate(recording_id, pairs, by=by, reason=options.reason)
    if options.as_json:
        write_json(console, {"id": str(recording_id), "added": added, "annotations": dict(pairs)})
    else:
        names = ", ".join(printable(name) for name, _ in pairs)
        console.print(f"{recording_id}: {added} of {len(pairs)} added ({names})", soft_wrap=True)
    return ExitCode.OK


def annotate_recording(
    ctx: typer.Context,
    *,
    reference: Reference,
    pairs: Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="What to add.")],
    reason: Reason = "",
    as_json: JsonObject = False,
) -> None:
    """Add metadata to a recording, with who and when. Nothing that was received, or annotated before, is changed.

    Example: recorder-admin recordings annotate 3f2a91c0 case=4711 customer="Doe, Jane" --reason "ticket 12"
    """
    options = AnnotateOptions(reference=reference, pairs=tuple(pairs), reason=reason, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), by=operator())

    run_command(ctx, as_json=as_json, command=command)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not (name and equals and value):
        raise CommandFailed(f"{text!r} is not NAME=VALUE", ExitCode.USAGE)
    for what, given, limit in (("name", name, NAME_LIMIT), ("value", value, VALUE_LIMIT)):
        if len(given) > limit:
            raise CommandFailed(f"the {what} of {name[:40]!r} is longer than {limit} characters", ExitCode.USAGE)
    return name, value
