"""Host names to addresses, as a hook that a site can replace. Does not look up SRV or NAPTR records (RFC 3263)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from signaling.dialog.flow import Destination

Resolver: TypeAlias = Callable[[Destination], Awaitable[tuple[str, int]]]
"""Returns the numeric address and port for a destination; raises OSError if there is none."""


async def resolve_host(destination: Destination) -> tuple[str, int]:
    """Ask the system's resolver for the host's address.

    Raises:
        OSError: the name is unknown.

    """
    kind = socket.SOCK_STREAM if destination.reliable else socket.SOCK_DGRAM
    found = await asyncio.get_running_loop().getaddrinfo(destination.host, destination.port, type=kind)
    address = found[0][4]
    return str(address[0]), int(address[1])


def is_numeric(host: str) -> bool:
    """Say whether `host` is an IPv4 or IPv6 address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except OSError:
        return False
    return True


def plain_address(name: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, int]:
    """Return host and port of a socket address; an IPv4 address mapped into IPv6 is shown as IPv4."""
    host = name[0].partition("%")[0]
    if host.startswith("::ffff:") and "." in host:
        host = host.removeprefix("::ffff:")
    return host, name[1]
