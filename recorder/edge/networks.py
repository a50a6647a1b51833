"""Networks of IP addresses, as access lists and profiles name them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

EVERYWHERE: Final = ("0.0.0.0/0", "::/0")

_REMEMBERED: Final = 4096
"""Addresses kept parsed; a site has a handful of clients, a flood has as many as it likes."""


def network(text: str) -> Network:
    """Read `10.0.0.0/8`, `2001:db8::/32` or a single address.

    Raises:
        ValueError: says what is wrong and what to write instead.

    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no network: write 10.0.0.0/8, 2001:db8::/32 or an address") from None
        raise ValueError(f"{error}; write {meant}") from None


def contains(networks: Iterable[Network], host: str) -> bool:
    """Whether an address lies in one of the networks."""
    address = parse(host)
    return address is not None and any(address.version == one.version and address in one for one in networks)


@lru_cache(_REMEMBERED)
def parse(host: str) -> Address | None:
    """Return an address without its zone, an IPv4 address inside IPv6 as IPv4; None if it is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
