"""One suite for every store: a directory, and object storage behind a real S3 server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.errors import (
    AlreadyPublished,
    IntegrityBroken,
    StorageMisused,
    StoreForbidden,
    StoreUnreachable,
)
from storage.files import FileStore, Store
from storage.files.object_lock import ObjectLock
from storage.files.object_store import S3Options, S3Store
from tests.kit.object_storage import ObjectStorage, object_storage

pytestmark = [
    pytest.mark.integration,
    # The server's threads, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

PATH = "2026/11/22/CALL0001_3f2a_abcd.wav"
CONTENT = bytes(range(256)) * 5000


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


@pytest.fixture(params=["local", "s3", "s3-prefix", "s3-locked"])
def store(request: pytest.FixtureRequest, tmp_path: Path, server: ObjectStorage) -> Store:
    if request.param == "local":
        return FileStore(tmp_path / "store")
    lockable = request.param == "s3-locked"
    options = server.bucket(lockable=lockable, part_mb=5, prefix="a/b" if request.param == "s3-prefix" else "")
    return S3Store(options, lock=ObjectLock(options) if lockable else None)


@pytest.fixture
def source(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / f"source-{hashlib.sha256(content).hexdigest()[:8]}"
        path.write_bytes(content)
        return path

    return make


def put(store: Store, source: Callable[[bytes], Path], content: bytes = CONTENT, path: str = PATH) -> None:
    store.put(source(content), path, size_bytes=len(content), sha256=hashlib.sha256(content).digest())


def whole(store: Store, path: str = PATH, **part: int) -> bytes:
    return b"".join(store.read(path, **part))


class TestEveryStore:
    def test_gives_back_what_it_was_given(self, store: Store, source: Any) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        put(store, source)
        found = store.stat(PATH)
        assert found is not None
        assert (found.path, found.size_bytes) == (PATH, len(CONTENT))
        assert before <= found.modified_at <= datetime.now(UTC) + timedelta(seconds=2)
        assert whole(store) == CONTENT

    def test_takes_large_files_in_parts(self, store: Store, source: Any) -> None:
        content = os.urandom((11 << 20) + 7)  # three parts of 5 MiB
        put(store, source, content)
        assert hashlib.sha256(whole(store)).digest() == hashlib.sha256(content).digest()

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 1), (1000, 70_000), (len(CONTENT) - 1, 1), (len(CONTENT) - 5, 99), (5, None)]
    )
    def test_reads_any_range(self, store: Store, source: Any, start: int, length: int | None) -> None:
        put(store, source)
        part = b"".join(store.read(PATH, start=start, length=length))
        assert part == CONTENT[start : None if length is None else start + length]

    def test_reads_nothing_beyond_the_end(self, store: Store, source: Any) -> None:
        put(store, source)
        assert whole(store, start=len(CONTENT)) == b""

    def test_takes_the_same_content_again(self, store: Store, source: Any) -> None:
        put(store, source)
        put(store, source)
        assert whole(store) == CONTENT

    def test_never_overwrites_another_content(self, store: Store, source: Any) -> None:
        put(store, source)
        with pytest.raises(AlreadyPublished):
            put(store, source, CONTENT[::-1])
        assert whole(store) == CONTENT

    def test_refuses_a_source_that_is_not_what_it_should_be(self, store: Store, source: Any) -> None:
        with pytest.raises(IntegrityBroken):
            store.put(source(CONTENT), PATH, size_bytes=len(CONTENT), sha256=bytes(32))
        with pytest.raises(IntegrityBroken):
            store.put(Path("/nowhere"), PATH, size_bytes=1, sha256=bytes(32))
        assert store.stat(PATH) is None

    def test_replaces_small_files_whole(self, store: Store) -> None:
        for content in (b"first", b"second, longer", b"x"):
            store.replace(content, "a/b.keys")
            assert whole(store, "a/b.keys") == content

    def test_says_that_a_file_is_missing(self, store: Store) -> None:
        assert store.stat(PATH) is None
        with pytest.raises(IntegrityBroken, match="missing"):
            whole(store)

    def test_deletes_once(self, store: Store, source: Any) -> None:
        put(store, source)
        assert store.delete(PATH) is True
        assert store.delete(PATH) is False
        assert store.stat(PATH) is None
        assert list(store.list()) == []

    def test_lists_what_it_has(self, store: Store, source: Any) -> None:
        paths = [f"2026/11/{day}/{name}.wav" for day in ("21", "22") for name in ("a", "b c", "ü")]
        for path in paths:
            put(store, source, path.encode(), path)
        assert sorted(file.path for file in store.list()) == sorted(paths)
        assert {file.path: file.size_bytes for file in store.list("2026/11/22")} == {
            path: len(path.encode()) for path in paths[3:]
        }
        assert list(store.list("2026/11/2")) == []  # a folder, not the beginning of a name

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\0b", ""])
    def test_keeps_paths_inside(self, store: Store, source: Any, path: str) -> None:
        for call in (
            store.stat,
            store.delete,
            lambda path: list(store.read(path)),
            lambda path: put(store, source, path=path),
        ):
            with pytest.raises(StorageMisused):
                call(path)

    def test_says_whether_it_offers_holds(self, store: Store, source: Any, request: pytest.FixtureRequest) -> None:
        put(store, source)
        assert store.hold(PATH, on=True) is (request.node.callspec.params["store"] == "s3-locked")


def test_a_locked_object_stays_until_its_day(server: ObjectStorage, source: Any) -> None:
    options = server.bucket(lockable=True, lock="compliance", lock_days=30)
    store = S3Store(options, lock=ObjectLock(options))
    put(store, source)
    with pytest.raises(StoreForbidden, match="locked"):
        store.delete(PATH)
    assert whole(store) == CONTENT

    past = S3Store(options, lock=ObjectLock(options, now=lambda: datetime.now(UTC) - timedelta(days=60)))
    put(past, source, b"older", "older.wav")
    assert past.delete("older.wav") is True


def test_a_hold_stops_removal_until_it_is_lifted(server: ObjectStorage, source: Any) -> None:
    options = server.bucket(lockable=True)
    store = S3Store(options, lock=ObjectLock(options))
    put(store, source)
    assert store.hold(PATH, on=True) is True
    with pytest.raises(StoreForbidden):
        store.delete(PATH)
    assert store.hold(PATH, on=False) is True
    assert store.delete(PATH) is True
    versions = server.client.list_object_versions(Bucket=options.bucket)
    assert versions.get("Versions", []) == []


def test_a_server_that_is_away_is_unreachable(source: Any) -> None:
    store = S3Store(
        S3Options(bucket="b", endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="b", timeout_s=1.0)
    )
    for call in (
        lambda: store.stat(PATH),
        lambda: put(store, source),
        lambda: store.delete(PATH),
        lambda: list(store.list()),
    ):
        with pytest.raises(StoreUnreachable):
            call()


def test_a_bucket_that_does_not_exist_is_told(server: ObjectStorage, source: Any) -> None:
    options = server.bucket()
    store = S3Store(S3Options(bucket="absent", endpoint=options.endpoint, access_key_id="a", secret_access_key="b"))
    with pytest.raises(StoreUnreachable, match="absent"):
        put(store, source)
