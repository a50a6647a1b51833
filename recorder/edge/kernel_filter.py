"""The allow list as a classic BPF program on a socket: the kernel drops what strangers send before anybody reads it.

Attached to a UDP socket it judges datagrams, to a listening TCP socket the opening of connections (SYN), so that
not even a TLS handshake is spent on a stranger. A source that floods can be shunned: of its datagrams only those pass
that may belong to a dialog, by the first letters of their method. `compile_filter` is pure; `attach` is one system
call.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Final

from recorder.edge.networks import Address, Network

MAX_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS of <linux/bpf_common.h>."""

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_NETWORK_HEADER: Final = 0xFFF00000
"""SKF_NET_OFF: offsets from here on count from the IP header, wherever the packet is cut."""
_PAYLOAD: Final = 8
"""Offset of a datagram's content from the UDP header, which is where a program on a UDP socket counts from."""
IN_DIALOG: Final = (b"BYE ", b"ACK ", b"CANC", b"INFO", b"PRAC", b"UPDA", b"SIP/")
"""Beginnings of messages that can belong to what exists already. A re-INVITE looks like an INVITE and has to wait."""
_SOURCE_4: Final = 12
_SOURCE_6: Final = 8
_WORD: Final = 0xFFFFFFFF
_LOAD_WORD: Final = 0x20
_LOAD_BYTE: Final = 0x30
_AND: Final = 0x54
_SHIFT_RIGHT: Final = 0x74
_JUMP: Final = 0x05
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant; as struct sock_filter of <linux/filter.h>."""


_KEEP: Final[Instruction] = (_RETURN, 0, 0, _WORD)
_DROP: Final[Instruction] = (_RETURN, 0, 0, 0)
_ONLY_IN_DIALOG: Final[list[Instruction]] = [
    (_LOAD_WORD, 0, 0, _PAYLOAD),
    *(
        (_JUMP_IF_EQUAL, len(IN_DIALOG) - position, 0, int.from_bytes(beginning, "big"))
        for position, beginning in enumerate(IN_DIALOG)
    ),
    _DROP,
    _KEEP,
]


class FilterTooLongError(ValueError):
    """Resource: the kernel takes no program of this length."""


def compile_filter(
    networks: Iterable[Network], shunned: Iterable[Address] = (), *, datagrams: bool = True
) -> list[Instruction]:
    """Return a program that keeps packets from these networks and drops all others.

    Args:
        networks: the allow list.
        shunned: sources of which nothing is kept that would open something.
        datagrams: the socket is a UDP one; else nothing at all is kept of shunned sources.

    Raises:
        FilterTooLongError: there are too many networks.

    """
    four: list[Instruction] = []
    six: list[Instruction] = []
    for address in shunned:
        alone = ip_network(address)
        (four if alone.version == 4 else six).extend(_if_from(alone, _ONLY_IN_DIALOG if datagrams else [_DROP]))
    for one in networks:
        (four if one.version == 4 else six).extend(_if_from(one, [_KEEP]))
    program = [
        (_LOAD_BYTE, 0, 0, _NETWORK_HEADER),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_JUMP_IF_EQUAL, 1, 0, 4),  # conditional jumps reach 255 instructions only
        (_JUMP, 0, 0, len(four) + 1),
        *four,
        _DROP,
        *six,
        _DROP,
    ]
    if len(program) > MAX_INSTRUCTIONS:
        raise FilterTooLongError(f"{len(program)} instructions, the kernel takes {MAX_INSTRUCTIONS}")
    return program


def _if_from(network: Network, then: Sequence[Instruction]) -> list[Instruction]:
    """Return instructions that end in `then` for a packet from `network` and fall through otherwise."""
    offset = _SOURCE_4 if network.version == 4 else _SOURCE_6
    address, mask = network.network_address.packed, network.netmask.packed
    words = [
        (offset + at, *struct.unpack("!I", address[at : at + 4]), *struct.unpack("!I", mask[at : at + 4]))
        for at in range(0, len(address), 4)
        if any(mask[at : at + 4])
    ]
    body = list(then)
    # From the last word to the first, so that each knows how far the end of the block is.
    for at, value, bits in reversed(words):
        test = (_JUMP_IF_EQUAL, 0, len(body), value)
        narrowing = [] if bits == _WORD else [(_AND, 0, 0, bits)]
        body = [(_LOAD_WORD, 0, 0, _NETWORK_HEADER + at), *narrowing, test, *body]
    return body


def attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let the kernel judge what arrives at `sock` from now on; connections accepted later inherit it.

    Raises:
        OSError: the system does not allow it, for example inside a sandbox.

    """
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    fprog = struct.pack("@HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def detach(sock: socket.socket) -> None:
    """Let everything arrive again; a socket without a program is no error."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:
        return
