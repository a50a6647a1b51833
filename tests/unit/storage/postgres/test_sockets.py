"""Where the socket lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from storage.postgres import sockets
from storage.postgres.account import Account
from storage.postgres.sockets import SOCKET_NAME, make_socket_directory, remove_socket_directory

LIMIT = sockets.ADDRESS_LIMIT
OURSELVES = Account(os.geteuid(), os.getegid(), switch=False)


@pytest.fixture(autouse=True)
def short_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "t"
    base.mkdir()
    monkeypatch.setattr(sockets, "SHORT_BASE", base)
    # Whatever the length of the directories that this test run was given.
    monkeypatch.setattr(sockets, "ADDRESS_LIMIT", len(os.fsencode(tmp_path)) + 60)
    return base


def padded(directory: Path, length: int) -> Path:
    """A run directory for which the socket's path has exactly this many bytes."""
    missing = length - len(os.fsencode(directory / "x" / "postgresql" / SOCKET_NAME)) + 1
    return directory / ("d" * missing)


def test_the_limit_is_that_of_linux() -> None:
    with socket.socket(socket.AF_UNIX) as one:
        with pytest.raises(OSError, match="too long"):
            one.connect("x" * (LIMIT + 1))
        with pytest.raises(FileNotFoundError):
            one.connect("x" * LIMIT)


def test_a_path_that_just_fits_stays_in_the_run_directory(tmp_path: Path) -> None:
    run = padded(tmp_path, sockets.ADDRESS_LIMIT)
    directory = make_socket_directory(run, tmp_path / "data", OURSELVES)
    assert directory == run / "postgresql"
    assert len(os.fsencode(directory / SOCKET_NAME)) == sockets.ADDRESS_LIMIT
    assert directory.stat().st_mode & 0o777 == 0o700


def test_one_byte_more_goes_to_a_short_private_directory(tmp_path: Path, short_base: Path) -> None:
    directory = make_socket_directory(padded(tmp_path, sockets.ADDRESS_LIMIT + 1), tmp_path / "data", OURSELVES)
    assert directory.parent == short_base
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_comma_goes_there_too(tmp_path: Path, short_base: Path) -> None:
    """asyncpg and libpq would take it for two hosts."""
    run = Path(tmp_path.anchor, "a,b")
    assert make_socket_directory(run, tmp_path / "data", OURSELVES).parent == short_base


def test_what_an_earlier_server_left_is_reclaimed(tmp_path: Path, short_base: Path) -> None:
    run = padded(tmp_path, sockets.ADDRESS_LIMIT + 1)
    left = make_socket_directory(run, tmp_path / "data", OURSELVES)
    (left / SOCKET_NAME).touch()
    other = make_socket_directory(run, tmp_path / "other data", OURSELVES)
    again = make_socket_directory(run, tmp_path / "data", OURSELVES)
    assert set(short_base.iterdir()) == {other, again}


def test_what_only_looks_like_ours_is_left_alone(tmp_path: Path, short_base: Path) -> None:
    """Somebody may plant a symbolic link under the name in a shared directory."""
    run = padded(tmp_path, sockets.ADDRESS_LIMIT + 1)
    directory = make_socket_directory(run, tmp_path / "data", OURSELVES)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    planted = directory.with_name(directory.name[:-8] + "planted")
    planted.symlink_to(precious)
    make_socket_directory(run, tmp_path / "data", OURSELVES)
    assert (precious / "file").exists()
    assert planted.is_symlink()


def test_removal_takes_what_a_killed_server_left(tmp_path: Path) -> None:
    directory = make_socket_directory(tmp_path / "run", tmp_path / "data", OURSELVES)
    (directory / SOCKET_NAME).touch()
    remove_socket_directory(directory)
    assert not directory.exists()
    remove_socket_directory(directory)
