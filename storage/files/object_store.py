"""A store in S3-compatible object storage, through obstore: multipart uploads, retries with back-off, digests.

Each object carries its SHA-256 as metadata, so that a repeated upload is known from another content. Per-object lock
and legal hold are in `object_lock`, which needs a further library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Bucket

from storage.errors import AlreadyPublished, IntegrityBroken, StoreForbidden, StoreUnreachable
from storage.files.durable import digest_file, file_errors
from storage.files.port import BLOCK, StoredFile, checked_path

if TYPE_CHECKING:
    from storage.files.object_lock import ObjectLock

_DIGEST: Final = "sha256"
"""Name of the metadata field; on the wire `x-amz-meta-sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Which bucket, and how to reach it. Empty credentials: those of the environment, as the AWS tools find them."""

    bucket: str
    endpoint: str = ""
    """`https://host:port`; empty: AWS."""
    region: str = "us-east-1"
    prefix: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    part_mb: int = 16
    """MiB of a part of a multipart upload; smaller files go in one request."""
    timeout_s: float = 30.0
    """Of one request, and of all its retries."""
    lock: Literal["none", "governance", "compliance"] = "none"
    lock_days: int = 0
    """Days during which a stored object cannot be removed."""


class S3Store:
    """A bucket, or a folder of it."""

    def __init__(self, options: S3Options, *, name: str = "s3", lock: ObjectLock | None = None) -> None:
        self.name = name
        self._options = options
        self._lock = lock
        limit = timedelta(seconds=options.timeout_s)
        config: dict[str, Any] = {"region": options.region, "checksum_algorithm": "SHA256"}
        if options.endpoint:
            config["endpoint"] = options.endpoint
        if options.access_key_id:
            config |= {"access_key_id": options.access_key_id, "secret_access_key": options.secret_access_key}
        self._bucket = Bucket(
            options.bucket,
            prefix=options.prefix or None,
            config=config,  # type: ignore[arg-type] # a TypedDict whose keys are chosen here
            client_options={
                "allow_http": options.endpoint.startswith("http://"),
                "timeout": limit,
                "connect_timeout": min(limit, timedelta(seconds=5)),
            },
            retry_config={
                "max_retries": 4,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
                "retry_timeout": limit,
            },
        )

    def put(self, source: Path, path: str, *, size_bytes: int, sha256: bytes) -> None:
        """Upload a file; see `Store.put`."""
        checked_path(path)
        with file_errors(source):
            if not source.exists() or digest_file(source) != (size_bytes, sha256):
                raise IntegrityBroken(f"{source} is missing or is not what the catalog says: not uploaded")
        if (stored := self._digest_of(path)) is not None:
            if stored != (size_bytes, sha256.hex()):
                raise AlreadyPublished(f"{self.name}:{path} exists with another content; it was left as it is")
        else:
            with file_errors(source), self._errors(path):
                obstore.put(
                    self._bucket,
                    path,
                    source,
                    attributes={_DIGEST: sha256.hex()},
                    use_multipart=size_bytes > self._part_bytes,
                    chunk_size=self._part_bytes,
                    max_concurrency=2,
                )
            found = self.stat(path)
            if found is None or found.size_bytes != size_bytes:
                raise IntegrityBroken(f"{self.name}:{path} has not the {size_bytes} bytes that were uploaded")
        if self._lock is not None:
            self._lock.protect(self._key(path))

    def replace(self, content: bytes, path: str) -> None:
        """Upload a small object in place of what may be there."""
        checked_path(path)
        with self._errors(path):
            obstore.put(self._bucket, path, content, use_multipart=False)

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a range of an object; see `Store.read`."""
        checked_path(path)
        found = self.stat(path)
        if found is None:
            raise IntegrityBroken(f"{self.name}:{path} is missing, but the catalog claims it")
        end = found.size_bytes if length is None else min(start + length, found.size_bytes)
        if start >= end:
            return
        with self._errors(path):
            for block in obstore.get(self._bucket, path, options={"range": (start, end)}).stream(BLOCK):
                yield bytes(block)

    def stat(self, path: str) -> StoredFile | None:
        """Ask for an object's size and time."""
        checked_path(path)
        with self._errors(path):
            try:
                found = obstore.head(self._bucket, path)
            except FileNotFoundError:
                return None
        return StoredFile(path, found["size"], found["last_modified"])

    def delete(self, path: str) -> bool:
        """Remove an object; where objects are locked, all its versions."""
        if self._lock is not None:
            return self._lock.erase(self._key(path))
        if self.stat(path) is None:
            return False
        with self._errors(path):
            obstore.delete(self._bucket, path)
        return True

    def hold(self, path: str, *, on: bool) -> bool:
        """Set or lift the legal hold of an object, where object lock is in use."""
        if self._lock is None:
            return False
        self._lock.hold(self._key(path), on=on)
        return True

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """Yield the objects of a folder and below it."""
        with self._errors(prefix):
            for page in obstore.list(self._bucket, prefix=prefix.rstrip("/") or None):
                for found in page:
                    yield StoredFile(found["path"], found["size"], found["last_modified"])

    @property
    def _part_bytes(self) -> int:
        return self._options.part_mb << 20

    def _key(self, path: str) -> str:
        checked_path(path)
        return f"{self._options.prefix.strip('/')}/{path}".lstrip("/")

    def _digest_of(self, path: str) -> tuple[int, str] | None:
        with self._errors(path):
            try:
                found = obstore.get(self._bucket, path, options={"head": True})
            except FileNotFoundError:
                return None
            return found.meta["size"], str(found.attributes.get(_DIGEST, ""))

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Turn the library's errors into ours; what it does not name is taken for an outage."""
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreForbidden(f"{self.name}:{path}: the object store refuses us: {_first_line(error)}") from error
        except FileNotFoundError as error:  # of the calls that do not ask whether there is something
            raise StoreUnreachable(
                f"{self.name}:{path}: bucket {self._options.bucket} does not answer for it: {_first_line(error)}"
            ) from error
        except BaseError as error:
            raise StoreUnreachable(f"{self.name}:{path}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].strip()
