"""Publication of files: the whole file under its name, or nothing."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from storage.errors import (
    AlreadyPublished,
    IntegrityBroken,
    StorageError,
    StorageMisused,
    StoreFailed,
    StoreForbidden,
    StoreFull,
)
from storage.files.durable import FileStore, copy_durably, digest_file
from storage.integrity import SigningKeys

DAY = PurePosixPath("2026/11/22")
CONTENT = b"RIFF" + bytes(1000)
DIGEST = hashlib.sha256(CONTENT).digest()


def fixed(name: str) -> Callable[[bytes], str]:
    return lambda _: name


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "recordings")


def publish(store: FileStore, content: bytes = CONTENT, name: str = "a.wav", **options: int) -> Path:
    with store.begin(DAY) as pending:
        pending.path.write_bytes(content)
        return store.root / pending.publish(fixed(name), **options).path


def test_a_published_file_is_whole_read_only_and_alone_in_its_folder(store: FileStore) -> None:
    path = publish(store)
    assert path == store.root / "2026/11/22/a.wav"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o440
    assert path.parent.stat().st_mode & 0o777 == 0o750
    assert [entry.name for entry in path.parent.iterdir()] == ["a.wav"]


def test_the_facts_are_those_of_the_bytes(store: FileStore) -> None:
    with store.begin(DAY) as pending:
        pending.path.write_bytes(CONTENT)
        published = pending.publish(lambda digest: f"{digest.hex()[:8]}.wav")
    assert (published.size_bytes, published.sha256, published.store) == (len(CONTENT), DIGEST, "local")
    assert published.path == f"2026/11/22/{DIGEST.hex()[:8]}.wav"


def test_the_content_may_be_put_in_place_by_another_file(store: FileStore) -> None:
    """Renderers make files of their own; the pending path is then replaced."""
    with store.begin(DAY) as pending:
        pending.path.unlink()
        pending.path.write_bytes(CONTENT)
        assert pending.publish(fixed("a.wav")).sha256 == DIGEST


def test_nothing_is_left_when_the_writer_fails(store: FileStore) -> None:
    def fail_half_way() -> None:
        with store.begin(DAY) as pending:
            pending.path.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list((store.root / DAY).iterdir()) == []


def test_another_length_is_not_published(store: FileStore) -> None:
    with pytest.raises(IntegrityBroken, match="1004 bytes instead of 2000"):
        publish(store, expected_bytes=2000)
    assert list((store.root / DAY).iterdir()) == []


def test_the_same_content_may_be_published_again(store: FileStore) -> None:
    first = publish(store)
    inode = first.stat().st_ino
    assert publish(store) == first
    assert first.stat().st_ino == inode


def test_another_content_never_replaces_a_published_file(store: FileStore) -> None:
    path = publish(store)
    with pytest.raises(AlreadyPublished):
        publish(store, b"other")
    assert path.read_bytes() == CONTENT


def test_without_hard_links_a_published_file_is_not_replaced_either(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", refuse)
    path = publish(store)
    assert path.read_bytes() == CONTENT
    with pytest.raises(AlreadyPublished):
        publish(store, b"other")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../b", "a\0b"])
def test_a_name_cannot_leave_the_folder(store: FileStore, name: str) -> None:
    with pytest.raises(StorageMisused):
        publish(store, name=name)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_path_cannot_leave_the_store(store: FileStore, path: str) -> None:
    with pytest.raises(StorageMisused):
        store.locate(path)


def test_everything_is_synced_before_the_catalog_may_know(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content first, then the name; each new folder in its parent."""
    synced: list[tuple[str, bool]] = []
    real = os.fsync
    final = store.root / DAY / "a.wav"

    def recording(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), final.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    publish(store)
    content, folder = synced[-2:]
    assert ".unfinished-" in content[0]
    assert content[1] is False
    assert folder == (str(store.root / DAY), True)
    assert [path for path, _ in synced[:-2]] == [
        str(directory)
        for directory in (store.root.parent, store.root, store.root / "2026", store.root / "2026/11", store.root)
    ]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreForbidden),
        (errno.EROFS, StoreForbidden),
        (errno.EIO, StoreFailed),
    ],
)
def test_errors_of_the_file_system_are_ours(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[StorageError]
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected):
        publish(store)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_target_below_a_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with pytest.raises(StoreForbidden, match="not a directory"):
        copy_durably(source, source / "x", size_bytes=len(CONTENT), sha256=DIGEST)


def test_removal_says_whether_there_was_something(store: FileStore) -> None:
    publish(store)
    assert store.delete("2026/11/22/a.wav") is True
    assert store.delete("2026/11/22/a.wav") is False


def test_unfinished_files_of_a_crash_are_removed_once_old(store: FileStore) -> None:
    kept = publish(store)
    left = store.begin(DAY).path
    now = left.stat().st_mtime
    assert store.discard_unfinished(older_than_s=60, now=now + 59) == 0
    assert store.discard_unfinished(older_than_s=60, now=now + 60) == 1
    assert [file.path for file in store.list()] == [kept.relative_to(store.root).as_posix()]


class TestCopy:
    """Export: a verified copy."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "master.wav"
        path.write_bytes(CONTENT)
        return path

    def test_the_copy_equals_the_source(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.wav"
        copy_durably(source, target, size_bytes=len(CONTENT), sha256=DIGEST)
        assert digest_file(target) == (len(CONTENT), DIGEST)
        assert os.access(target, os.W_OK)

    def test_an_existing_target_is_left_alone(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.wav"
        target.write_bytes(b"mine")
        with pytest.raises(AlreadyPublished):
            copy_durably(source, target, size_bytes=len(CONTENT), sha256=DIGEST)
        assert target.read_bytes() == b"mine"

    def test_an_existing_target_is_replaced_on_demand(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.wav"
        target.write_bytes(b"mine")
        copy_durably(source, target, size_bytes=len(CONTENT), sha256=DIGEST, replace=True)
        assert target.read_bytes() == CONTENT

    def test_a_changed_byte_is_found_and_nothing_is_exported(self, source: Path, tmp_path: Path) -> None:
        source.write_bytes(CONTENT[:-1] + b"\x01")
        with pytest.raises(IntegrityBroken, match="nothing was exported"):
            copy_durably(source, tmp_path / "copy.wav", size_bytes=len(CONTENT), sha256=DIGEST)
        assert [path.name for path in tmp_path.iterdir()] == ["master.wav"]

    def test_a_missing_source_is_an_integrity_error(self, tmp_path: Path) -> None:
        with pytest.raises(IntegrityBroken, match="missing"):
            copy_durably(tmp_path / "none", tmp_path / "copy.wav", size_bytes=1, sha256=DIGEST)

    def test_a_directory_is_not_replaced(self, source: Path, tmp_path: Path) -> None:
        with pytest.raises(AlreadyPublished, match="is a directory"):
            copy_durably(source, tmp_path, size_bytes=len(CONTENT), sha256=DIGEST, replace=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_in_a_tree_is_of_its_owner(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "recordings")
    store.root.mkdir()
    os.chown(store.root, 1234, 1235)
    published = publish(store)
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    store.put(source, "b/c.wav", size_bytes=len(CONTENT), sha256=DIGEST)
    store.replace(CONTENT, "b/c.keys")
    made = [path for path in store.root.rglob("*") if path.name != "source"]
    assert published in made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(1234, 1235)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_signing_key_that_root_makes_is_of_the_owner_of_the_state_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    SigningKeys.open(tmp_path / "keys").rotate()
    made = [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]
    assert len(made) == 5, "two folders, the private key, two public ones"
    assert {path.stat().st_uid for path in made} == {1234}
