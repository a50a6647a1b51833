"""`recorder-admin recordings redact`: silence a stretch of a call for good, in everything that holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress

from media.healing import Stretch
from recorder.depot import ENCRYPTED
from recorder.redaction import RedactionPlan, Redactor, plan_redaction
from storage.catalog import Catalog
from storage.catalog.holds import checked_reason
from storage.catalog.records import RecordingState, Role
from storage.catalog.redactions import FamilyMember, Refusal, WantedStretch
from storage.cli.audio_source import ask_passphrase
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.lookup import find_recording
from storage.cli.operator import operator
from storage.cli.options import DryRun, JsonObject, PrivateKeyFile, Reason, Reference, Yes, confirm
from storage.cli.presentation import clock, printable, write_json
from storage.cli.times import parse_position
from storage.encryption import Envelope, PrivateKey, load_private_key
from storage.errors import IntegrityBroken, StoreForbidden, StoreUnreachable
from storage.exit_codes import ExitCode
from storage.files import FileStore

_WHY: Final = {
    "legal-hold": ("it is under legal hold: see `recordings holds`; release it first", ExitCode.REFUSED),
    "pairs": (
        "it may have copies that nobody has decided about, which would have the stretch too: see `copies explain`, and "
        "say what they are with `copies merge` or `copies split`",
        ExitCode.REFUSED,
    ),
    "failed": (
        "it could not be rendered, and its captures may hold the stretch: see `jobs list`, retry its job, or delete it",
        ExitCode.NOT_READY,
    ),
    "changed": ("its copies have just changed: repeat the command", ExitCode.NOT_READY),
}
_ROLE: Final = {
    Role.RECORDING: "recording",
    Role.COPY: "copy",
    Role.MASTER: "healed master",
    Role.WITHDRAWN: "withdrawn master",
}
_LOSSY: Final = "ogg-opus"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactOptions:
    """Options of the command."""

    reference: str
    start: str
    end: str
    reason: str
    party: int | None = None
    key: Path | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


class Redaction:
    """One run of the command."""

    def __init__(self, catalog: Catalog, context: CliContext, console: Console, *, by: str) -> None:
        self._catalog = catalog
        self._context = context
        self._console = console
        self._by = by

    async def run(self, options: RedactOptions) -> ExitCode:
        """Begin the redaction of a recording and of all that has the same sound; do here what needs a key."""
        start_s, end_s = parse_position(options.start), parse_position(options.end)
        if start_s >= end_s:
            raise CommandFailed(f"--from {options.start} is not before --to {options.end}", ExitCode.USAGE)
        checked_reason(options.reason)
        recording = await find_recording(self._catalog, options.reference)
        recording_id = recording.summary.recording_id
        family = await self._catalog.redactions.family(recording_id)
        asked = Stretch(options.party, start_s, end_s)
        _check(recording.summary.state, family, asked, options.reference)
        links = await self._catalog.redactions.links([member.recording_id for member in family])
        plan = plan_redaction(recording_id, asked, family, links)
        _check_placed(plan)
        touched = [member for member in family if plan.of(member.recording_id)]
        locked = [member for member in touched if _is_encrypted(member)]
        key = await self._key(locked, options)
        if not options.dry_run:
            what = f"{_span(asked)} of {_names(touched)} would be silenced for good, and their captures erased"
            confirm(what, yes=options.yes, as_json=options.as_json)
            refusal = await self._catalog.redactions.begin(
                recording_id,
                plan.stretches,
                family=[member.recording_id for member in family],
                reason=options.reason,
                by=self._by,
            )
            if refusal is not None:
                raise _refused(refusal)
        done = await self._redact(locked, key, quiet=options.as_json) if key and not options.dry_run else set()
        self._tell(options, asked, plan, touched, done)
        return ExitCode.OK

    async def _key(self, locked: Sequence[FamilyMember], options: RedactOptions) -> PrivateKey | None:
        """Return the key that opens all encrypted audio that is meant; found out before anything is changed."""
        if not locked or (options.dry_run and options.key is None):
            return None
        wrapped = [await self._envelope(member) for member in locked]
        if options.key is None:
            names = ", ".join(f"{one.name} ({one.key})" for one in wrapped[0].recipients)
            raise CommandFailed(
                f"{_names(locked)}: encrypted to {names}, and the recorder has no key to it: give one of these private "
                "keys with --key",
                ExitCode.REFUSED,
            )
        key = await asyncio.to_thread(load_private_key, options.key, ask_passphrase)
        for envelope, member in zip(wrapped, locked, strict=True):
            envelope.open(key)
            if member.file is not None:
                self._context.store(member.file.store)
        return key

    async def _envelope(self, member: FamilyMember) -> Envelope:
        row = None if member.file is None else await self._catalog.files.envelope(member.file.sha256)
        if row is None:
            raise IntegrityBroken(f"{member.recording_id} is encrypted, but the catalog has lost its keys")
        return Envelope.decode(row.keys, name=f"keys of {member.recording_id}")

    async def _redact(self, locked: Sequence[FamilyMember], key: PrivateKey, *, quiet: bool) -> set[UUID]:
        """Do here what no curator can do; returns where also the former file is gone already."""
        name, root = next(iter(self._context.roots.items()))
        redactor = Redactor(self._catalog, self._context.store, FileStore(root, name=name))
        done: set[UUID] = set()
        console = Console(stderr=True)
        with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
            for member in progress.track(locked, description="Encrypted audio"):
                try:
                    await redactor.redact(member.recording_id, key=key)
                except (StoreForbidden, StoreUnreachable):
                    if any(not one.silenced for one in await self._catalog.redactions.pending(member.recording_id)):
                        raise
                    continue  # the store keeps the former file for a time: a job erases it then
                done.add(member.recording_id)
        return done

    def _tell(
        self,
        options: RedactOptions,
        asked: Stretch,
        plan: RedactionPlan,
        touched: Sequence[FamilyMember],
        done: Set[UUID],
    ) -> None:
        if options.as_json:
            facts = {
                "id": str(touched[0].recording_id),
                "from_s": asked.start_s,
                "to_s": asked.end_s,
                "party": asked.party,
                "result": "would-redact" if options.dry_run else "redacting",
                "recordings": [_facts(member, plan, options, done=member.recording_id in done) for member in touched],
            }
            write_json(self._console, facts)
            return
        self._console.print("Would silence:" if options.dry_run else "Silencing:")
        for member in touched:
            self._console.print(f"  {_line(member, plan)}", soft_wrap=True)
        if options.dry_run:
            self._console.print("Captures of these would be erased. Nothing was changed.")
            if options.key is None and any(_is_encrypted(member) for member in touched):
                self._console.print("Encrypted audio needs --key.")
        else:
            self._console.print("Captures of these are erased. `recordings show` says when it is done.")


def _check(state: RecordingState, family: Sequence[FamilyMember], asked: Stretch, reference: str) -> None:
    """Refuse what cannot be meant."""
    who = printable(reference)
    if state in (RecordingState.RECORDING, RecordingState.FINALISING):
        raise CommandFailed(f"recording {who} is {state}: repeat this when it is finished", ExitCode.NOT_READY)
    if state is RecordingState.FAILED:
        why, code = _WHY["failed"]
        raise CommandFailed(f"recording {who} was not redacted: {why}", code)
    file = family[0].file if family else None
    if file is None:
        raise CommandFailed(f"recording {who} has no audio ({state})", ExitCode.NOT_FOUND)
    length_s = file.frames / file.sample_rate
    if asked.start_s >= length_s:
        raise CommandFailed(f"recording {who} is {clock(length_s)} long: nothing there to silence", ExitCode.USAGE)
    if asked.party is not None and asked.party >= file.channels:
        raise CommandFailed(f"recording {who} has parties 0 to {file.channels - 1}", ExitCode.USAGE)


def _check_placed(plan: RedactionPlan) -> None:
    if plan.unplaced:
        raise CommandFailed(
            f"nothing was redacted: {_names(plan.unplaced)} has the same sound, and nothing shows where the stretch "
            "lies in it: `copies split` them, listen, and redact each",
            ExitCode.REFUSED,
        )


def _refused(refusal: Refusal) -> CommandFailed:
    why, code = _WHY.get(refusal.reason, (f"it is {refusal.reason}", ExitCode.NOT_READY))
    return CommandFailed(f"nothing was redacted: recording {refusal.recording_id}: {why}", code)


def _is_encrypted(member: FamilyMember) -> bool:
    return member.file is not None and member.file.path.endswith(ENCRYPTED)


def _names(members: Sequence[FamilyMember]) -> str:
    return ", ".join(f"{_ROLE[member.role]} {str(member.recording_id)[:8]}" for member in members)


def _span(one: Stretch | WantedStretch) -> str:
    who = "all parties" if one.party is None else f"party {one.party}"
    return f"{clock(one.start_s)} to {clock(one.end_s)} of {who}"


def _line(member: FamilyMember, plan: RedactionPlan) -> str:
    stretches = "; ".join(_span(one) for one in plan.of(member.recording_id))
    file = member.file
    form = "" if file is None else f"{file.format}{', encrypted' if _is_encrypted(member) else ''} in {file.store}"
    again = " (lossy: encoded anew)" if file is not None and file.format == _LOSSY else ""
    return f"{_names([member])} {printable(member.record_identifier)}: {stretches}; {form}{again}"


def _facts(member: FamilyMember, plan: RedactionPlan, options: RedactOptions, *, done: bool) -> dict[str, Any]:
    file = member.file
    return {
        "id": str(member.recording_id),
        "identifier": member.record_identifier,
        "role": member.role.value,
        "stretches": [
            {"party": one.party, "from_s": one.start_s, "to_s": one.end_s} for one in plan.of(member.recording_id)
        ],
        "format": None if file is None else file.format,
        "store": None if file is None else file.store,
        "encrypted": _is_encrypted(member),
        "captures_kept": member.captures_kept and options.dry_run,
        "done": done,
    }


def redact_recording(
    ctx: typer.Context,
    *,
    reference: Reference,
    start: Annotated[
        str, typer.Option("--from", metavar="POSITION", help="From the beginning: 83.5, 90s, 1:23.5, 1:02:03.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="POSITION", help="To here, in the same forms.")],
    reason: Reason,
    party: Annotated[int | None, typer.Option("--party", min=0, help="Only this party; 0 is left.")] = None,
    key: PrivateKeyFile = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonObject = False,
) -> None:
    """Silence a stretch of a call for good, in all its copies, and erase their captures. Refused on legal hold.

    Example: recorder-admin recordings redact 3f2a91c0 --from 1:23.5 --to 1:31 --party 1 --reason "card number"
    """
    options = RedactOptions(
        reference=reference,
        start=start,
        end=end,
        reason=reason,
        party=party,
        key=key,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )

    async def command(catalog: Catalog, context: CliContext) -> ExitCode:
        return await Redaction(catalog, context, make_console(), by=operator()).run(options)

    run_command(ctx, as_json=as_json, command=command)
