"""Dialog snapshots on their way to the catalog: those that come while others are being written go together.

One statement at a time, so that two never wait for each other's rows. A single snapshot never waits for company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from storage.catalog.connection import Database, LeaseLost, encode_json
from storage.catalog.records import DialogCheckpoint, StreamOpening
from storage.catalog.text import key
from storage.errors import CatalogUnreachable, StaleEpoch, StorageMisused

_MOST: Final = 64
"""Snapshots of one statement: a quarter of a megabyte, and the first of them does not wait long for the last."""


def stream_rows(streams: Iterable[StreamOpening]) -> list[Mapping[str, object]]:
    """Return streams as `write_streams_v1` takes them."""
    return [
        {
            "index": stream.index,
            "party": stream.party,
            "label": stream.label,
            "media": stream.media,
            "participant": stream.participant,
            "payload_types": stream.payload_types,
            "descriptor": stream.descriptor,
        }
        for stream in streams
    ]


class DialogWrites:
    """Writes snapshots of dialogs for any number of callers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[DialogCheckpoint, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def save(self, checkpoint: DialogCheckpoint) -> None:
        """Return once the snapshot is durable; errors as `Catalog`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((checkpoint, done))
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write())
        await done

    async def _write(self) -> None:
        try:
            while self._waiting:
                first = self._waiting[0][0]
                count = 0
                for checkpoint, _ in self._waiting[:_MOST]:
                    if (checkpoint.lease, checkpoint.epoch) != (first.lease, first.epoch):
                        break
                    count += 1
                batch, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._write_together(batch)
        finally:
            self._writing = None
            for _, done in self._waiting:
                done.cancel()

    async def _write_together(self, batch: Sequence[tuple[DialogCheckpoint, asyncio.Future[None]]]) -> None:
        outcomes: Sequence[Exception | None]
        try:
            outcomes = await self._save([checkpoint for checkpoint, _ in batch])
        except StorageMisused as error:
            if len(batch) > 1:
                # One that cannot be stored keeps nobody else out.
                for one in batch:
                    await self._write_together([one])
                return
            outcomes = [error]
        except CatalogUnreachable as error:
            # Nobody's wait is followed by a further one: what came meanwhile would be asked of the same silence.
            batch, self._waiting = [*batch, *self._waiting], []
            outcomes = [error] * len(batch)
        except asyncio.CancelledError:
            for _, done in batch:
                done.cancel()
            raise
        except Exception as error:
            # Whatever it is, it is told to those who asked.
            outcomes = [error] * len(batch)
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            if done.done():
                continue
            if outcome is None:
                done.set_result(None)
            else:
                done.set_exception(outcome)

    async def _save(self, checkpoints: Sequence[DialogCheckpoint]) -> list[Exception | None]:
        lease, epoch = checkpoints[0].lease, checkpoints[0].epoch
        try:
            rows = await self._database.rows(
                "save_dialogs",
                lease,
                epoch,
                [key(one.dialog_id) for one in checkpoints],
                [one.segment_id for one in checkpoints],
                [one.snapshot for one in checkpoints],
                [one.made[0] for one in checkpoints],
                [one.made[1] for one in checkpoints],
                [one.writer for one in checkpoints],
                [one.host for one in checkpoints],
                [one.capture_path for one in checkpoints],
                [None if one.streams is None else encode_json(stream_rows(one.streams)) for one in checkpoints],
            )
        except LeaseLost as error:
            raise StaleEpoch(lease, epoch) from error
        return [
            None if row["saved"] else StorageMisused(f"segment {one.segment_id} does not exist")
            for one, row in zip(checkpoints, rows, strict=True)
        ]
