"""One UDP socket: batches, addresses on both sides, inherited and unread."""

from __future__ import annotations

import asyncio
import socket

import pytest

from signaling.dialog.flow import Flow
from signaling.transport.datagram import BATCH, DatagramEndpoint

from .server import PATIENCE, datagram, listening


class Collector:
    """Takes in what an endpoint receives."""

    def __init__(self, host: str) -> None:
        self.socket = listening(socket.SOCK_DGRAM, host)
        self.received: list[tuple[bytes, Flow]] = []
        self.batches: list[int] = []
        self.arrived = asyncio.Event()
        self.endpoint = DatagramEndpoint(
            self.socket, receive=lambda data, flow: self.received.append((data, flow)), after_batch=self._after_batch
        )

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def _after_batch(self) -> None:
        self.batches.append(len(self.received))
        self.arrived.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.received) < count:
                self.arrived.clear()
                await self.arrived.wait()


async def test_a_datagram_of_65507_bytes_arrives_whole_with_both_addresses() -> None:
    """C1: UDP messages up to 65,535 bytes, headers of IP and UDP included."""
    collector = Collector("127.0.0.1")
    collector.endpoint.start()
    data = bytes(range(256)) * 255 + bytes(227)
    with listening(socket.SOCK_DGRAM) as peer:
        peer.sendto(data, ("127.0.0.1", collector.port))
        await collector.wait_for(1)
        expected = Flow("udp", ("127.0.0.1", collector.port), peer.getsockname())
    assert len(data) == 65_507
    assert collector.received == [(data, expected)]
    collector.endpoint.stop()
    collector.endpoint.close()


@pytest.mark.parametrize(("bound", "reached"), [("0.0.0.0", "127.0.0.2"), ("::", "127.0.0.2"), ("::", "::1")])
async def test_bound_to_a_wildcard_it_answers_from_the_address_that_was_reached(bound: str, reached: str) -> None:
    """C7, RFC 3581 §4: a floating address is one of several on its host."""
    collector = Collector(bound)
    collector.endpoint.start()
    with listening(socket.SOCK_DGRAM, reached) as peer:
        peer.setblocking(False)
        peer.sendto(b"ping", (reached, collector.port))
        await collector.wait_for(1)
        flow = collector.received[0][1]
        assert flow.local == (reached, collector.port)
        assert flow.remote == peer.getsockname()[:2]
        collector.endpoint.send(b"pong", flow.remote, flow.local)
        data, source = await datagram(peer)
    assert (data, source) == (b"pong", (reached, collector.port))
    collector.endpoint.stop()
    collector.endpoint.close()


async def test_an_address_that_is_not_ours_any_more_does_not_keep_an_answer_back() -> None:
    """A dialog restored from another host names that host's address."""
    collector = Collector("0.0.0.0")
    with listening(socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        collector.endpoint.send(b"late", peer.getsockname(), ("192.0.2.40", 5060))
        data, _ = await datagram(peer)
    assert data == b"late"
    collector.endpoint.close()


async def test_nothing_is_read_before_start_and_after_stop() -> None:
    """A standby holds the sockets unread: what arrives waits in the kernel."""
    collector = Collector("127.0.0.1")
    with listening(socket.SOCK_DGRAM) as peer:
        peer.sendto(b"one", ("127.0.0.1", collector.port))
        await asyncio.sleep(0)
        assert collector.received == []
        collector.endpoint.start()
        await collector.wait_for(1)
        collector.endpoint.stop()
        peer.sendto(b"two", ("127.0.0.1", collector.port))
        await asyncio.sleep(0)
        assert len(collector.received) == 1
        successor = collector.socket.dup()
        assert successor.recv(100) == b"two"
        successor.close()
    collector.endpoint.close()


async def test_a_flood_is_taken_in_batches() -> None:
    collector = Collector("127.0.0.1")
    with listening(socket.SOCK_DGRAM) as peer:
        for number in range(BATCH + 10):
            peer.sendto(b"%d" % number, ("127.0.0.1", collector.port))
        collector.endpoint.start()
        await collector.wait_for(BATCH + 10)
    assert collector.batches[0] == BATCH
    assert [data for data, _ in collector.received] == [b"%d" % number for number in range(BATCH + 10)]
    collector.endpoint.stop()
    collector.endpoint.close()


async def test_what_the_system_refuses_is_reported() -> None:
    collector = Collector("127.0.0.1")
    with pytest.raises(OSError, match="Message too long"):
        collector.endpoint.send(bytes(70_000), ("127.0.0.1", 9), None)
    collector.endpoint.close()


@pytest.mark.parametrize(
    ("bound", "four", "six"), [("127.0.0.1", True, False), ("::1", False, True), ("::", True, True)]
)
def test_an_endpoint_knows_which_family_it_reaches(bound: str, four: bool, six: bool) -> None:
    sock = listening(socket.SOCK_DGRAM, bound)
    endpoint = DatagramEndpoint(sock, receive=lambda data, flow: None, after_batch=lambda: None)
    assert (endpoint.serves("192.0.2.1"), endpoint.serves("2001:db8::1")) == (four, six)
    endpoint.close()
