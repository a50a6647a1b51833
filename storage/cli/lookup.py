"""Finds the one recording that a command names, or says why it cannot."""

from __future__ import annotations

from storage.catalog import Catalog
from storage.catalog.views import Ambiguous, RecordingDetail
from storage.cli.context import CommandFailed
from storage.cli.presentation import printable
from storage.exit_codes import ExitCode


async def find_recording(catalog: Catalog, reference: str) -> RecordingDetail:
    """Return the recording, or raise `CommandFailed` with `NOT_FOUND` or (several fit) `USAGE`."""
    found = await catalog.get_recording(reference)
    if found is None:
        raise CommandFailed(
            f"no recording {printable(reference)}: `recorder-admin recordings list` shows ids; "
            "the first characters of an id are enough, at least four",
            ExitCode.NOT_FOUND,
        )
    if isinstance(found, Ambiguous):
        candidates = ", ".join(candidate.hex[:12] for candidate in found.candidates)
        raise CommandFailed(f"{printable(reference)} fits several recordings: {candidates}", ExitCode.USAGE)
    return found
