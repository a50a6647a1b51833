"""The fork server's answers, by its protocol."""

from __future__ import annotations

import errno
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import msgspec
import pytest

from recorder import fork_server
from recorder.channel import Channel
from recorder.errors import ChannelLostError
from recorder.fork_server import Answer, Failed, Fork, Load, Loaded, Request, serve

LIMIT_S: Final = 60.0
_ANSWERS: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(LIMIT_S)
    with ours, theirs:
        yield ours, theirs


def send(to: socket.socket, request: Request, *descriptors: int) -> None:
    socket.send_fds(to, [msgspec.msgpack.encode(request)], descriptors)


def served(request: Request, *descriptors: int) -> Answer:
    """Let a fork server in this process answer one request and see its supervisor go."""
    with pair() as (ours, theirs):
        send(ours, request, *descriptors)
        ours.shutdown(socket.SHUT_WR)
        assert serve(theirs, os.getpid()) is None
        return _ANSWERS.decode(ours.recv(4096))


def test_what_cannot_be_imported_is_told_and_ends_no_fork_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fork_server, "ROLES", {"writer": "recorder.nowhere"})
    assert served(Load("writer")) == Loaded()
    assert "No module named 'recorder.nowhere'" in capsys.readouterr().err


def refuses(*_: Any) -> NoReturn:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def intermediate_fails(fork: Callable[[], int] = os.fork) -> int:
    """A process between that ends as it would if it could not fork."""
    pid = fork()
    if not pid:
        os._exit(errno.ENOMEM)
    return pid


@pytest.mark.parametrize("fork", [refuses, intermediate_fails])
def test_a_process_that_is_not_to_be_had_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, fork: Callable[[], int]
) -> None:
    monkeypatch.setattr(os, "fork", fork)
    # What is frozen stays so in the process of the tests.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    with pair() as (one, _):
        assert served(Fork("writer", "writer-1"), os.dup(one.fileno())) == Failed(errno.ENOMEM)


def test_a_child_that_nobody_adopts_ends_and_the_fork_server_goes_on() -> None:
    with (
        pair() as (ours, theirs),
        pair() as (channel, given),
        subprocess.Popen(
            [sys.executable, "-P", "-m", "recorder.fork_server", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        ) as server,
    ):
        theirs.close()
        send(ours, Fork("writer", "writer-1"), given.fileno())
        given.close()
        with pytest.raises(ChannelLostError):
            Channel(channel).receive()
        send(ours, Load("writer"))
        assert _ANSWERS.decode(ours.recv(4096)) == Loaded()
        ours.close()
        assert server.wait(LIMIT_S) == 0
