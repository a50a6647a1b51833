"""What becomes of beginnings and ends of sessions that neither catalog nor journal has taken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from unittest.mock import AsyncMock

import pytest

from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.feed import Feed
from recorder.ha.journal import Journal
from recorder.ha.vault import Vault
from recorder.ha.writes import decode_write
from storage.catalog import Catalog
from storage.catalog.records import SegmentClosing, SegmentOpening
from storage.errors import CatalogUnreachable
from tests.integration.storage_samples import closing, opening


async def test_a_session_that_was_refused_is_restored_by_nobody(tmp_path: Path) -> None:
    """Its client was told 503: to go on with it would record what nobody sends, and tell people of it."""
    catalog = AsyncMock(spec=Catalog)
    catalog.open_segment.side_effect = CatalogUnreachable("away")
    feed = Feed("host-a", epoch=1, wall_clock=lambda: datetime.now(UTC))
    durable = DurableCatalog(
        cast("Catalog", catalog), Journal(tmp_path / "nowhere" / "journal"), Vault([b"k" * 32]), epoch=1, standbys=feed
    )
    with pytest.raises(OSError, match="No such file"):
        await durable.write(opening())
    (dialog,) = feed.replica.dialogs()
    assert dialog.ended_at
    told = [decode_write(record) for record in feed.replica.pending]
    assert [type(one) for one in told] == [SegmentOpening, SegmentClosing]


async def test_an_end_that_nothing_took_is_told_the_catalog_when_it_answers(tmp_path: Path) -> None:
    """The session is over, whatever its client was answered: its recording must not wait for the next restart."""
    catalog = AsyncMock(spec=Catalog)
    catalog.sites = AsyncMock()
    catalog.close_segment.side_effect = CatalogUnreachable("away")
    durable = DurableCatalog(
        cast("Catalog", catalog), Journal(tmp_path / "nowhere" / "journal"), Vault([b"k" * 32]), epoch=1
    )
    with pytest.raises(OSError, match="No such file"):
        await durable.write(closing(opening()))
    catalog.close_segment.side_effect = None
    catalog.close_segment.reset_mock()
    await durable._replay()
    catalog.close_segment.assert_awaited_once()
    assert not durable.behind


async def test_what_is_journaled_while_such_an_end_is_told_is_replayed_as_well(tmp_path: Path) -> None:
    """To call the catalog complete without it would let the journal forget the only copy."""
    catalog = AsyncMock(spec=Catalog)
    catalog.sites = AsyncMock()
    catalog.close_segment.side_effect = CatalogUnreachable("away")
    (tmp_path / "disk").touch()
    durable = DurableCatalog(
        cast("Catalog", catalog), Journal(tmp_path / "disk" / "journal"), Vault([b"k" * 32]), epoch=1
    )
    with pytest.raises(OSError, match="Not a directory"):
        await durable.write(closing(opening()))
    (tmp_path / "disk").unlink()
    (tmp_path / "disk").mkdir()

    async def comes_meanwhile(_: SegmentClosing) -> None:
        await durable.write(opening("B"))

    catalog.close_segment.side_effect = comes_meanwhile
    await durable._replay()
    catalog.open_segment.assert_awaited_once()
    assert Journal(tmp_path / "disk" / "journal").read() == []
    assert not durable.behind
