"""What `split` and `merge` have in common: an operator rules about pairs, and it is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rich.console import Console

from recorder.admin.copies.explain import facts_of
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyPair, CopyState, RecordingFacts
from storage.catalog.holds import checked_reason
from storage.catalog.records import Role
from storage.cli.context import CommandFailed
from storage.cli.operator import operator
from storage.cli.presentation import printable, write_json
from storage.exit_codes import ExitCode

ACTIONS = {CopyState.REJECTED: "copies-split", CopyState.CONFIRMED: "copies-merge"}


async def own_recording(catalog: Catalog, reference: str) -> RecordingFacts:
    """Return the recording that a command names; one that was made from others cannot be named here."""
    facts = await facts_of(catalog, reference)
    standing = await catalog.copies.standing(facts.recording_id)
    if standing is not None and standing.role in (Role.MASTER, Role.WITHDRAWN):
        copies = ", ".join(str(copy)[:8] for copy in standing.copies) or "none any more"
        raise CommandFailed(
            f"{printable(reference)} is a healed master: name its copies ({copies}) instead", ExitCode.USAGE
        )
    return facts


async def pairs_with(catalog: Catalog, recording_id: UUID) -> list[CopyPair]:
    """Return all pairs of the group of a recording."""
    groups = await catalog.copies.groups(limit=1, rejected=True, recording_id=recording_id)
    return [pair for group in groups for pair in group.pairs]


async def rule(
    catalog: Catalog,
    console: Console,
    pairs: Sequence[tuple[UUID, UUID]],
    state: CopyState,
    reason: str,
    *,
    sentence: str,
    dry_run: bool,
    as_json: bool,
) -> ExitCode:
    """Record a ruling with its audit entry, or say what it would be."""
    checked_reason(reason)
    group: UUID | None = None
    if not dry_run:
        group = await catalog.copies.rule(pairs, state, reason.strip(), by=operator(), action=ACTIONS[state])
    if as_json:
        facts: dict[str, Any] = {
            "pairs": [[str(one), str(other)] for one, other in pairs],
            "state": state.value,
            "reason": reason.strip(),
            "group": str(group) if group else None,
            "done": not dry_run,
        }
        write_json(console, facts)
    else:
        console.print(f"{'would be: ' if dry_run else ''}{sentence}", soft_wrap=True)
    return ExitCode.OK
