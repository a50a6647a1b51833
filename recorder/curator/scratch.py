"""Files that never get a name: what sounds are read from while work with them goes on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from storage.files import FileStore

_ABANDONED_S: Final = 6 * 3600.0


class ScratchSweeper:
    """Removes scratch files whose curator died before they lost their names."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def sweep(self) -> None:
        """Remove what is older than any job takes."""
        now = datetime.now(UTC).timestamp()
        await asyncio.to_thread(self._store.discard_unfinished, older_than_s=_ABANDONED_S, now=now)
