"""What every store of finished files can do; `FileStore` (a directory) and `S3Store` (object storage) do it.

Paths are relative, with forward slashes. All calls block; run them in a thread. Repeating a call is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from storage.errors import StorageMisused

BLOCK: Final = 1 << 20
"""Bytes that are read or written at once."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a store holds."""

    path: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """A place for finished files.

    Errors of all calls: `StoreUnreachable` when the store is away (try again later), `StoreForbidden`, `StoreFull`,
    `StoreFailed`, and `StorageMisused` for a path that would leave the store.
    """

    @property
    def name(self) -> str:
        """How the catalog calls this store."""
        ...

    def put(self, source: Path, path: str, *, size_bytes: int, sha256: bytes) -> None:
        """Store a local file durably under a path; the same content again is fine.

        Errors: `IntegrityBroken` when the source is missing or not what it should be, `AlreadyPublished` when the path
        holds another content.
        """
        ...

    def replace(self, content: bytes, path: str) -> None:
        """Store a small file durably, in place of what may be there: never half of it, never nothing."""
        ...

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start`, to the end or so many; `IntegrityBroken` when the file is missing."""
        ...

    def stat(self, path: str) -> StoredFile | None:
        """Return what is stored under a path; None when nothing is."""
        ...

    def delete(self, path: str) -> bool:
        """Remove a file; False when there is none. `StoreForbidden` when it is locked."""
        ...

    def hold(self, path: str, *, on: bool) -> bool:
        """Put a file under legal hold, or release it; False when this store offers no holds."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """Yield what is stored in a folder and below it, all by default; unfinished files are not."""
        ...


def checked_path(path: str) -> PurePosixPath:
    """Return a path inside a store; `StorageMisused` for one that would leave it."""
    relative = PurePosixPath(path)
    if not path or relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise StorageMisused(f"{path!r} is not a path inside the store")
    return relative
