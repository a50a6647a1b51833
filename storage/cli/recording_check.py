"""Checks one recording: its manifests, its rows and its stored bytes must say the same."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.catalog import Catalog
from storage.catalog.file_lives import ManifestRow
from storage.catalog.records import RecordingState
from storage.catalog.statement import parts_of
from storage.catalog.views import RecordingDetail
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken
from storage.files import Store, StoredFile
from storage.integrity import PublicKeys
from storage.integrity.manifest import Manifest
from storage.integrity.signed import canonical

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
        check.faults += await _other_words(catalog, recording_id, latest, finalised_at)
    return check


async def _other_words(
    catalog: Catalog, recording_id: UUID, latest: Manifest, finalised_at: datetime | None
) -> list[str]:
    """Say where the rows of a recording are not what was signed; nothing of one that has changed meanwhile."""
    recording = await catalog.files.to_state(recording_id)
    if recording is None or recording.finalised_at != finalised_at or recording.state not in FINISHED:
        return []
    faults = []
    for name, here in parts_of(recording).items():
        stated = latest.document[name]
        if canonical(here) == canonical(stated):
            continue
        if isinstance(here, dict):
            differing = sorted(key for key in {*here, *stated} if here.get(key) != stated.get(key))
            faults.append(f"the catalog has other call data than the manifest states: {', '.join(differing)}")
        else:
            what = {"segments": "sessions"}.get(name, name)
            faults.append(
                f"the catalog has other {what} than the manifest states: {len(here)} here, {len(stated)} stated"
            )
    return faults


async def unaccounted(catalog: Catalog) -> AsyncIterator[tuple[str, str]]:
    """Yield the recordings of which the audit log tells results that the catalog has lost, with what is lost."""
    told: set[tuple[str, str]] = set()
    async for entry in catalog.files.unaccounted():
        if entry.state is None:
            what = "the catalog has no such recording, and nobody is said to have deleted it"
        elif entry.version is None:
            what = "the catalog says that it is deleted, the audit log says nothing of that"
        else:
            what = f"the catalog has no manifest {entry.version}, which was sealed"
        if (entry.subject, what) not in told:
            told.add((entry.subject, what))
            yield entry.subject, f"{what} (entry {entry.number} of the audit log)"


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
    if size != size_bytes:
        return f"{store}:{path} was changed: it has {size} bytes, the catalog says {size_bytes}"
    return f"{store}:{path} was changed: its SHA-256 is {hasher.hexdigest()}, the catalog says {sha256.hex()}"


def _read(stores: Mapping[str, Store], store: str, path: str) -> bytes:
    if store not in stores:
        raise IntegrityBroken(f"{store}:{path} is in a store that is not known here")
    return b"".join(stores[store].read(path))


def _take(listing: Iterator[StoredFile]) -> list[str]:
    return [file.path for file in itertools.islice(listing, BATCH)]
