"""Bring captures that lie on a disk into the catalog: verified, copied where they come from elsewhere, then their row.

Repeating it is harmless. The source is never changed, and nothing is copied that the catalog would not take.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from media.container import Capture, read_capture
from media.errors import MediaError
from recorder.admin.captures.inventory import REJECTED, CaptureOnDisk, described
from storage.catalog import Catalog
from storage.catalog.captures import CaptureFate, CaptureTaking, FoundCapture
from storage.errors import StorageRefused
from storage.files import copy_durably
from storage.files.durable import digest_file, file_errors
from storage.ownership import give_to_owner

TAKEN = (CaptureFate.MOVED, CaptureFate.JOINED, CaptureFate.NEW_SESSION, CaptureFate.NEW_RECORDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one file."""

    path: Path
    result: str
    """A `CaptureFate`, or `unreadable`, `rejected`, `unnamed`, `failed`."""
    detail: str = ""
    recording_id: str | None = None

    @property
    def bad(self) -> bool:
        """Whether somebody should look at it."""
        return self.result in ("unreadable", "unnamed", "failed", CaptureFate.SEALED.value)


class Taker:
    """Takes captures in for one host.

    Args:
        catalog: where they go.
        root: directory of this host's captures.
        host: its name in the catalog.
        by: who does it, for the audit log.
        dry_run: only say what would be done.

    """

    def __init__(self, catalog: Catalog, *, root: Path, host: str, by: str, dry_run: bool) -> None:
        self._catalog = catalog
        self._root = root
        self._host = host
        self._by = by
        self._dry_run = dry_run

    async def take(self, found: CaptureOnDisk) -> Result:
        """Take one capture in; faults of one file are its result, only a catalog that is away is an error."""
        try:
            capture = await asyncio.to_thread(read_capture, found.path)
        except MediaError as error:
            return Result(path=found.path, result="unreadable", detail=str(error))
        if capture.end is not None and capture.end.cause in REJECTED and not capture.packet_count:
            return Result(path=found.path, result="rejected", detail="no session was promised, and it holds no media")
        target = found.path if found.path.is_relative_to(self._root) else self._target(capture)
        told = described(capture, path=target)
        if told is None:
            return Result(path=found.path, result="unnamed", detail="its SESSION block names no recording")
        foreseen = await self._catalog.captures.find(told, host=self._host)
        if self._dry_run or foreseen.fate not in TAKEN:
            return _result(found, capture, foreseen)
        try:
            await asyncio.to_thread(_copy, found.path, target, self._root)
        except StorageRefused as error:
            return Result(path=found.path, result="failed", detail=str(error))
        return _result(found, capture, await self._taken(told))

    async def _taken(self, told: FoundCapture) -> CaptureTaking:
        return await self._catalog.captures.take(told, host=self._host, by=self._by)

    def _target(self, capture: Capture) -> Path:
        """Return the name that the format prescribes; the folder is the UTC day of the opening."""
        told = described(capture, path=capture.path)
        day = told.opened_at.date().isoformat() if told else "unknown"
        return self._root / day / capture.path.name


def _copy(source: Path, target: Path, root: Path) -> None:
    if source == target:
        return
    size_bytes, sha256 = digest_file(source)
    if target.exists() and digest_file(target) == (size_bytes, sha256):
        return
    with file_errors(target):
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            give_to_owner(target.parent, root)
        copy_durably(source, target, size_bytes=size_bytes, sha256=sha256)
        give_to_owner(target, root)


def _result(found: CaptureOnDisk, capture: Capture, taking: CaptureTaking) -> Result:
    damage = (
        f"torn ({capture.damage}): {capture.truncated_bytes} bytes at its end are not used" if capture.damage else ""
    )
    return Result(
        path=found.path,
        result=taking.fate.value,
        detail=damage,
        recording_id=str(taking.recording_id) if taking.recording_id else None,
    )
