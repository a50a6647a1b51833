"""Filters on real sockets follow the allow list and the floods of the moment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from recorder.edge.networks import EVERYWHERE, network
from recorder.edge.shield import MAX_SHUNNED, SHUNNED_S, Shield

ANYWHERE = [network(text) for text in EVERYWHERE]
INVITE, BYE = b"INVITE sip:a@b SIP/2.0", b"BYE sip:a@b SIP/2.0"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        yield sock


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.2", 0))
        yield sock


def arrives(client: socket.socket, server: socket.socket, data: bytes) -> bool:
    """Whether `data` arrives; a BYE behind it always does."""
    client.sendto(data, server.getsockname())
    client.sendto(BYE, server.getsockname())
    if server.recv(100) != data:
        return False
    assert server.recv(100) == BYE
    return True


def test_a_flood_is_shunned_for_some_time_only(server: socket.socket, client: socket.socket) -> None:
    shield = Shield([server], ANYWHERE)
    shield.raise_up()
    assert arrives(client, server, INVITE)
    shield.update(["127.0.0.2"], 100.0)
    assert shield.shunned == ["127.0.0.2"]
    assert not arrives(client, server, INVITE)
    shield.update([], 100.0 + SHUNNED_S - 0.1)
    assert not arrives(client, server, INVITE)
    shield.update([], 100.0 + SHUNNED_S)
    assert shield.shunned == []
    assert arrives(client, server, INVITE)


def test_what_a_dead_process_shunned_is_let_through_by_its_successor(
    server: socket.socket, client: socket.socket
) -> None:
    Shield([server], ANYWHERE).update(["127.0.0.2"], 100.0)
    assert not arrives(client, server, INVITE)
    Shield([server], ANYWHERE).raise_up()
    assert arrives(client, server, INVITE)


def test_the_allow_list_stays_when_a_flood_is_over(server: socket.socket, client: socket.socket) -> None:
    shield = Shield([server], [network("127.0.0.1")])
    shield.update(["127.0.0.3"], 100.0)
    shield.update([], 200.0)
    client.sendto(BYE, server.getsockname())
    with socket.socket(type=socket.SOCK_DGRAM) as friend:
        friend.sendto(b"friend", server.getsockname())
    assert server.recv(100) == b"friend"


def test_the_number_of_shunned_sources_is_bounded(server: socket.socket) -> None:
    shield = Shield([server], ANYWHERE)
    shield.update([f"10.0.0.{number}" for number in range(200)], 100.0)
    assert len(shield.shunned) == MAX_SHUNNED


def test_a_socket_that_takes_no_filter_is_no_failure() -> None:
    with socket.socket() as sock:
        pass
    Shield([sock], ANYWHERE).update(["10.0.0.1"], 100.0)
