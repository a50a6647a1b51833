"""The frontend's writes, durable whether or not PostgreSQL answers.

While it answers, a write returns when PostgreSQL has committed it. While it does not, the write goes to the local
journal, and so does every later one, in order, until the catalog has taken them all. The catalog's writes may be
repeated, so a write whose outcome nobody knows is simply journaled too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from recorder.ha.journal import Journal
from recorder.ha.replica import KeptDialog
from recorder.ha.vault import Vault
from recorder.ha.writes import Write, decode_write, encode_write
from storage.catalog import Catalog
from storage.catalog.records import (
    FRONTEND_LEASE,
    DialogCheckpoint,
    MetadataRevision,
    PeerCapability,
    SegmentClosing,
    SegmentOpening,
    StoredDialog,
    StreamsChange,
)
from storage.errors import CatalogUnreachable, StaleEpoch, StorageError, StorageMisused

_log = structlog.get_logger()

_RETRY_S: Final = 0.5
"""Between two attempts to reach the catalog again."""
Sealed = TypeVar("Sealed", bound=StoredDialog | KeptDialog | DialogCheckpoint)


class Standbys(Protocol):
    """Whoever follows the writes, to go on with them while nobody answers for the catalog."""

    def publish(self, write: Write, *, pending: bool) -> None:
        """Tell them of a write before the promise that needs it; `pending`: the catalog has not taken it."""

    def taken(self, write: Write) -> None:
        """Take note that the catalog was asked for a write and has it, or refuses it, or that it is pending now."""

    def caught_up(self) -> None:
        """Tell them that the catalog has taken everything."""


class DurableCatalog:
    """Writes of the active frontend. Call `catch_up` once before the first write, and keep `run` running.

    Args:
        catalog: the catalog, whether or not it answers now.
        journal: of this host.
        vault: seals what is kept of dialogs, also at standbys.
        epoch: of the lease.
        standbys: told of every write.
        lease: name of the lease.
        fresh_since: a journaled state of a dialog that is of an epoch before this one is stale: another host has had
            the dialog since.

    """

    def __init__(
        self,
        catalog: Catalog,
        journal: Journal,
        vault: Vault,
        *,
        epoch: int,
        standbys: Standbys | None = None,
        lease: str = FRONTEND_LEASE,
        fresh_since: int = 0,
    ) -> None:
        self.epoch = epoch
        self.lease = lease
        self.behind = False
        """True while the journal holds writes that the catalog has not taken."""
        self.journal_failed = False
        """True after the journal's disk refused; no promise can be made while `behind` is true as well."""
        self._catalog = catalog
        self._journal = journal
        self._vault = vault
        self._pending: list[bytes] = []
        self._standbys = standbys
        self._fresh_since = fresh_since
        self._withdrawn: list[SegmentClosing] = []
        """Ends of sessions that the catalog may know of and the journal does not: some of them were never promised."""
        self._apply: dict[type[Write], Callable[[Any], Awaitable[object]]] = {
            SegmentOpening: catalog.open_segment,
            DialogCheckpoint: catalog.save_dialog,
            StreamsChange: catalog.change_streams,
            SegmentClosing: catalog.close_segment,
            MetadataRevision: catalog.add_metadata,
            PeerCapability: catalog.learn_capability,
        }

    @property
    def able(self) -> bool:
        """Whether a checkpoint can be made durable now."""
        return not (self.behind and self.journal_failed)

    async def write(self, write: Write) -> None:
        """Return when the write is durable, in the catalog or in the journal.

        Raises:
            StaleEpoch: another frontend has the lease; stop at once.
            OSError: neither takes it.

        """
        write = self._made_ours(write)
        if self._standbys:
            self._standbys.publish(write, pending=self.behind)
        if not self.behind:
            try:
                await self._apply[type(write)](write)
            except CatalogUnreachable as error:
                if not self.behind:
                    _log.error("catalog unreachable: writing to the local journal", reason=str(error))
                self.behind = True
                if self._standbys:
                    self._standbys.publish(write, pending=True)
            else:
                return
            finally:
                if self._standbys:
                    self._standbys.taken(write)
        record = encode_write(write)
        # In the list before the first await, so that the replay keeps the order of the calls.
        self._pending.append(record)
        try:
            await self._journal.append(record)
        except OSError as error:
            _log.critical("journal refused a checkpoint", reason=str(error))
            self.journal_failed = True
            self._withdraw(write, record)
            raise
        self.journal_failed = False

    def _withdraw(self, write: Write, record: bytes) -> None:
        """Forget a write that is not durable, as whoever asked is told: it must not turn up in the catalog later.

        The catalog may have got it all the same, and only its answer was lost. A session is then closed. One that has
        ended has ended, also where its client got no 200.
        """
        self._pending[:] = [kept for kept in self._pending if kept is not record]
        if isinstance(write, SegmentClosing):
            self._withdrawn.append(write)
        if isinstance(write, SegmentOpening):
            closing = SegmentClosing(
                epoch=self.epoch,
                lease=self.lease,
                segment_id=write.segment_id,
                closed_at=write.opened_at,
                cause="refused",
                interrupted=True,
            )
            self._withdrawn.append(closing)
            if self._standbys:
                # They were told of the session before anybody knew that it would be refused.
                self._standbys.publish(closing, pending=True)

    def _made_ours(self, write: Write) -> Write:
        """Return a write under our lease, whose snapshot nobody reads in catalog or journal: it may hold SRTP keys."""
        match write:
            case DialogCheckpoint():
                snapshot = self._vault.seal(write.snapshot, write.segment_id)
                return msgspec.structs.replace(write, lease=self.lease, snapshot=snapshot)
            case SegmentOpening() | SegmentClosing(dialog_snapshot=bytes()):
                snapshot = self._vault.seal(write.dialog_snapshot or b"", write.segment_id)
                return msgspec.structs.replace(write, lease=self.lease, dialog_snapshot=snapshot)
            case _:
                return msgspec.structs.replace(write, lease=self.lease)

    def unsealed(self, stored: Sealed) -> Sealed:
        """Return what holds the snapshot of a dialog with that as it was made.

        Raises:
            SealedError: this host cannot open it.

        """
        snapshot = self._vault.open(stored.snapshot, stored.segment_id)
        return msgspec.structs.replace(stored, snapshot=snapshot)

    async def catch_up(self) -> None:
        """Take over what an earlier process journaled, then empty the journal into the catalog if it answers."""
        self._read_journal()
        await self.inherit(())

    async def inherit(self, records: Sequence[bytes]) -> None:
        """Bring encoded writes of a lost host into the catalog, which may lack them."""
        self._pending += records
        if self._pending:
            self.behind = True
            await self._replay()

    def _read_journal(self) -> list[Write]:
        try:
            self._pending = self._journal.read()
        except OSError as error:
            # To end here would only bring the next frontend to the same place. Standbys were told the same writes, and
            # salvage finds the captures of sessions that nobody knows.
            self._pending = []
            kept = ""
            with suppress(OSError):
                kept = str(self._journal.set_aside())
            _log.critical("journal unreadable; going on without what it holds", reason=str(error), kept=kept)
        found: list[Write] = []
        for record in self._pending:
            # One of another program version is told when it is replayed.
            with suppress(msgspec.MsgspecError, KeyError):
                found.append(decode_write(record))
        return found

    async def go_on_without_catalog(self, told: Sequence[bytes]) -> list[Write]:
        """Begin where an earlier process was when the catalog was away; `catch_up` is not needed then.

        Returns what it journaled, as it was made. `told` is what it told of last: it may have died before it knew that
        the catalog does not take that. It came before what is journaled, and may be repeated. Clients are answered by
        it from now on: it is in the journal when this returns.
        """
        found = self._read_journal()
        self.behind = True
        journaled = set(self._pending)
        lacking = [record for record in told if record not in journaled]
        if lacking:
            self._pending[:0] = lacking
            try:
                await self._journal.rewrite(self._pending)
            except OSError as error:
                # To end here would leave the dialogs to nobody. What is told from now on is durable, or refused.
                _log.critical("journal refused what a dead frontend told of last", reason=str(error))
                self.journal_failed = True
        return found

    async def run(self) -> None:
        """Bring the catalog up to date whenever it answers again, until cancelled."""
        while True:
            await asyncio.sleep(_RETRY_S)
            if self.behind:
                await self._replay()

    async def _replay(self) -> None:
        taken = 0
        if not self._pending:
            # Whoever was here before found it away; nothing was written since.
            try:
                await self._catalog.sites.see(self.lease)
            except CatalogUnreachable:
                return
        # New writes come while those before them are told: it is over when neither kind is left.
        while self._pending or self._withdrawn:
            try:
                taken += await self._bring_pending()
                await self._bring_withdrawn()
            except CatalogUnreachable:
                return
        self._journal.clear()
        self.behind = False
        if self._standbys:
            self._standbys.caught_up()
        _log.info("catalog is complete again", writes=taken)

    async def _bring_pending(self) -> int:
        taken = 0
        while self._pending:
            record = self._pending[0]
            try:
                made = decode_write(record)
                if made.epoch >= self._fresh_since or not isinstance(made, DialogCheckpoint | StreamsChange):
                    await self._apply[type(made)](msgspec.structs.replace(made, epoch=self.epoch))
            except (CatalogUnreachable, StaleEpoch):
                raise
            except (StorageError, msgspec.MsgspecError, KeyError) as error:
                # One bad record must not keep the others out; its capture is on disk and salvage finds it.
                _log.error("journaled write refused by the catalog", reason=str(error))
            if self._pending and self._pending[0] is record:  # else the journal has refused it meanwhile
                self._pending.pop(0)
            taken += 1
        return taken

    async def _bring_withdrawn(self) -> None:
        while self._withdrawn:
            with suppress(StorageMisused):  # it never got there
                await self._apply[SegmentClosing](self._withdrawn[0])
            self._withdrawn.pop(0)
