"""Object lock of S3 buckets: retention until a date, legal hold, and removal of every version. Needs botocore (extra).

The bucket must have been made with object lock, which makes it keep versions: removing an object leaves its bytes until
their version is removed, and that the bucket refuses while a lock or a hold stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from storage.errors import StorageMisused, StoreForbidden, StoreUnreachable

if TYPE_CHECKING:
    from storage.files.object_store import S3Options

_REFUSALS: Final = ("AccessDenied", "InvalidRequest", "403")


class ObjectLock:
    """Locks and holds of one bucket.

    Args:
        options: those of the store.
        now: wall clock, UTC.

    Errors: `StorageMisused` when botocore is not installed.

    """

    def __init__(self, options: S3Options, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        try:
            from botocore.config import Config  # noqa: PLC0415 - an extra
            from botocore.session import get_session  # noqa: PLC0415
        except ImportError:
            raise StorageMisused(
                "s3.lock needs botocore: install tandem-recorder[object-lock], or set s3.lock = 'none'"
            ) from None
        self._bucket = options.bucket
        self._mode = options.lock.upper()
        self._days = options.lock_days
        self._now = now
        self._client: Any = get_session().create_client(
            "s3",
            region_name=options.region,
            endpoint_url=options.endpoint or None,
            aws_access_key_id=options.access_key_id or None,
            aws_secret_access_key=options.secret_access_key or None,
            config=Config(
                connect_timeout=5, read_timeout=options.timeout_s, retries={"mode": "standard", "total_max_attempts": 4}
            ),
        )

    def protect(self, key: str) -> None:
        """Lock an object for the configured days from now; 0 days leave it to the bucket's own rule."""
        if self._days:
            until = self._now() + timedelta(days=self._days)
            with _errors(key):
                self._client.put_object_retention(
                    Bucket=self._bucket, Key=key, Retention={"Mode": self._mode, "RetainUntilDate": until}
                )

    def hold(self, key: str, *, on: bool) -> None:
        """Set or lift an object's legal hold."""
        with _errors(key):
            self._client.put_object_legal_hold(
                Bucket=self._bucket, Key=key, LegalHold={"Status": "ON" if on else "OFF"}
            )

    def erase(self, key: str) -> bool:
        """Remove all versions of an object; False when there is none. `StoreForbidden` while one is locked or held."""
        with _errors(key):
            versions = [
                version["VersionId"]
                for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                if version["Key"] == key
            ]
            for version in versions:
                self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)
        return bool(versions)


@contextlib.contextmanager
def _errors(key: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _REFUSALS:
            raise StoreForbidden(
                f"{key}: the object store refuses it ({code}): locked, under hold, or no right"
            ) from error
        raise StoreUnreachable(f"{key}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnreachable(f"{key}: {error}") from error
