"""Binding: every socket once, with errors that name the key and the remedy."""

from __future__ import annotations

import socket

import pytest

from recorder.errors import SetupError
from recorder.settings import HttpSettings, MediaSettings, SipSettings
from recorder.supervisor import sockets
from tests.kit.running import free_port

IP_PKTINFO = 8


def close(*bound: socket.socket) -> None:
    for one in bound:
        one.close()


def test_sip_is_bound_for_udp_and_tcp_on_one_port() -> None:
    port = free_port()
    udp, tcp = sockets.bind_sip(SipSettings(host="127.0.0.1", port=port))
    assert udp.getsockname() == tcp.getsockname() == ("127.0.0.1", port)
    close(udp, tcp)


def test_a_datagram_queued_before_anybody_reads_still_tells_its_destination() -> None:
    udp, tcp = sockets.bind_sip(SipSettings(host="0.0.0.0", port=free_port()))
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", udp.getsockname()[1]))
    udp.setblocking(True)
    _, ancillary, _, _ = udp.recvmsg(10, 64)
    assert [(level, kind) for level, kind, _ in ancillary] == [(socket.IPPROTO_IP, IP_PKTINFO)]
    assert ancillary[0][2][4:8] == socket.inet_aton("127.0.0.1")
    close(udp, tcp)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_sip_port_in_use_names_key_and_remedy(kind: socket.SocketKind) -> None:
    port = free_port()
    with socket.socket(type=kind) as other:
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        with pytest.raises(SetupError, match=rf"sip\.port: .* port {port}: another program uses it"):
            sockets.bind_sip(SipSettings(host="127.0.0.1", port=port))


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(SetupError, match="this machine has no such address"):
        sockets.bind_http(HttpSettings(host="192.0.2.1", port=8080))


def test_http_can_be_switched_off() -> None:
    assert sockets.bind_http(HttpSettings(port=0)) is None


def test_rtp_ports_in_use_are_passed_over() -> None:
    settings = MediaSettings(host="127.0.0.1", first_port=31000, last_port=31099, max_streams=10)
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 31003))
        pairs = sockets.bind_media(settings)
    ports = [pair.port for pair in pairs]
    assert len(ports) == 10
    assert 31002 not in ports
    assert all(pair.rtcp.getsockname()[1] == pair.port + 1 for pair in pairs)
    close(*(one for pair in pairs for one in (pair.rtp, pair.rtcp)))


def test_too_few_free_ports_are_an_error_with_a_remedy() -> None:
    settings = MediaSettings(host="127.0.0.1", first_port=31200, last_port=31203, max_streams=2)
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 31200))
        with pytest.raises(SetupError, match="only 1 of 2 port pairs are free; widen the range"):
            sockets.bind_media(settings)


def test_a_descriptor_limit_that_is_too_low_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 1024))
    with pytest.raises(SetupError, match=r"media\.max_streams = 1000 needs 2256 file descriptors, the limit is 1024"):
        sockets.reserve_descriptors(MediaSettings())


def test_twenty_seconds_of_a_stream_wait_for_a_writer_that_is_being_replaced() -> None:
    packets = 20 * 50
    pair, other = sockets.bind_media(MediaSettings(host="127.0.0.1", first_port=31300, last_port=31399, max_streams=2))
    close(other.rtp, other.rtcp)
    with pair.rtp, pair.rtcp, socket.socket(type=socket.SOCK_DGRAM) as sender:
        for _ in range(packets):
            sender.sendto(bytes(12 + 160), pair.rtp.getsockname())
        waiting = 0
        while True:
            try:
                pair.rtp.recv(2048)
            except BlockingIOError:
                break
            waiting += 1
    assert waiting == packets
