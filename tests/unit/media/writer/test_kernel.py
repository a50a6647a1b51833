"""Packed socket addresses, receive options, drop counters."""

from __future__ import annotations

import socket
import struct
import time

import numpy as np
import pytest

from media.writer.kernel import (
    Address,
    datagram_waits,
    dropped_datagrams,
    drops_since,
    numeric_address,
    prepare_socket,
    source_keys,
)
from tests.integration.media_writer_kit import deliver


def packed(host: str, port: int, *, flow: int = 0, scope: int = 0) -> bytes:
    if ":" in host:
        octets = socket.inet_pton(socket.AF_INET6, host)
        name = struct.pack("<H", socket.AF_INET6) + struct.pack(">HI", port, flow) + octets + struct.pack("<I", scope)
    else:
        name = struct.pack("<H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_pton(socket.AF_INET, host)
    return name.ljust(32, b"\0")


def keys_of(*names: bytes) -> list[int]:
    lengths = np.array([16 if name[0] == socket.AF_INET else 28 for name in names], np.uint32)
    table = np.frombuffer(b"".join(names), np.uint64).reshape(-1, 4)
    return [int(key) for key in source_keys(table, lengths)]


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.7", 40000), ("0.0.0.1", 1), ("255.255.255.255", 65535), ("2001:db8::7", 40001)]
)
def test_the_key_of_a_received_address_is_the_key_of_its_text(host: str, port: int) -> None:
    name = packed(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = Address.unpack(name)
    assert (address.host, address.port) == (host, port)
    assert keys_of(name) == [address.key] == [Address(host, port, family=family).key]


def test_keys_differ_by_host_and_by_port_and_mix_in_one_batch() -> None:
    names = [
        packed("192.0.2.7", 1),
        packed("192.0.2.7", 2),
        packed("192.0.2.8", 1),
        packed("2001:db8::1", 1),
        packed("2001:db8::1", 2),
        packed("2001:db8::2", 1),
        packed("2001:db8:1::1", 1),
    ]
    assert len(set(keys_of(*names))) == len(names)


def test_flow_label_and_scope_do_not_make_another_source() -> None:
    assert len(set(keys_of(packed("fe80::1", 5), packed("fe80::1", 5, flow=77), packed("fe80::1", 5, scope=3)))) == 1


def test_a_mapped_address_is_the_ipv4_address_that_an_sdp_names() -> None:
    received = Address.unpack(packed("::ffff:192.0.2.7", 40000))
    announced = numeric_address("192.0.2.7", 40000, family=socket.AF_INET6)
    assert received.host == "192.0.2.7"
    assert announced is not None
    assert (received.key, received.host_key) == (announced.key, announced.host_key)


@pytest.mark.parametrize("host", ["", "media.example.com", "0.0.0.0", "::", "2001:db8::1"])
def test_an_sdp_address_that_cannot_be_a_source_here_is_none(host: str) -> None:
    assert numeric_address(host, 4000, family=socket.AF_INET) is None


def test_a_prepared_socket_does_not_block_and_counts_what_it_drops() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        prepare_socket(receiver)
        assert not datagram_waits(receiver)
        with pytest.raises(BlockingIOError):
            receiver.recv(1)
        deliver(sender, receiver.getsockname()[1], [bytes(200)] * 50)
        deadline = time.monotonic() + 30
        while not (dropped := dropped_datagrams(receiver)):
            assert time.monotonic() < deadline
        assert datagram_waits(receiver)
        held = 0
        while datagram_waits(receiver):
            receiver.recv(2048)
            held += 1
        assert held + dropped == 50
        # A counter that has gone round, one that was told, and one that is behind what was told.
        since = [drops_since(receiver, counted & 0xFFFF_FFFF) for counted in (-5, 0, dropped, dropped + 1)]
        assert since == [dropped + 5, dropped, 0, 0]
