"""An append-only file of checkpoints that the catalog has not taken yet.

Record: length (u32), CRC-32 of the payload (u32), payload; little-endian. A torn tail is what a crash leaves: reading
ends there, and it is cut off before anything is appended. One writer at a time; `append` returns when the bytes are on
the disk, and many waiting appends share one fsync. The file is removed once everything in it has been taken.
"""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<II")
_MAX_RECORD: Final = 4 << 20
"""Bytes; a checkpoint is a few kilobytes, so anything near this is damage."""


class Journal:
    """Checkpoints waiting for the catalog."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._unreadable = False
        """Whether the file holds what nobody could read."""
        self._torn = True
        """Whether there may be a torn tail, of a process before us or of an append that failed."""
        self._clearings = 0
        """How often everything was forgotten."""

    def read(self) -> list[bytes]:
        """Return the whole records of the file, oldest first; none where there is no file.

        Raises:
            OSError: it cannot be read; `set_aside` it to go on.

        """
        self._unreadable = True
        records = _whole_records(self._path)
        self._unreadable = False
        return records

    def set_aside(self) -> Path:
        """Give an unreadable file another name, under which somebody may read it yet; returns where it is.

        Raises:
            OSError: not even that can be done; nothing can be appended then.

        """
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.unreadable-{number}")).exists():
            number += 1
        self._path.rename(aside)
        self._unreadable = False
        return aside

    async def rewrite(self, payloads: Iterable[bytes]) -> None:
        """Put these records in the place of all that there are; after `read`, and before the first `append`.

        Raises:
            OSError: the file is as it was.

        """
        await asyncio.to_thread(_write_anew, self._path, b"".join(map(_record, payloads)))

    async def append(self, payload: bytes) -> None:
        """Make one record durable.

        Raises:
            OSError: the disk does not take it; the promise that needed it must not be made.

        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((_record(payload), durable))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.ensure_future(self._flush())
        await durable

    async def _flush(self) -> None:
        # Records that arrive while an fsync is under way share the next one.
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, b"".join(record for record, _ in batch), self._clearings)
            except OSError as error:
                for _, durable in batch:
                    durable.set_exception(error)
            else:
                for _, durable in batch:
                    durable.set_result(None)

    def _append(self, data: bytes, clearings: int) -> None:
        if self._torn:
            # What came behind it would be read by nobody.
            _cut_torn_tail(self._path)
        self._torn = True
        _append_synced(self._path, data, is_wanted=lambda: self._clearings == clearings)
        self._torn = False

    def clear(self) -> None:
        """Forget everything, also what is being appended: the catalog has it."""
        if self._unreadable:
            return
        waiting, self._waiting = self._waiting, []
        for _, durable in waiting:
            durable.set_result(None)
        # In this order: an append that opens the file after it is gone finds out that nobody wants it.
        self._clearings += 1
        self._path.unlink(missing_ok=True)


def _record(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _whole_records(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records: list[bytes] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, offset)
        payload = data[offset + _HEADER.size : offset + _HEADER.size + length]
        if length > _MAX_RECORD or len(payload) < length or zlib.crc32(payload) != checksum:
            break
        records.append(payload)
        offset += _HEADER.size + length
    return records


def _cut_torn_tail(path: Path) -> None:
    whole = sum(_HEADER.size + len(record) for record in _whole_records(path))
    with suppress(FileNotFoundError):
        if path.stat().st_size > whole:
            os.truncate(path, whole)


def _append_synced(path: Path, data: bytes, *, is_wanted: Callable[[], bool]) -> None:
    existed = path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not is_wanted():
            path.unlink(missing_ok=True)
            return
        before = os.fstat(descriptor).st_size
        try:
            _write_synced(descriptor, data)
        except OSError:
            # Nothing of it was promised, and half a record would hide those that come later.
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    if not existed:
        _sync_directory(path.parent)


def _write_anew(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _write_synced(descriptor, data)
    finally:
        os.close(descriptor)
    os.rename(fresh, path)
    _sync_directory(path.parent)


def _write_synced(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
