"""The frontend's writes while PostgreSQL is killed and comes back: nothing refused, nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from recorder.ha.durable_catalog import DurableCatalog
from recorder.ha.journal import Journal
from recorder.ha.vault import Vault
from recorder.ha.writes import encode_write
from storage.catalog import Catalog, migrate
from storage.catalog.records import CallFacts, DialogCheckpoint, StreamsChange
from storage.catalog.views import RecordingFilter
from storage.errors import StaleEpoch
from storage.postgres import EmbeddedPostgres
from tests.integration.storage_samples import closing, opening

pytestmark = pytest.mark.integration

VAULT = Vault([b"k" * 32])


@dataclasses.dataclass
class Site:
    server: EmbeddedPostgres
    catalog: Catalog
    journal: Path
    epoch: int

    def durable(self) -> DurableCatalog:
        return DurableCatalog(self.catalog, Journal(self.journal), VAULT, epoch=self.epoch)

    async def kill_database(self) -> None:
        process = self.server.process
        assert process is not None
        process.kill()
        await process.wait()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    try:
        await migrate(server.dsn)
        async with await Catalog.connect(server.dsn, timeout_s=30) as catalog:
            yield Site(server, catalog, tmp_path / "journal", await catalog.acquire_lease(holder="test"))
    finally:
        await server.stop()


async def current(durable: DurableCatalog) -> None:
    """Wait until the catalog has taken everything."""
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        work = group.create_task(durable.run())
        while durable.behind:  # noqa: ASYNC110 - the condition is the replay's own flag
            await asyncio.sleep(0.02)
        work.cancel()


async def test_writes_go_to_the_catalog_while_it_answers(site: Site) -> None:
    durable = site.durable()
    await durable.write(opening("A"))
    assert not durable.behind
    assert not site.journal.exists()
    assert [found.record_identifier for found in await site.catalog.list_recordings(RecordingFilter())] == ["A"]


async def test_a_whole_call_during_the_outage_is_complete_afterwards(site: Site) -> None:
    durable = site.durable()
    await site.kill_database()
    call = opening("B")
    await durable.write(call)
    await durable.write(
        DialogCheckpoint(
            epoch=site.epoch,
            dialog_id=call.dialog_id,
            segment_id=call.segment_id,
            writer="writer-2",
            snapshot=b"later",
        )
    )
    await durable.write(
        StreamsChange(
            epoch=site.epoch, segment_id=call.segment_id, streams=call.streams, call=CallFacts(agent_id="agent-7")
        )
    )
    await durable.write(closing(call))
    assert durable.behind
    assert durable.able

    await site.server.start()
    await current(durable)
    (found,) = await site.catalog.list_recordings(RecordingFilter())
    assert (found.record_identifier, found.state) == ("B", "finalising")
    assert not site.journal.exists()
    assert await site.catalog.claim_job("curator") is not None


async def test_a_call_across_the_outage_keeps_its_order(site: Site) -> None:
    durable = site.durable()
    call = opening("C")
    await durable.write(call)
    await site.kill_database()
    await durable.write(closing(call))
    await site.server.start()
    await current(durable)
    (found,) = await site.catalog.list_recordings(RecordingFilter())
    assert found.state == "finalising"


async def test_many_calls_at_once_are_all_journaled(site: Site) -> None:
    durable = site.durable()
    await site.kill_database()
    await asyncio.gather(*(durable.write(opening(f"D{number}")) for number in range(40)))
    await site.server.start()
    await current(durable)
    found = await site.catalog.list_recordings(RecordingFilter())
    assert {one.record_identifier for one in found} == {f"D{number}" for number in range(40)}


async def test_a_successor_takes_over_the_journal_of_a_dead_frontend(site: Site) -> None:
    before = site.durable()
    await site.kill_database()
    await before.write(opening("E"))
    await site.server.start()

    site.epoch = await site.catalog.acquire_lease(holder="successor")
    successor = site.durable()
    await successor.catch_up()
    assert not successor.behind
    (found,) = await site.catalog.list_recordings(RecordingFilter())
    assert (found.record_identifier, found.state) == ("E", "recording")


async def test_a_frontend_that_lost_the_lease_can_write_nothing(site: Site) -> None:
    old = site.durable()
    await site.catalog.acquire_lease(holder="other")
    with pytest.raises(StaleEpoch):
        await old.write(opening("F"))
    assert await site.catalog.list_recordings(RecordingFilter()) == []


async def test_no_promise_is_possible_without_catalog_and_journal(site: Site) -> None:
    site.journal = site.journal.parent / "absent" / "journal"
    durable = site.durable()
    await site.kill_database()
    with pytest.raises(FileNotFoundError):
        await durable.write(opening("G"))
    assert not durable.able


async def test_an_unreadable_journal_is_set_aside_and_the_frontend_goes_on(site: Site) -> None:
    """With and without PostgreSQL: a process that ended over it would be followed by one that ends over it too."""
    site.journal.mkdir()
    durable = site.durable()
    await durable.catch_up()
    await durable.write(opening("U1"))
    assert not durable.behind
    site.journal.mkdir()
    await site.kill_database()
    durable = site.durable()
    assert await durable.go_on_without_catalog([]) == []
    assert durable.able
    await durable.write(opening("U2"))
    await site.server.start()
    await current(durable)
    rows = await site.catalog.list_recordings(RecordingFilter())
    assert {found.record_identifier for found in rows} == {"U1", "U2"}
    assert [path.is_dir() for path in site.journal.parent.glob("journal.unreadable-*")] == [True, True]


async def test_what_a_dead_frontend_told_of_last_is_written_before_what_it_journaled(site: Site) -> None:
    """It died before it knew that the catalog did not take it; a later state of the same dialog is in the journal."""
    dead = site.durable()
    begun = opening("TOLD")
    await site.kill_database()
    later = DialogCheckpoint(
        epoch=site.epoch,
        dialog_id=begun.dialog_id,
        segment_id=begun.segment_id,
        writer="writer-2",
        snapshot=b"later",
    )
    await dead.write(later)
    successor = site.durable()
    (journaled,) = await successor.go_on_without_catalog([encode_write(begun), *dead._pending])
    assert isinstance(journaled, DialogCheckpoint)
    # It dies as well, after it has answered by what it was told.
    successor = site.durable()
    await site.server.start()
    await successor.catch_up()
    (found,) = await site.catalog.list_recordings(RecordingFilter())
    assert found.record_identifier == "TOLD"
    (dialog,) = await site.catalog.load_dialogs()
    assert successor.unsealed(dialog).snapshot == b"later"


async def test_of_two_states_of_a_dialog_the_later_one_counts_in_whatever_order_they_are_journaled(site: Site) -> None:
    """Two flows write one dialog; the catalog is found away by the earlier write after the later one."""
    durable = site.durable()
    begun = opening("ORDER")
    await durable.write(begun)
    await site.kill_database()
    for number in (2, 1):
        await durable.write(
            DialogCheckpoint(
                epoch=site.epoch,
                dialog_id=begun.dialog_id,
                segment_id=begun.segment_id,
                writer="writer-1",
                snapshot=b"%d" % number,
                made=(site.epoch, number),
            )
        )
    await site.server.start()
    await current(durable)
    (dialog,) = await site.catalog.load_dialogs()
    assert durable.unsealed(dialog).snapshot == b"2"
