"""The allow list inside the kernel: real sockets on the loopback network, and a machine of a few lines for the rest."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.edge.kernel_filter import FilterTooLongError, Instruction, attach, compile_filter, detach
from recorder.edge.networks import Network, contains, network


def run(program: Sequence[Instruction], packet: bytes, payload: bytes = b"") -> int:
    """Interpret a program as the kernel does, over an IP header and what follows it; returns how much is kept."""
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20 if constant < 0xFFF00000:
                (accumulator,) = struct.unpack("!I", payload[constant : constant + 4])
            case 0x20:
                offset = constant - 0xFFF00000
                (accumulator,) = struct.unpack("!I", packet[offset : offset + 4])
            case 0x30:
                accumulator = packet[constant - 0xFFF00000]
            case 0x54:
                accumulator &= constant
            case 0x74:
                accumulator >>= constant
            case 0x05:
                at += constant
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"instruction {code:#x}")


def header(source: str) -> bytes:
    """An IP header with this source address."""
    address = ipaddress.ip_address(source)
    if address.version == 4:
        return b"\x45" + bytes(11) + address.packed + bytes(4)
    return b"\x60" + bytes(7) + address.packed + bytes(16)


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address = draw(addresses)
    return ipaddress.ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@given(st.lists(networks(), max_size=6), addresses)
def test_the_program_keeps_exactly_what_the_list_contains(
    listed: list[Network], source: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    assert bool(run(compile_filter(listed), header(str(source)))) == any(
        source.version == one.version and source in one for one in listed
    )


@given(networks(), st.data())
def test_the_edges_of_a_network_are_inside(listed: Network, data: st.DataObject) -> None:
    program = compile_filter([listed])
    for source in (listed[0], listed[-1]):
        assert run(program, header(str(source)))
        assert contains([listed], str(source)) or source.version == 6


def test_a_list_that_is_too_long_is_refused() -> None:
    many = [ipaddress.ip_network((f"2001:db8:{number:x}::", 128)) for number in range(500)]
    with pytest.raises(FilterTooLongError, match="the kernel takes 4096"):
        compile_filter(many)


@pytest.mark.parametrize("source", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (b"BYE sip:a@b SIP/2.0", True),
        (b"SIP/2.0 200 OK", True),
        (b"UPDATE sip:a@b SIP/2.0", True),
        (b"INVITE sip:a@b SIP/2.0", False),
        (b"OPTIONS sip:a@b SIP/2.0", False),
        (b"nonsense", False),
    ],
)
def test_of_a_shunned_source_only_what_may_belong_to_a_dialog_is_kept(source: str, message: bytes, kept: bool) -> None:
    everywhere = [network("0.0.0.0/0"), network("::/0")]
    shunned = [ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7")]
    program = compile_filter(everywhere, shunned)
    assert bool(run(program, header(source), bytes(8) + message)) is kept
    assert not run(compile_filter(everywhere, shunned, datagrams=False), header(source), bytes(8) + message)
    others = header("192.0.2.8" if "." in source else "2001:db8::8")
    assert run(program, others, bytes(8) + message)


@contextlib.contextmanager
def udp(host: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(30)
        yield sock


def test_the_kernel_drops_datagrams_of_strangers() -> None:
    with udp("127.0.0.1") as server, udp("127.0.0.2") as stranger, udp("127.0.0.1") as friend:
        attach(server, compile_filter([network("127.0.0.1")]))
        for number in range(50):
            stranger.sendto(b"stranger %d" % number, server.getsockname())
        friend.sendto(b"friend", server.getsockname())
        assert server.recv(100) == b"friend"
        detach(server)
        stranger.sendto(b"stranger", server.getsockname())
        assert server.recv(100) == b"stranger"


def test_a_socket_for_both_families_sees_ipv4_as_ipv4() -> None:
    with udp("::") as server, udp("127.0.0.2") as stranger, udp("127.0.0.1") as friend, udp("::1") as six:
        attach(server, compile_filter([network("127.0.0.1"), network("::1")]))
        port = server.getsockname()[1]
        stranger.sendto(b"stranger", ("127.0.0.1", port))
        friend.sendto(b"friend", ("127.0.0.1", port))
        six.sendto(b"six", ("::1", port))
        assert {server.recv(100), server.recv(100)} == {b"friend", b"six"}


def test_strangers_get_no_tcp_connection_and_friends_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attach(server, compile_filter([network("127.0.0.1")]))
        server.settimeout(30)
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.2", 0))
            stranger.settimeout(0.3)
            with pytest.raises(TimeoutError):
                stranger.connect(server.getsockname())
        with socket.create_connection(server.getsockname(), timeout=30) as friend:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"x")
                assert friend.recv(1) == b"x"


def test_detaching_twice_is_no_error() -> None:
    with udp("127.0.0.1") as server:
        detach(server)


def test_the_kernel_drops_what_a_shunned_source_would_open() -> None:
    with udp("127.0.0.1") as server, udp("127.0.0.2") as shunned:
        everywhere = [network("0.0.0.0/0"), network("::/0")]
        attach(server, compile_filter(everywhere, [ipaddress.ip_address("127.0.0.2")]))
        shunned.sendto(b"INVITE sip:a@b SIP/2.0", server.getsockname())
        shunned.sendto(b"x", server.getsockname())
        shunned.sendto(b"BYE sip:a@b SIP/2.0", server.getsockname())
        assert server.recv(100) == b"BYE sip:a@b SIP/2.0"
