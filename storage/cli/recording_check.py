"""Checks one recording: its manifests, its rows and its stored bytes must say the same."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from storage.catalog import Catalog
from storage.catalog.file_lives import ManifestRow
from storage.catalog.records import RecordingState
from storage.catalog.sealing import Standing
from storage.catalog.statement import parts_of
from storage.catalog.views import RecordingDetail
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import IntegrityBroken
from storage.files import Store, StoredFile
from storage.integrity import PublicKeys
from storage.integrity.manifest import Manifest
from storage.integrity.signed import canonical
from storage.integrity.verify import MISSING, file_fault

FINISHED: Final = (RecordingState.COMPLETE, RecordingState.INTERRUPTED, RecordingState.NO_MEDIA)
UNFINISHED: Final = (RecordingState.RECORDING, RecordingState.FINALISING, RecordingState.FAILED)
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
    # Before the manifests: what is sealed in between is among them, what is published in between shows in its time.
    standing = await catalog.files.standing(recording_id)
    rows = await catalog.files.manifests(recording_id)
    manifests = await _read_manifests(rows, recording_id, stores, trusted, check)
    check.faults += await _other_log(manifests, catalog)
    if standing is None:
        return check
    if standing.state not in FINISHED:
        if standing.state in UNFINISHED and not standing.under_way:
            said = f"the catalog says that it is {standing.state.value}"
            check.faults.append(f"{said}, but no session of it is open and no job works on it")
        return check
    check.sealed = bool(rows) and not standing.awaits_seal
    if not rows and not standing.awaits_seal:
        check.faults.append("it has no manifest, and no job is going to make one")
    if check.sealed and manifests and manifests[-1].version == rows[-1].version:
        latest = manifests[-1]
        check.faults += await asyncio.to_thread(_other_captures, recording, latest)
        check.faults += await _other_words(catalog, recording_id, latest, standing)
    return check


async def _other_words(catalog: Catalog, recording_id: UUID, latest: Manifest, standing: Standing) -> list[str]:
    """Say where the rows of a recording are not what was signed; nothing of one that has changed meanwhile."""
    recording = await catalog.files.to_state(recording_id)
    if recording is None or recording.finalised_at != standing.finalised_at or recording.state not in FINISHED:
        return []
    faults = []
    stated_files = {(file.path, file.size_bytes, file.sha256) for file in latest.files}
    if stated_files != {(file.path, file.size_bytes, file.sha256) for file in recording.files}:
        faults.append("the catalog claims other files than the manifest states")
    here = parts_of(recording)
    for name in latest.parts:
        faults += DIFFERENCES[name](here[name], latest.document[name])
    return faults


def _other_facts(here: Mapping[str, Any], stated: Mapping[str, Any]) -> list[str]:
    differing = _differing(here, stated)
    return [f"the catalog has other call data than the manifest states: {', '.join(differing)}"] if differing else []


def _other_rows(what: str, here: Sequence[Any], stated: Sequence[Any]) -> list[str]:
    if canonical(here) == canonical(stated):
        return []
    return [f"the catalog has other {what} than the manifest states: {len(here)} here, {len(stated)} stated"]


def _other_ledger(here: Sequence[Mapping[str, Any]], stated: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = {row["party"]: row for row in here}
    signed = {row["party"]: row for row in stated}
    faults = []
    for party in sorted({*rows, *signed}):
        if party not in rows:
            faults.append(f"the ledger of party {party} is gone from the catalog; the manifest states it")
        elif party not in signed:
            faults.append(f"the catalog has a ledger of party {party}, which the manifest does not state")
        elif differing := _differing(rows[party], signed[party]):
            faults.append(f"the ledger of party {party} is not what the manifest states: {', '.join(differing)}")
    return faults


DIFFERENCES: Final[Mapping[str, Callable[[Any, Any], list[str]]]] = {
    "facts": _other_facts,
    "segments": partial(_other_rows, "sessions"),
    "gaps": partial(_other_rows, "gaps"),
    "ledger": _other_ledger,
}
"""What each part of a manifest says that the catalog does not."""


def _differing(here: Mapping[str, Any], stated: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*here, *stated} if here.get(key) != stated.get(key))


def _other_captures(recording: RecordingDetail, latest: Manifest) -> list[str]:
    """Say which captures on this host are not those that were sealed; one that is missing is for `captures list`."""
    stated = {capture.path: capture for capture in latest.captures}
    faults = []
    for segment in recording.segments:
        for capture in map(Path, (one.path for one in segment.captures)):
            if capture.name in stated and (fault := file_fault(capture, stated[capture.name])) not in (None, MISSING):
                faults.append(f"capture {capture.name} {fault}")
    return faults


async def unaccounted(catalog: Catalog) -> AsyncIterator[tuple[str, str]]:
    """Yield the recordings of which the audit log tells results or holds that the catalog has lost, and what."""
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
    async for lost in catalog.files.lost_holds():
        what = f"hold {lost.hold} does not stand, and nobody is said to have released it"
        yield lost.subject, f"{what} (entry {lost.number} of the audit log)"


async def orphans_of(catalog: Catalog, store: Store) -> AsyncIterator[str]:
    """Yield the files of a store that the catalog does not know."""
    listing = iter(store.list())
    while batch := await asyncio.to_thread(_take, listing):
        audio = {path: path.removesuffix(KEYS_SUFFIX) for path in batch}
        known = await catalog.files.known_paths(store.name, list(audio.values()))
        for path, belongs_to in audio.items():
            if belongs_to not in known:
                yield path


async def _read_manifests(
    rows: list[ManifestRow],
    recording_id: UUID,
    stores: Mapping[str, Store],
    trusted: PublicKeys,
    check: RecordingCheck,
) -> list[Manifest]:
    """Check the chain of manifests; returns those that can be trusted, oldest first."""
    manifests: list[Manifest] = []
    previous: bytes | None = None
    for row in rows:
        name = f"manifest {row.version}"
        try:
            data = await asyncio.to_thread(_read, stores, row.store, row.path)
            manifest = Manifest.read(data, trusted, name=name)
        except IntegrityBroken as error:
            check.faults.append(str(error))
        else:
            if hashlib.sha256(data).digest() != row.sha256:
                check.faults.append(f"{name} is not the one that the catalog knows")
            if (manifest.recording, manifest.version, manifest.root) != (str(recording_id), row.version, row.root):
                check.faults.append(f"{name} states another recording or version than the catalog says")
            if manifest.previous != previous:
                check.faults.append(f"{name} does not follow from the one before it")
            manifests.append(manifest)
        previous = row.sha256
    return manifests


async def _other_log(manifests: Sequence[Manifest], catalog: Catalog) -> list[str]:
    """Say of which manifests the audit log has no more what it ended with when they were signed."""
    heads = {manifest.version: manifest.log for manifest in manifests if manifest.log is not None}
    entries = await catalog.audit.digests([head.number for head in heads.values()])
    return [
        f"manifest {version} was signed when the audit log had "
        + (
            f"another entry {head.number}"
            if head.number in entries
            else f"an entry {head.number}, which it has no more"
        )
        for version, head in heads.items()
        if entries.get(head.number) != head.digest
    ]


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
