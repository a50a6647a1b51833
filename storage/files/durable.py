"""Writing files so that a crash at any point leaves either the whole file under its name, or nothing.

Temporary name in the store, written by the caller, length compared, synced, read-only, linked to its final
name, folder synced. All calls block; run them in a thread. A published file is never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from storage.errors import (
    AlreadyPublished,
    IntegrityBroken,
    StorageError,
    StorageMisused,
    StoreFailed,
    StoreForbidden,
    StoreFull,
)
from storage.files.port import BLOCK, StoredFile, checked_path
from storage.ownership import give_to_owner

TEMPORARY_PREFIX: Final = ".unfinished-"
UNFINISHED: Final = ".unfinished"
"""Folder of a store in which its files are made: what a crash leaves is found without a walk through the store."""

FILE_MODE: Final = 0o440
"""Read-only, for the recorder and its group: what people said is nobody else's business."""
FOLDER_MODE: Final = 0o750

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_HARD_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """Facts of a file that is durable under its final name; only these may go into the catalog."""

    store: str
    path: str
    """Relative to the store's root, with forward slashes."""
    size_bytes: int
    sha256: bytes


class FileStore:
    """A directory tree of published files: a `Store`, and the place where files are made.

    Args:
        root: created when the first file is begun.
        name: how the catalog calls this store.

    """

    def __init__(self, root: Path, *, name: str = "local") -> None:
        self.root = root
        self.name = name

    def begin(self, directory: PurePosixPath) -> PendingFile:
        """Create a temporary file in a folder of the store. Use it as a context manager: leaving it discards it.

        Errors: `StoreFull`, `StoreForbidden`, `StoreFailed`; `StorageMisused` for a folder outside the store.
        """
        folder = self.locate(str(directory))
        with file_errors(folder):
            _make_directories(folder)
            path = self._unfinished()
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return PendingFile(self, folder, path)

    def locate(self, path: str) -> Path:
        """Return where a published path is; `StorageMisused` for one that would leave the store."""
        return self.root / checked_path(path)

    def put(self, source: Path, path: str, *, size_bytes: int, sha256: bytes) -> None:
        """Copy a file into the store; see `Store.put`."""
        relative = checked_path(path)
        with self.begin(relative.parent) as pending:
            copy_durably(source, pending.path, size_bytes=size_bytes, sha256=sha256, replace=True)
            pending.publish(lambda _: relative.name)

    def replace(self, content: bytes, path: str) -> None:
        """Write a small file in place of what may be there; see `Store.replace`."""
        target = self.locate(path)
        with file_errors(target):
            _make_directories(target.parent)
            temporary = self._unfinished()
            try:
                with temporary.open("xb") as file:
                    file.write(content)
                    give_to_owner(file.fileno(), self.root)
                    os.fchmod(file.fileno(), FILE_MODE)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            sync_directory(target.parent)

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a range of a file; see `Store.read`."""
        source = self.locate(path)
        with file_errors(source):
            try:
                file = source.open("rb")
            except FileNotFoundError:
                raise IntegrityBroken(f"{source} is missing, but the catalog claims it") from None
            with file:
                file.seek(start)
                while block := file.read(BLOCK if length is None else min(BLOCK, length)):
                    length = None if length is None else length - len(block)
                    yield block

    def stat(self, path: str) -> StoredFile | None:
        """Return size and time of a file; None when there is none."""
        target = self.locate(path)
        with file_errors(target):
            try:
                found = target.stat()
            except FileNotFoundError:
                return None
        return StoredFile(path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def hold(self, path: str, *, on: bool) -> bool:
        """Return False: a directory offers no holds; the catalog's are what counts."""
        self.locate(path)
        return False

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """Yield the files of a folder and below it."""
        top = self.locate(prefix) if prefix else self.root
        for folder, folders, names in os.walk(top):
            if UNFINISHED in folders:
                folders.remove(UNFINISHED)
            folders.sort()
            for name in sorted(names):
                if not name.startswith(TEMPORARY_PREFIX):
                    found = self.stat((Path(folder) / name).relative_to(self.root).as_posix())
                    if found is not None:
                        yield found

    def delete(self, path: str) -> bool:
        """Remove a published file that the catalog no longer claims; False when it was gone already.

        Also then its directory is synced: whoever unlinked it may have died before that.
        """
        target = self.locate(path)
        with file_errors(target):
            try:
                target.unlink()
                existed = True
            except FileNotFoundError:
                existed = False
            if target.parent.is_dir():
                sync_directory(target.parent)
        return existed

    def discard_unfinished(self, *, older_than_s: float, now: float) -> int:
        """Remove temporary files that a crash left; `now` is wall time, seconds since 1970. Returns how many."""
        folder = self.root / UNFINISHED
        removed = 0
        with file_errors(folder):
            for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
                with contextlib.suppress(FileNotFoundError):  # its maker has published it meanwhile
                    if now - path.stat().st_mtime >= older_than_s:
                        path.unlink()
                        removed += 1
        return removed

    def _unfinished(self) -> Path:
        folder = self.root / UNFINISHED
        _make_directories(folder)
        return folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


class PendingFile:
    """A file under construction, and its publication."""

    def __init__(self, store: FileStore, folder: Path, path: Path) -> None:
        self.path = path
        """Write the content here (replacing it by rename is allowed, too)."""
        self._store = store
        self._folder = folder
        self._sealed: PublishedFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()

    def publish(self, name: Callable[[bytes], str], *, expected_bytes: int | None = None) -> PublishedFile:
        """`seal` and `link` in one."""
        self.seal(name, expected_bytes=expected_bytes)
        return self.link()

    def seal(self, name: Callable[[bytes], str], *, expected_bytes: int | None = None) -> PublishedFile:
        """Make the content durable and read-only, and say under which name `link` will publish it.

        Args:
            name: derives the file name inside the folder that was begun from the SHA-256 of the content; see
                `storage.files.layout.file_name`.
            expected_bytes: what the caller wrote; another length means that something was cut off.

        Errors: `IntegrityBroken` for another length.

        """
        with file_errors(self.path):
            size, digest = _seal(self.path, self._store.root)
        if expected_bytes is not None and size != expected_bytes:
            raise IntegrityBroken(f"{self.path} has {size} bytes instead of {expected_bytes}: not published")
        final = self._folder / _checked_name(name(digest))
        self._sealed = PublishedFile(self._store.name, final.relative_to(self._store.root).as_posix(), size, digest)
        return self._sealed

    def link(self) -> PublishedFile:
        """Give the sealed content its name, durably. The same content under that name already is fine.

        Errors: `AlreadyPublished` for a name that holds another content.
        """
        sealed = self._sealed
        if sealed is None:
            raise StorageMisused("a file is sealed before it gets its name")
        final = self._store.locate(sealed.path)
        with file_errors(self.path):
            if not _link(self.path, final) and digest_file(final) != (sealed.size_bytes, sealed.sha256):
                raise AlreadyPublished(f"{final} exists with another content; it was left as it is")
            self.path.unlink(missing_ok=True)
            sync_directory(self._folder)
        return sealed

    def discard(self) -> None:
        """Remove the temporary file if it is still there."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def copy_durably(source: Path, target: Path, *, size_bytes: int, sha256: bytes, replace: bool = False) -> None:
    """Copy a published file to a place of the user's choice, verified while copying; see `write_durably`."""
    with file_errors(source):
        try:
            reader = source.open("rb")
        except FileNotFoundError:
            raise IntegrityBroken(f"{source} is missing, but the catalog claims it") from None
    with reader:
        blocks = iter(lambda: reader.read(BLOCK), b"")
        write_durably(blocks, target, name=str(source), size_bytes=size_bytes, sha256=sha256, replace=replace)


def write_durably(
    blocks: Iterable[bytes], target: Path, *, name: str, size_bytes: int, sha256: bytes, replace: bool = False
) -> None:
    """Write what is read from elsewhere to a place of the user's choice, verified while it is written.

    Args:
        blocks: the content.
        target: the file to make.
        name: of the source, for messages.
        size_bytes: what the content must be, as `sha256`.
        sha256: see `size_bytes`.
        replace: whether a target that is there is replaced.

    Errors: `AlreadyPublished` when the target exists and `replace` is false, `IntegrityBroken` when the content is not
    what the catalog says (the target is then not made), and the errors of source and file system.

    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        with file_errors(target):
            if not target.parent.is_dir():
                raise StoreForbidden(f"{target.parent} is not a directory: make it first")
            if target.is_dir():
                raise AlreadyPublished(f"{target} is a directory: name the file to write")
            hasher = hashlib.sha256()
            written = 0
            with temporary.open("xb") as writer:
                for block in blocks:
                    hasher.update(block)
                    written += writer.write(block)
                writer.flush()
                os.fsync(writer.fileno())
            if (written, hasher.digest()) != (size_bytes, sha256):
                raise IntegrityBroken(
                    f"{name} is not what the catalog says: {written} bytes, SHA-256 {hasher.hexdigest()}, expected "
                    f"{size_bytes} bytes, {sha256.hex()}; nothing was exported"
                )
            if replace:
                temporary.replace(target)
            elif not _link(temporary, target):
                raise AlreadyPublished(f"{target} exists already")
            temporary.unlink(missing_ok=True)
            sync_directory(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def digest_file(path: Path) -> tuple[int, bytes]:
    """Return length in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").digest()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ours; `path` names the file when the error does not."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = f"{error.filename or path}: {error.strerror or error}"
        if error.errno in _FULL:
            raise StoreFull(f"{reason}: free some space, or move the recordings to a larger disk") from error
        if error.errno in _FORBIDDEN:
            raise StoreForbidden(f"{reason}: give this user write access") from error
        raise StoreFailed(reason) from error


def _seal(path: Path, root: Path) -> tuple[int, bytes]:
    """Digest, make read-only and sync: in this order, so that what is synced is what was digested."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        give_to_owner(file.fileno(), root)
        os.fchmod(file.fileno(), FILE_MODE)
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size, digest


def _checked_name(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise StorageMisused(f"{name!r} is not a file name")
    return name


def _link(temporary: Path, final: Path) -> bool:
    """Give the file its final name without replacing another; False when the name is taken."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # A file system without hard links: the names are unique by themselves, the look is a second line of defence.
        if final.exists():
            return False
        temporary.rename(final)
    return True


def _make_directories(folder: Path) -> None:
    """Create missing folders and make each one's name durable in its parent."""
    missing = []
    current = folder
    while not current.is_dir():
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        directory.mkdir(mode=FOLDER_MODE, exist_ok=True)
        give_to_owner(directory, directory.parent)
        sync_directory(directory.parent)
