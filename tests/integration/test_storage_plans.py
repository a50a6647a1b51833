"""What PostgreSQL does for each call stays the same however many there are, also before it has counted a table."""

from __future__ import annotations

from typing import Final

import pytest

from recorder.curator.copies.seek import Seeker
from recorder.settings import CopySettings
from storage.catalog import Catalog
from tests.integration.storage_samples import opening, rows

pytestmark = pytest.mark.integration

_SESSIONS: Final = 300
_AT_A_TIME: Final = 30
_READ: Final = """
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables
    WHERE seq_tup_read + coalesce(idx_tup_fetch, 0) > $1
"""
_FOR_EACH: Final = 20
"""Rows of one table that may be read for one recording; 11 of `recordings` are, the most."""


async def _open(catalog: Catalog, numbers: range) -> None:
    for number in numbers:
        await catalog.open_segment(opening(f"{number:032d}_2026-11-22_09-30-00"))


async def test_what_is_read_for_a_recording_does_not_grow_with_their_number(catalog: Catalog, catalog_dsn: str) -> None:
    """Statements are planned while tables are empty, and kept; to read all of a table is the best way then."""
    seeker = Seeker(catalog.copies, CopySettings())
    await catalog.acquire_lease()
    async with await Catalog.connect(catalog_dsn, max_size=1) as frontend:
        for number in range(8):  # so often that plans are kept
            await _open(frontend, range(number, number + 1))
            await seeker.seek()
            await catalog.index_pending()
        for first in range(8, _SESSIONS, _AT_A_TIME):
            await _open(frontend, range(first, min(first + _AT_A_TIME, _SESSIONS)))
            await seeker.seek()
            await catalog.index_pending()
    await catalog.close()  # what its connections read is counted at the latest now
    assert [tuple(row) for row in await rows(catalog_dsn, _READ, _FOR_EACH * _SESSIONS)] == []
