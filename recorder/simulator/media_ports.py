"""UDP ports for RTP and RTCP: an even one and the next (RFC 3550 section 11)."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass
from typing import Final

from media.srtp import Context

_ATTEMPTS: Final = 200
_MAX_DATAGRAM: Final = 2048


class NoPortsError(Exception):
    """The system gives no more pairs of ports."""


@dataclass(frozen=True, slots=True)
class PortPair:
    """The two sockets of one stream."""

    rtp: socket.socket
    rtcp: socket.socket
    protection: Context | None = None
    """Protects what is sent; None for plain RTP."""

    @property
    def port(self) -> int:
        """Number of the RTP port."""
        return int(self.rtp.getsockname()[1])

    def drain_rtcp(self) -> int:
        """Read and forget what came to the RTCP port; return how many datagrams."""
        count = 0
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self.rtcp.recv(_MAX_DATAGRAM, socket.MSG_DONTWAIT):
                count += 1
        return count

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.rtcp.close()


def open_ports(host: str) -> PortPair:
    """Bind a pair on `host`.

    Raises:
        NoPortsError: no pair is free, or the process has no descriptors left.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_ATTEMPTS):
        rtp = _bound(family, host, 0)
        port = rtp.getsockname()[1] if rtp else 1
        if rtp and port % 2 == 0:
            rtcp = _bound(family, host, port + 1)
            if rtcp:
                return PortPair(rtp, rtcp)
        if rtp:
            rtp.close()
    raise NoPortsError(f"no pair of free UDP ports on {host}")


def _bound(family: int, host: str, port: int) -> socket.socket | None:
    """Return a bound socket, or None if the port is taken."""
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise NoPortsError(f"no socket for media: {error.strerror}; raise the limit of open files") from None
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        if error.errno != errno.EADDRINUSE:
            raise NoPortsError(f"cannot send media from {host}: {error.strerror}") from None
        return None
    return opened
