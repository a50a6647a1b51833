"""`recorder-admin recordings redact`: silence a stretch of a recording for good."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console

from storage.catalog import Catalog
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.exit_codes import ExitCode
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.presentation import clock, write_json

_CLOCK: Final = re.compile(r"(?:(\d+):)?(?:(\d{1,2}):)?(\d+(?:\.\d+)?)")

_WHY: Final = {
    "legal-hold": ("it is under legal hold", ExitCode.REFUSED),
    "copies": (
        "it has copies or is one, which have the stretch too: split them first, and redact each",
        ExitCode.REFUSED,
    ),
    "pairs": (
        "it may have copies, which have the stretch too: see `copies explain`, split them first (`copies split`), and "
        "redact each",
        ExitCode.REFUSED,
    ),
    "encrypted": (
        "its audio is encrypted, and the recorder has no key to it: export it with --key, keep the redacted form "
        "outside, and delete this one",
        ExitCode.REFUSED,
    ),
    "store": (
        "its audio is not in the store `local`: bring it back first, `storage rebalance --from STORE --to local ID`",
        ExitCode.REFUSED,
    ),
    "format": (
        "only WAV files are silenced to the sample without being made anew: export it, keep the redacted form outside, "
        "and delete this one",
        ExitCode.REFUSED,
    ),
    "outside": ("the stretch or the party is outside of it", ExitCode.USAGE),
    "no-audio": ("it has no audio", ExitCode.NOT_FOUND),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactOptions:
    """Options of the command."""

    reference: str
    start: str
    end: str
    reason: str
    party: int | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


async def run(options: RedactOptions, catalog: Catalog, console: Console, *, by: str) -> ExitCode:
    """Begin the redaction of one recording."""
    recording = await find_recording(catalog, options.reference)
    start_s, end_s = position(options.start), position(options.end)
    recording_id = recording.summary.recording_id
    if start_s >= end_s:
        raise CommandFailed(f"--from {options.start} is not before --to {options.end}", ExitCode.USAGE)
    who = "all parties" if options.party is None else f"party {options.party}"
    what = f"{clock(start_s)} to {clock(end_s)} of {who} in recording {recording_id}"
    if not options.dry_run:
        _confirm(options, what)
        refused = await catalog.redactions.begin(
            recording_id, start_s=start_s, end_s=end_s, party=options.party, reason=options.reason, by=by
        )
        if refused is not None:
            why, code = _WHY.get(refused, (f"it is {refused}", ExitCode.NOT_READY))
            raise CommandFailed(f"recording {recording_id} was not redacted: {why}", code)
    if options.as_json:
        write_json(
            console,
            {
                "id": str(recording_id),
                "from_s": start_s,
                "to_s": end_s,
                "party": options.party,
                "result": "would-redact" if options.dry_run else "redacting",
            },
        )
    elif options.dry_run:
        console.print(f"Would silence {what}, and erase its captures. Nothing was changed.")
    else:
        console.print(f"Silencing {what}; its captures are erased. `recordings show` says when it is done.")
    return ExitCode.OK


def position(text: str) -> float:
    """Return seconds from `83.5`, `1:23.5` or `1:02:03`; `CommandFailed` for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise CommandFailed(f"{text!r} is not a position: write 83.5, 1:23.5 or 1:02:03", ExitCode.USAGE)
    first, second, seconds = match.groups()
    parts = [int(part) for part in (first, second) if part is not None]
    minutes = 0
    for part in parts:
        minutes = minutes * 60 + part
    return minutes * 60 + float(seconds)


def _confirm(options: RedactOptions, what: str) -> None:
    if options.yes:
        return
    if options.as_json or not sys.stdin.isatty():
        raise CommandFailed(f"{what} would be silenced for good: say --yes, or --dry-run", ExitCode.USAGE)
    if not typer.confirm(f"Silence {what} for good, and erase its captures?"):
        raise CommandFailed("nothing was changed", ExitCode.REFUSED)


def redact_recording(
    ctx: typer.Context,
    *,
    reference: Annotated[
        str, typer.Argument(metavar="ID", help="Recording id, the beginning of it, or a record identifier.")
    ],
    start: Annotated[
        str, typer.Option("--from", metavar="POSITION", help="From the beginning: 83.5, 1:23.5, 1:02:03.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="POSITION", help="To here, in the same forms.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; an auditor reads it.")],
    party: Annotated[int | None, typer.Option("--party", min=0, help="Only this party; 0 is left.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Silence a stretch of a recording for good, and erase its captures. Refused on legal hold.

    Example: recorder-admin recordings redact 3f2a91c0 --from 1:23.5 --to 1:31 --party 1 --reason "card number"
    """
    options = RedactOptions(
        reference=reference,
        start=start,
        end=end,
        reason=reason,
        party=party,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console(), by=operator())

    run_command(ctx, as_json=as_json, command=command)
