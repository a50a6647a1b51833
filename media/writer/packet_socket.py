"""Opens the packet rings of a host: AF_PACKET sockets with a memory-mapped ring, one for each writer.

For the process that owns the sockets of a host; it reads nothing. A ring lives as long as a descriptor of it: what a
dead writer had not read waits in it. Linux, packet(7) and Documentation/networking/packet_mmap.rst; needs CAP_NET_RAW.

SOCK_DGRAM: what arrives is an IP packet at the same place of each frame, whatever the link. Bound to the IP protocol,
not to all of them: such a socket is given each packet once, where the IP layer would get it: behind VLAN devices and
bridges, and on the loopback when it comes in, not when it goes out.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from media.errors import ResourceError

BLOCK: Final = 1 << 20
FRAME: Final = 384
"""Bytes of ring for a packet. Behind `DATA` fit 304: G.711 of 30 ms over IPv6, of 20 ms with SRTP. Longer ones come
through the socket's queue, at the cost of a socket."""
FRAMES_PER_BLOCK: Final = BLOCK // FRAME
DATA: Final = 80
"""Where the IP packet begins in its frame: TPACKET_ALIGN(TPACKET2_HDRLEN) + 16."""

SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_COPY_THRESH: Final = 7
_PACKET_VERSION: Final = 10
_PACKET_FANOUT: Final = 18
_PACKET_FANOUT_DATA: Final = 22
_FANOUT_CBPF: Final = 6
_FANOUT_UNIQUE: Final = 0x2000
_TPACKET_V2: Final = 1
_SO_RCVBUFFORCE: Final = 33
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27

_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD = 0x30, 0x28, 0x20
_LOAD_HALF_X: Final = 0x48
_HEADER_LENGTH_TO_X: Final = 0xB1
_JUMP: Final = 0x05
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_BITS = 0x15, 0x25, 0x35, 0x45
_RETURN: Final = 0x06
_PACKET_TYPE: Final = 0xFFFFF000 + 4
"""SKF_AD_OFF + SKF_AD_PKTTYPE; 0 is PACKET_HOST."""
_UDP, _FRAGMENT = 17, 44
_KEEP: Final = 0x40000

Instruction = tuple[int, int, int, int]
Share = tuple[int, int]
"""Lowest and highest port of one writer, RTCP included."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def open_rings(host: str, shares: Sequence[Share], megabytes: int) -> list[list[socket.socket]]:
    """Return the rings of each writer, one or, for a socket of both IP versions, two; in force at once.

    Args:
        host: address that the media ports are bound to.
        shares: port range of each writer; they do not overlap.
        megabytes: size of each writer's rings together.

    Errors: `PermissionError` without CAP_NET_RAW, `ResourceError` where the kernel has no such ring or no memory.

    """
    address = ipaddress.ip_address(host)
    protocols = [socket.AF_INET] if address.version == 4 else [socket.AF_INET6]
    if address.version == 6 and (address.is_unspecified or ipaddress.IPv6Address(address).ipv4_mapped):
        protocols.insert(0, socket.AF_INET)
    rings: list[list[socket.socket]] = [[] for _ in shares]
    with contextlib.ExitStack() as undo:
        for family in protocols:
            group = _open_group(family, address, shares, max(1, megabytes // len(protocols)), undo)
            for mine, ring in zip(rings, group, strict=True):
                mine.append(ring)
        undo.pop_all()
    return rings


def _open_group(
    family: int,
    host: ipaddress.IPv4Address | ipaddress.IPv6Address,
    shares: Sequence[Share],
    blocks: int,
    undo: contextlib.ExitStack,
) -> Iterator[socket.socket]:
    group: list[socket.socket] = []
    try:
        for share in shares:
            ring = undo.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
            group.append(ring)
            attach_filter(ring, port_filter(family, host, share))
            ring.setsockopt(SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
            ring.setsockopt(SOL_PACKET, _PACKET_COPY_THRESH, 1)
            _set_buffer(ring, blocks * BLOCK // 4)
            request = struct.pack("=4I", BLOCK, blocks, FRAME, blocks * FRAMES_PER_BLOCK)
            ring.setsockopt(SOL_PACKET, _PACKET_RX_RING, request)
            _bind(ring, family)
        if len(group) > 1:
            _fan_out(group, fanout_program(family, shares))
    except PermissionError:
        raise
    except OSError as error:
        raise ResourceError(f"packet ring of {blocks} MB: {error.strerror}") from error
    return iter(group)


def _set_buffer(ring: socket.socket, size: int) -> None:
    try:
        ring.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        ring.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _bind(ring: socket.socket, family: int) -> None:
    """Bind to every interface, which the socket module cannot."""
    protocol = 0x0800 if family == socket.AF_INET else 0x86DD
    name = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(protocol), 0, 0, 0, 0, b"")
    if _libc.bind(ring.fileno(), name, len(name)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _fan_out(group: Sequence[socket.socket], program: Sequence[Instruction]) -> None:
    """Let one look at a packet decide whose it is, instead of one filter for each writer."""
    number = 0
    for position, ring in enumerate(group):
        flags = _FANOUT_CBPF | (_FANOUT_UNIQUE if position == 0 else 0)
        ring.setsockopt(SOL_PACKET, _PACKET_FANOUT, number | flags << 16)
        if position == 0:
            number = ring.getsockopt(SOL_PACKET, _PACKET_FANOUT) & 0xFFFF
            _attach(ring, SOL_PACKET, _PACKET_FANOUT_DATA, program)


def port_filter(
    family: int,
    host: ipaddress.IPv4Address | ipaddress.IPv6Address,
    share: Share,
    *,
    without: Sequence[int] = (),
) -> list[Instruction]:
    """Return the program that keeps UDP to `host` (any, if unspecified) and to the ports of `share`, less `without`.

    Of a fragmented datagram the first part is kept, so that it can be counted: only that one names a port.
    """
    tests: list[tuple[Instruction, bool]] = [((_LOAD_WORD, 0, 0, _PACKET_TYPE), False), ((_IF_EQUAL, 0, 1, 0), True)]
    if family == socket.AF_INET:
        tests += [((_LOAD_BYTE, 0, 0, 9), False), ((_IF_EQUAL, 0, 1, _UDP), True)]
        tests += [((_LOAD_HALF, 0, 0, 6), False), ((_IF_BITS, 1, 0, 0x1FFF), True)]
        tests += _address_tests(16, host) if host.version == 4 else []
    else:
        tests += _address_tests(24, host)
    checks = [*tests, *[(one, False) for one in _port_loads(family)]]
    low, high = share
    ports: list[tuple[Instruction, bool]] = [((_IF_AT_LEAST, 0, 1, low), True), ((_IF_GREATER, 1, 0, high), True)]
    ports += [((_IF_EQUAL, 1, 0, port), True) for port in without]
    return _resolved([*checks, *ports])


def _address_tests(offset: int, host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[tuple[Instruction, bool]]:
    if host.is_unspecified:
        return []
    words = struct.unpack(f"!{len(host.packed) // 4}I", host.packed)
    return [
        step
        for number, word in enumerate(words)
        for step in (((_LOAD_WORD, 0, 0, offset + 4 * number), False), ((_IF_EQUAL, 0, 1, word), True))
    ]


def _port_loads(family: int) -> list[Instruction]:
    """Return the instructions that load the destination port, or 0 where there is none."""
    if family == socket.AF_INET:
        return [(_HEADER_LENGTH_TO_X, 0, 0, 0), (_LOAD_HALF_X, 0, 0, 2)]
    return [
        (_LOAD_BYTE, 0, 0, 6),
        (_IF_EQUAL, 0, 2, _UDP),
        (_LOAD_HALF, 0, 0, 42),
        (_JUMP, 0, 0, 8),
        (_IF_EQUAL, 0, 6, _FRAGMENT),
        (_LOAD_BYTE, 0, 0, 40),
        (_IF_EQUAL, 0, 4, _UDP),
        (_LOAD_HALF, 0, 0, 42),
        (_IF_BITS, 2, 0, 0xFFF8),
        (_LOAD_HALF, 0, 0, 50),
        (_JUMP, 0, 0, 1),
        (0x00, 0, 0, 0),  # BPF_LD | BPF_IMM: no port
    ]


def _resolved(steps: Sequence[tuple[Instruction, bool]]) -> list[Instruction]:
    """Point the failing branch of each marked test to the end, where the packet is dropped."""
    end = len(steps) + 1
    program: list[Instruction] = []
    for position, ((code, yes, no, value), last) in enumerate(steps):
        away = end - position - 1
        program.append((code, yes and away, no and away, value) if last else (code, yes, no, value))
    return [*program, (_RETURN, 0, 0, _KEEP), (_RETURN, 0, 0, 0)]


def fanout_program(family: int, shares: Sequence[Share]) -> list[Instruction]:
    """Return the program that gives the number of the writer whose share a packet's port is in; anything else is 0."""
    program = [*_port_loads(family)]
    for number in range(len(shares) - 1, 0, -1):
        program += [(_IF_AT_LEAST, 0, 1, shares[number][0]), (_RETURN, 0, 0, number)]
    return [*program, (_RETURN, 0, 0, 0)]


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let the kernel judge by a classic BPF program what arrives at a socket."""
    _attach(sock, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _attach(sock: socket.socket, level: int, option: int, program: Sequence[Instruction]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    sock.setsockopt(level, option, struct.pack("@HP", len(program), ctypes.addressof(code)))


def refuse_datagrams(sock: socket.socket) -> None:
    """Let a bound socket take nothing, while a ring brings its packets: bound it keeps the host from answering ICMP."""
    attach_filter(sock, [(_RETURN, 0, 0, 0)])


def accept_datagrams(sock: socket.socket) -> None:
    """Let a socket take its datagrams itself again."""
    with contextlib.suppress(FileNotFoundError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
