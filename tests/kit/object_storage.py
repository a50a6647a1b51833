"""A local S3 server (moto) in this process, with the failures that a test wants."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from botocore.session import get_session
from moto.server import ThreadedMotoServer

from storage.files.object_store import S3Options


@dataclass(frozen=True, slots=True)
class ObjectStorage:
    """A running server; buckets have random names, so that tests do not meet."""

    endpoint: str
    client: Any
    """botocore's: looks at the server past the code under test."""

    def bucket(self, *, lockable: bool = False, **options: Any) -> S3Options:
        """Make a bucket and return how to reach it."""
        name = f"recordings-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lockable)
        reach = S3Options(
            bucket=name,
            endpoint=self.endpoint,
            access_key_id="AKTEST",
            secret_access_key="secret",
            timeout_s=60.0,
        )
        return replace(reach, **options)


@contextlib.contextmanager
def object_storage(port: int = 0) -> Iterator[ObjectStorage]:
    """Run a server until the block is left."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, bound = server.get_host_and_port()
        endpoint = f"http://{host}:{bound}"
        client = get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id="AKTEST",
            aws_secret_access_key="secret",
        )
        yield ObjectStorage(endpoint, client)
    finally:
        server.stop()
