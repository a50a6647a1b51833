"""What the curator's chore `seek-copies` does, at once."""

from __future__ import annotations

from recorder.curator.copies.seek import Seeker
from recorder.settings import CopySettings
from storage.catalog import Catalog


async def seek_copies(catalog: Catalog) -> None:
    """Look for recordings of the same call; until then captures stay."""
    await Seeker(catalog.copies, CopySettings()).seek()
