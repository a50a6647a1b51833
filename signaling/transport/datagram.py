"""One UDP socket, read in batches, RFC 3261 §18.

The socket may be inherited and is never closed here. Bound to a wildcard address, it still answers from the address
that the request was sent to, as RFC 3581 §4 demands: a floating address is only one of several on its host.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from signaling.dialog.flow import Address, Flow
from signaling.transport.resolver import plain_address

MAX_DATAGRAM: Final = 65_535
"""Bytes; RFC 3261 §18.1.1."""
BATCH: Final = 64
"""Datagrams taken in one turn of the loop, so that a flood on one socket does not starve the others."""

_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_IP_PKTINFO: Final = 8
"""<linux/in.h>; not in the socket module of Python 3.11."""
_PKTINFO_4: Final = struct.Struct("=i4s4s")
"""Interface, local address, destination address."""
_PKTINFO_6: Final = struct.Struct("=16sI")
_ADDRESSES_REMEMBERED: Final = 64
"""Of ours; a host has a few."""


class DatagramEndpoint:
    """A UDP socket that hands in what it receives.

    Args:
        sock: bound; it is made non-blocking.
        receive: called with each datagram and its flow.
        after_batch: called once after each batch.

    """

    def __init__(
        self, sock: socket.socket, *, receive: Callable[[bytes, Flow], None], after_batch: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._receive = receive
        self._after_batch = after_batch
        self._buffer = bytearray(MAX_DATAGRAM)
        self._six = sock.family == socket.AF_INET6
        self.bound = plain_address(sock.getsockname())
        """Address the socket is bound to."""
        self.is_wildcard = self.bound[0] in _WILDCARDS
        if self.is_wildcard and self._six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        if self.is_wildcard:
            # An IPv6 socket that takes IPv4 as well reports those datagrams in the IPv4 way.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def serves(self, host: str) -> bool:
        """Say whether datagrams to `host` can leave here."""
        return self._six if ":" in host else (not self._six or self.is_wildcard)

    def start(self) -> None:
        """Begin to read; until now datagrams wait in the kernel."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_readable)

    def stop(self) -> None:
        """Read no more; the socket stays open."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Close the socket, which nobody else will read."""
        self._socket.close()

    def send(self, data: bytes, remote: Address, local: Address | None) -> None:
        """Send one datagram, from `local` if the socket leaves the choice.

        Raises:
            OSError: the system refuses it; a full buffer counts as sent and lost, which SIP repairs.

        """
        address = (f"::ffff:{remote[0]}" if self._six and ":" not in remote[0] else remote[0], remote[1])
        with contextlib.suppress(BlockingIOError):
            if self.is_wildcard and local is not None and local[0] not in _WILDCARDS:
                try:
                    self._socket.sendmsg([data], _source(local[0]), 0, address)
                except BlockingIOError:
                    raise
                except OSError:
                    # The address was another host's, before a takeover: any of ours is better than silence.
                    self._socket.sendto(data, address)
            else:
                self._socket.sendto(data, address)

    def _on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                length, ancillary, _, source = self._socket.recvmsg_into([self._buffer], 64 if self.is_wildcard else 0)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error of something sent before
            local = (self._destination(ancillary), self.bound[1]) if ancillary else self.bound
            flow = Flow("udp", local, plain_address(source))
            self._receive(bytes(memoryview(self._buffer)[:length]), flow)
        self._after_batch()

    def _destination(self, ancillary: list[tuple[int, int, bytes]]) -> str:
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                return socket.inet_ntoa(_PKTINFO_4.unpack(data)[1])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                packed = _PKTINFO_6.unpack(data)[0]
                return plain_address((socket.inet_ntop(socket.AF_INET6, packed), 0))[0]
        return self.bound[0]


@lru_cache(maxsize=_ADDRESSES_REMEMBERED)
def _source(host: str) -> tuple[tuple[int, int, bytes], ...]:
    """Return the ancillary data that make a message leave from an address of ours."""
    if ":" in host:
        packed = _PKTINFO_6.pack(socket.inet_pton(socket.AF_INET6, host), 0)
        return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed),)
    return ((socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO_4.pack(0, socket.inet_aton(host), bytes(4))),)
