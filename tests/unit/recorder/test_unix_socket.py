"""Unix sockets at paths longer than sun_path."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from recorder import unix_socket


def test_a_path_of_any_length_can_be_listened_on_and_connected_to(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = directory / "control.sock"
    with unix_socket.listen(path) as listener, unix_socket.connect(path) as client:
        listener.setblocking(True)
        server, _ = listener.accept()
        with server:
            client.sendall(b"hello")
            assert server.recv(5) == b"hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    unix_socket.listen(path).close()
    with unix_socket.listen(path), unix_socket.connect(path):
        pass


def test_nobody_listening_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unix_socket.connect(tmp_path / "absent.sock")


async def test_a_full_queue_never_holds_up_the_event_loop(tmp_path: Path) -> None:
    """A process that is stuck accepts nothing: whoever asks for a connection is told so instead of waiting."""
    path = tmp_path / "writer-1.sock"
    # The kernel lets one more wait than the backlog says.
    with (
        unix_socket.listen(path, backlog=1),
        unix_socket.connect(path),
        unix_socket.connect(path),
        pytest.raises(BlockingIOError),
    ):
        await unix_socket.open_streams(path)


async def test_streams_reach_whoever_listens(tmp_path: Path) -> None:
    path = tmp_path / "writer-1.sock"
    with unix_socket.listen(path) as listener:
        reader, writer = await unix_socket.open_streams(path)
        server, _ = listener.accept()
        with server:
            server.sendall(b"hello")
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
