"""Checks one recording: its manifests, its rows and its stored bytes must say the same."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from storage.catalog import Catalog
from storage.catalog.file_lives import ManifestRow
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken
from storage.files import Store, StoredFile
from storage.integrity import PublicKeys
from storage.integrity.manifest import Manifest

FINISHED: Final = (RecordingState.COMPLETE, RecordingState.INTERRUPTED, RecordingState.NO_MEDIA)
BATCH: Final = 1000
"""Paths that are looked up at once."""


@dataclass(slots=True)
class RecordingCheck:
    """What was found at one recording."""

    sealed: bool = False
    files: int = 0
    faults: list[str] = field(default_factory=list)


async def check_recording(
    recording: RecordingDetail, catalog: Catalog, stores: Mapping[str, Store], trusted: PublicKeys
) -> RecordingCheck:
    """Read every byte of a recording and compare. Errors: `StoreUnreachable` when a store is away."""
    check = RecordingCheck()
    recording_id = recording.summary.recording_id
    for file in recording.files:
        fault = await asyncio.to_thread(_bytes_fault, stores, file.store, file.path, file.size_bytes, file.sha256)
        if fault is None:
            check.files += 1
        else:
            check.faults.append(fault)
    rows = await catalog.files.manifests(recording_id)
    latest = await _check_manifests(rows, recording_id, stores, trusted, check)
    finalised_at = await catalog.files.finalised_at(recording_id)
    check.sealed = bool(rows) and rows[-1].finalised_at == finalised_at
    if latest is not None and check.sealed and recording.summary.state in FINISHED:
        stated = {(file.path, file.size_bytes, file.sha256) for file in latest.files}
        claimed = {(file.path, file.size_bytes, file.sha256) for file in recording.files}
        if stated != claimed:
            check.faults.append("the catalog claims other files than the manifest states")
    return check


async def orphans_of(catalog: Catalog, store: Store) -> AsyncIterator[str]:
    """Yield the files of a store that the catalog does not know."""
    listing = iter(store.list())
    while batch := await asyncio.to_thread(_take, listing):
        audio = {path: path.removesuffix(KEYS_SUFFIX) for path in batch}
        known = await catalog.files.known_paths(store.name, list(audio.values()))
        for path, belongs_to in audio.items():
            if belongs_to not in known:
                yield path


async def _check_manifests(
    rows: list[ManifestRow],
    recording_id: UUID,
    stores: Mapping[str, Store],
    trusted: PublicKeys,
    check: RecordingCheck,
) -> Manifest | None:
    """Check the chain; returns the newest manifest if it can be trusted."""
    manifest: Manifest | None = None
    previous: bytes | None = None
    for row in rows:
        name = f"manifest {row.version}"
        try:
            data = await asyncio.to_thread(_read, stores, row.store, row.path)
            manifest = Manifest.read(data, trusted, name=name)
        except IntegrityBroken as error:
            check.faults.append(str(error))
            manifest = None
        else:
            if hashlib.sha256(data).digest() != row.sha256:
                check.faults.append(f"{name} is not the one that the catalog knows")
            if (manifest.recording, manifest.version, manifest.root) != (str(recording_id), row.version, row.root):
                check.faults.append(f"{name} states another recording or version than the catalog says")
            if manifest.previous != previous:
                check.faults.append(f"{name} does not follow from the one before it")
        previous = row.sha256
    return manifest


def _bytes_fault(stores: Mapping[str, Store], store: str, path: str, size_bytes: int, sha256: bytes) -> str | None:
    if store not in stores:
        return f"{store}:{path} is in a store that is not known here"
    hasher = hashlib.sha256()
    size = 0
    try:
        for block in stores[store].read(path):
            hasher.update(block)
            size += len(block)
    except IntegrityBroken as error:
        return str(error)
    if (size, hasher.digest()) == (size_bytes, sha256):
        return None
    return f"{store}:{path} was changed: it has {size} bytes and another SHA-256 than {size_bytes} bytes of the catalog"


def _read(stores: Mapping[str, Store], store: str, path: str) -> bytes:
    if store not in stores:
        raise IntegrityBroken(f"{store}:{path} is in a store that is not known here")
    return b"".join(stores[store].read(path))


def _take(listing: Iterator[StoredFile]) -> list[str]:
    return [file.path for file in itertools.islice(listing, BATCH)]
