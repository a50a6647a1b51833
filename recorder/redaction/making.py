"""Make the audio of a recording anew without some stretches: from whatever store and form, into the same.

Encrypted audio needs a private key. What is made keeps the data key of what it replaces, under a salt of its own
(docs/encryption.md): whoever could read the recording still can, and nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import UUID

from media.healing.redaction import Silenced, silence
from media.pipeline.report import OutputFormat
from recorder.depot import ENCRYPTED, SCRATCH
from storage.catalog import Catalog
from storage.catalog.file_lives import EnvelopeRow
from storage.catalog.records import RenderedFile
from storage.catalog.views import FileView
from storage.encryption import ClearReader, Envelope, PrivateKey, encrypt_file
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken, StorageMisused, StoreFailed
from storage.files import FileStore, Store, file_name
from storage.files.durable import digest_file


@dataclass(frozen=True, slots=True)
class _Lock:
    """What opens encrypted audio, and closes what takes its place."""

    data_key: bytes
    envelope: Envelope
    row: EnvelopeRow


@dataclass(frozen=True, slots=True)
class _Bench:
    """Scratch files."""

    opened: Path
    """Audio that had to be fetched or decrypted."""
    silent: Path
    """The same without the stretches."""
    closed: Path
    """That, encrypted."""


@dataclass(frozen=True, slots=True)
class _Made:
    path: str
    size_bytes: int
    sha256: bytes
    envelope: EnvelopeRow | None


class Maker:
    """Makes redacted files.

    Args:
        catalog: knows where files are.
        store_of: opens a store by its name.
        workshop: where scratch files lie.

    """

    def __init__(self, catalog: Catalog, store_of: Callable[[str], Store], workshop: FileStore) -> None:
        self._catalog = catalog
        self._store_of = store_of
        self._workshop = workshop

    async def make(
        self, recording_id: UUID, file: FileView, stretches: Sequence[Silenced], key: PrivateKey | None
    ) -> RenderedFile:
        """Publish the file without the stretches, beside the old one: durable, intended, and not claimed yet.

        Errors: `StorageMisused` when it is encrypted and no key is given, `WrongKey`, `IntegrityBroken` when the old
        file is not what the catalog says (what was changed is not signed anew), and those of the stores.
        """
        store = self._store_of(file.store)
        lock = await self._lock(file, key)
        with ExitStack() as stack:
            bench = _Bench(*(stack.enter_context(self._workshop.begin(SCRATCH)).path for _ in range(3)))
            clear = await asyncio.to_thread(_clear, file, store, lock, bench.opened)
            await asyncio.to_thread(silence, clear, bench.silent, OutputFormat(file.format), stretches)
            made = await asyncio.to_thread(_made, recording_id, file, lock, bench)
            if made.path != file.path:
                await self._publish(recording_id, store, made, bench.silent if lock is None else bench.closed)
        return RenderedFile(
            kind="master",
            store=file.store,
            path=made.path,
            format=file.format,
            sample_rate=file.sample_rate,
            channels=file.channels,
            frames=file.frames,
            size_bytes=made.size_bytes,
            sha256=made.sha256,
        )

    async def _lock(self, file: FileView, key: PrivateKey | None) -> _Lock | None:
        row = await self._catalog.files.envelope(file.sha256)
        if row is None:
            if file.path.endswith(ENCRYPTED):
                raise IntegrityBroken(f"{file.path} is encrypted, but the catalog has lost its keys")
            return None
        if key is None:
            raise StorageMisused(f"{file.path} is encrypted: repeat `recordings redact` with --key")
        envelope = Envelope.decode(row.keys, name=file.path + KEYS_SUFFIX)
        return _Lock(envelope.open(key), envelope, row)

    async def _publish(self, recording_id: UUID, store: Store, made: _Made, source: Path) -> None:
        """Give it its name: the intent first, and keys before what they open."""
        await self._intend(recording_id, store, made)
        if made.envelope is not None:
            await asyncio.to_thread(store.replace, made.envelope.keys, made.path + KEYS_SUFFIX)
        await asyncio.to_thread(store.put, source, made.path, size_bytes=made.size_bytes, sha256=made.sha256)
        # A long upload may have outlived its intent.
        await self._intend(recording_id, store, made)
        if await asyncio.to_thread(store.stat, made.path) is None:
            raise StoreFailed(f"{store.name}:{made.path} was removed meanwhile; it will be made again")

    async def _intend(self, recording_id: UUID, store: Store, made: _Made) -> None:
        if not await self._catalog.files.intend(recording_id, store.name, made.path, made.sha256, made.envelope):
            raise StoreFailed(f"{store.name}:{made.path} is being removed; it will be made again")


def _made(recording_id: UUID, file: FileView, lock: _Lock | None, bench: _Bench) -> _Made:
    """Return the facts of what was made, encrypted as the old one was. Blocks."""
    if lock is None:
        size, sha256 = digest_file(bench.silent)
        return _Made(_path(recording_id, file, sha256), size, sha256, None)
    clear = encrypt_file(bench.silent, bench.closed, lock.data_key)
    size, sha256 = digest_file(bench.closed)
    keys = Envelope(sha256, lock.envelope.recipients).encode()
    envelope = EnvelopeRow(clear_sha256=clear.sha256, clear_bytes=clear.size_bytes, keys=keys)
    return _Made(_path(recording_id, file, sha256), size, sha256, envelope)


def _clear(file: FileView, store: Store, lock: _Lock | None, scratch: Path) -> Path:
    """Return the verified audio in clear: where it lies, or in `scratch`."""
    if lock is None and isinstance(store, FileStore):
        here = store.locate(file.path)
        if not here.exists() or digest_file(here) != (file.size_bytes, file.sha256):
            raise IntegrityBroken(f"{here} is missing or is not what the catalog says: not redacted; see `verify`")
        return here
    blocks = store.read(file.path)
    expected = file.size_bytes, file.sha256
    if lock is not None:
        reader = ClearReader(
            lambda start, length: b"".join(store.read(file.path, start=start, length=length)),
            file.size_bytes,
            lock.data_key,
            name=file.path,
        )
        blocks, expected = reader.blocks(), (lock.row.clear_bytes, lock.row.clear_sha256)
    digest, size = hashlib.sha256(), 0
    with scratch.open("wb") as target:
        for block in blocks:
            target.write(block)
            digest.update(block)
            size += len(block)
    if (size, digest.digest()) != expected:
        raise IntegrityBroken(f"{store.name}:{file.path} is not what the catalog says: not redacted; see `verify`")
    return scratch


def _path(recording_id: UUID, file: FileView, sha256: bytes) -> str:
    """Return the path of the new content: that of the old one with another digest."""
    old = PurePosixPath(file.path)
    readable, _, rest = old.name.rpartition(f"_{recording_id.hex}_")
    return str(old.parent / file_name(readable, recording_id, sha256, "." + rest.partition(".")[2]))
