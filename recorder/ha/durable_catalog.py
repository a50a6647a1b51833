"""The frontend's writes, durable whether or not PostgreSQL answers.

While it answers, a write returns when PostgreSQL has committed it. While it does not, the write goes to the local
journal, and so does every later one, in order, until the catalog has taken them all. The catalog's writes may be
repeated, so a write whose outcome nobody knows is simply journaled too.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec
import structlog

from recorder.ha.journal import Journal
from recorder.ha.vault import Vault
from storage.catalog import Catalog
from storage.catalog.records import (
    DialogCheckpoint,
    MetadataRevision,
    PeerCapability,
    SegmentClosing,
    SegmentOpening,
    StoredDialog,
    StreamsChange,
)
from storage.errors import CatalogUnreachable, StaleEpoch, StorageError

_log = structlog.get_logger()

_RETRY_S: Final = 0.5
"""Between two attempts to reach the catalog again."""

Write: TypeAlias = (
    SegmentOpening | DialogCheckpoint | StreamsChange | SegmentClosing | MetadataRevision | PeerCapability
)

_KINDS: Final[dict[str, type[Write]]] = {
    kind.__name__: kind
    for kind in (SegmentOpening, DialogCheckpoint, StreamsChange, SegmentClosing, MetadataRevision, PeerCapability)
}


class _Envelope(msgspec.Struct, frozen=True):
    kind: str
    write: msgspec.Raw


def encode_write(write: Write) -> bytes:
    """Return a write as a journal record."""
    return msgspec.msgpack.encode(
        _Envelope(kind=type(write).__name__, write=msgspec.Raw(msgspec.msgpack.encode(write)))
    )


def decode_write(record: bytes, *, epoch: int) -> Write:
    """Return the write of a journal record, under the epoch of whoever replays it.

    Raises:
        msgspec.MsgspecError, KeyError: the record is of another program version.

    """
    envelope = msgspec.msgpack.decode(record, type=_Envelope)
    write: Write = msgspec.msgpack.decode(envelope.write, type=_KINDS[envelope.kind])
    return dataclasses.replace(write, epoch=epoch)


class DurableCatalog:
    """Writes of the active frontend. Call `catch_up` once before the first write, and keep `run` running."""

    def __init__(self, catalog: Catalog, journal: Journal, vault: Vault, *, epoch: int) -> None:
        self.epoch = epoch
        self.behind = False
        """True while the journal holds writes that the catalog has not taken."""
        self.journal_failed = False
        """True after the journal's disk refused; no promise can be made while `behind` is true as well."""
        self._catalog = catalog
        self._journal = journal
        self._vault = vault
        self._pending: list[bytes] = []
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
        write = self._sealed(write)
        if not self.behind:
            try:
                await self._apply[type(write)](write)
            except CatalogUnreachable as error:
                if not self.behind:
                    _log.error("catalog unreachable: writing to the local journal", reason=str(error))
                self.behind = True
            else:
                return
        record = encode_write(write)
        # In the list before the first await, so that the replay keeps the order of the calls.
        self._pending.append(record)
        try:
            await self._journal.append(record)
        except OSError as error:
            _log.critical("journal refused a checkpoint", reason=str(error))
            self.journal_failed = True
            raise
        self.journal_failed = False

    def _sealed(self, write: Write) -> Write:
        """Return a write whose snapshot nobody reads in the catalog or the journal: it may hold SRTP keys."""
        match write:
            case DialogCheckpoint():
                return dataclasses.replace(write, snapshot=self._vault.seal(write.snapshot, write.segment_id))
            case SegmentOpening() | SegmentClosing(dialog_snapshot=bytes()):
                snapshot = self._vault.seal(write.dialog_snapshot or b"", write.segment_id)
                return dataclasses.replace(write, dialog_snapshot=snapshot)
            case _:
                return write

    def unsealed(self, stored: StoredDialog) -> StoredDialog:
        """Return a stored dialog with its snapshot as it was written.

        Raises:
            SealedError: this host cannot open it.

        """
        return dataclasses.replace(stored, snapshot=self._vault.open(stored.snapshot, stored.segment_id))

    async def catch_up(self) -> None:
        """Take over what an earlier process journaled, then empty the journal into the catalog if it answers."""
        self._pending = self._journal.read()
        if self._pending:
            self.behind = True
            await self._replay()

    async def run(self) -> None:
        """Bring the catalog up to date whenever it answers again, until cancelled."""
        while True:
            await asyncio.sleep(_RETRY_S)
            if self.behind:
                await self._replay()

    async def _replay(self) -> None:
        taken = 0
        while self._pending:
            record = self._pending[0]
            try:
                write = decode_write(record, epoch=self.epoch)
                await self._apply[type(write)](write)
            except CatalogUnreachable:
                return
            except (StorageError, msgspec.MsgspecError, KeyError) as error:
                if isinstance(error, StaleEpoch):
                    raise
                # One bad record must not keep the others out; its capture is on disk and salvage finds it.
                _log.error("journaled write refused by the catalog", reason=str(error))
            self._pending.pop(0)
            taken += 1
        self._journal.clear()
        self.behind = False
        _log.info("catalog is complete again", writes=taken)
