"""The kernel interfaces that Python does not offer: recvmmsg, syncfs, receive options, packed socket addresses.

Linux on a 64-bit little-endian machine. Knows nothing of RTP.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import secrets
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.errors import ResourceError

SO_TIMESTAMPNS: Final = 35
SO_RXQ_OVFL: Final = 40
SO_MEMINFO: Final = 55
MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40
_MEMINFO_DROPS: Final = 8
_WORD32: Final = 0xFFFF_FFFF
_MEMINFO: Final = struct.Struct("=9I")

MESSAGE: Final = np.dtype(
    {
        "names": ["name", "name_length", "vectors", "vector_count", "control", "control_length", "flags", "length"],
        "formats": ["<u8", "<u4", "<u8", "<u8", "<u8", "<u8", "<i4", "<u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
"""struct mmsghdr."""

NAME_ROOM: Final = 32
"""Bytes for one sockaddr_in (16) or sockaddr_in6 (28). As `name_length` it marks a message that was not received."""
CONTROL_ROOM: Final = 64
CONTROL_TIME: Final = 32
"""Length of the control data when it holds exactly one SCM_TIMESTAMPNS."""
CONTROL_TIME_DROPS: Final = 56
"""Length when SO_RXQ_OVFL follows the timestamp, as the kernel writes it once a socket has dropped anything."""

# PyDLL keeps the interpreter lock: these calls never block, and releasing it costs more than they do.
_quick: Final = ctypes.PyDLL(None, use_errno=True)
_slow: Final = ctypes.CDLL(None, use_errno=True)

receive: Final[Callable[[int, ctypes.c_void_p, int, int, None], int]] = _quick.recvmmsg
"""recvmmsg(2); the message vector as a prepared `c_void_p`, since declared argument types cost 0.5 us more per call.
Returns -1 on errors; ask `last_error`."""
TRANSIENT: Final = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED})
"""Nothing there now."""
last_error: Final[Callable[[], int]] = ctypes.get_errno


def require_supported_machine() -> None:
    """Raise `ResourceError` where the structures above are laid out differently."""
    if sys.platform != "linux" or sys.byteorder != "little" or struct.calcsize("P") != 8:
        raise ResourceError("the capture writer needs Linux on a 64-bit little-endian machine")


def sync_file_system(fd: int) -> None:
    """Write everything of the file system that holds `fd` to disk; blocks, so for a thread; raises `OSError`."""
    if _slow.syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def prepare_socket(sock: socket.socket) -> None:
    """Make a datagram socket non-blocking, time-stamped, and honest about drops."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)


def datagram_waits(sock: socket.socket) -> bool:
    """Say whether a non-blocking datagram socket has something to read."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, ConnectionRefusedError):
        return False
    return True


def dropped_datagrams(sock: socket.socket) -> int:
    """Return how many datagrams the kernel has dropped at this socket since it was made, modulo 2^32."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            return 0
        raise
    return int(_MEMINFO.unpack(raw[: _MEMINFO.size])[_MEMINFO_DROPS])


def drops_since(sock: socket.socket, counted: int) -> int:
    """Return how many datagrams the kernel has dropped at this socket since its counter, modulo 2^32, was `counted`.

    0 where the counter is behind: a packet that waited may have been read after a later count.
    """
    risen = dropped_datagrams(sock) - counted & _WORD32
    return risen if risen <= _WORD32 >> 1 else 0


# A source address as one number, so that a batch is compared in one operation. IPv4 keeps its 8 significant bytes
# (family, port, address). IPv6 is mixed with factors that an attacker cannot know.
_FACTORS: Final = tuple(secrets.randbits(64) | 1 for _ in range(3))
_WORD: Final = (1 << 64) - 1
_FAMILY_MASK: Final = 0xFFFF


def source_keys(names: NDArray[np.uint64], lengths: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return one number per source address and port.

    Args:
        names: packed socket addresses, shape (n, 4).
        lengths: their lengths, 16 (IPv4) or 28 (IPv6).

    """
    keys = names[:, 0].copy()
    sixes = np.flatnonzero(lengths != 16)
    if sixes.size:
        ports = (names[sixes, 0] >> np.uint64(16)).astype(np.uint16)
        keys[sixes] = six_keys(ports, names[sixes, 1], names[sixes, 2])
    return keys


def four_keys(ports: NDArray[np.uint16], hosts: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the keys of IPv4 sources; ports and addresses as they lie in memory, in network order."""
    keys = hosts.astype(np.uint64) << np.uint64(32)
    keys |= ports.astype(np.uint64) << np.uint64(16)
    keys |= np.uint64(socket.AF_INET)
    return keys


def six_keys(
    ports: NDArray[np.uint16], first: NDArray[np.uint64], second: NDArray[np.uint64] | np.uint64
) -> NDArray[np.uint64]:
    """Return the keys of IPv6 sources; ports and both halves of the address as they lie in memory."""
    head = ports.astype(np.uint64) << np.uint64(16) | np.uint64(socket.AF_INET6)
    mixed = head * np.uint64(_FACTORS[0]) + first * np.uint64(_FACTORS[1]) + second * np.uint64(_FACTORS[2])
    return mixed.astype(np.uint64, copy=False)


def mapped_keys(ports: NDArray[np.uint16], hosts: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the keys of IPv4 sources as a socket of both versions tells them (RFC 4291 2.5.5.2)."""
    second = hosts.astype(np.uint64) << np.uint64(32) | np.uint64(0xFFFF << 16)
    return six_keys(ports, np.zeros(len(hosts), np.uint64), second)


class Address:
    """A source address in its three forms: text, key with port, key of the host alone.

    Args:
        host: numeric address; an IPv4-mapped IPv6 address is the IPv4 address it means.
        port: 0 for the host alone.

    """

    __slots__ = ("host", "host_key", "key", "port")

    def __init__(self, host: str, port: int, *, family: int) -> None:
        self.host = host
        self.port = port
        self.key = _key(host, port, family)
        self.host_key = _key(host, 0, family)

    @classmethod
    def unpack(cls, name: bytes) -> Address:
        """Return the address of a packed socket address."""
        family = int.from_bytes(name[:2], "little")
        port = int.from_bytes(name[2:4], "big")
        if family == socket.AF_INET:
            return cls(socket.inet_ntop(socket.AF_INET, name[4:8]), port, family=family)
        packed = ipaddress.IPv6Address(name[8:24])
        return cls(str(packed.ipv4_mapped or packed), port, family=family)


def numeric_address(host: str, port: int, *, family: int) -> Address | None:
    """Return the address that an SDP names, or None if it names none (a name, the unspecified address, nothing)."""
    try:
        packed = ipaddress.ip_address(host)
    except ValueError:
        return None
    if packed.is_unspecified or (packed.version == 6 and family == socket.AF_INET):
        return None
    return Address(host, port, family=family)


def _key(host: str, port: int, family: int) -> int:
    packed = ipaddress.ip_address(host)
    head = family & _FAMILY_MASK | port.to_bytes(2, "big")[0] << 16 | port.to_bytes(2, "big")[1] << 24
    if family == socket.AF_INET:
        return head | int.from_bytes(packed.packed, "little") << 32
    octets = packed.packed if packed.version == 6 else bytes(10) + b"\xff\xff" + packed.packed
    words = (head, int.from_bytes(octets[:8], "little"), int.from_bytes(octets[8:], "little"))
    return sum(word * factor for word, factor in zip(words, _FACTORS, strict=True)) & _WORD
