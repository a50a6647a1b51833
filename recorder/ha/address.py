"""The SIP address that moves with the lease: on a network interface of the active host, and told to the neighbours.

The address has a lifetime of a lease and is renewed with it. A host whose recorder was killed or is frozen loses it by
its kernel's own hand; nobody has to reach that host to take it away. Where an address on an interface is not what moves
traffic (clouds, keepalived), the hook does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from recorder.errors import SetupError
from recorder.ha.settings import HaSettings

_log = structlog.get_logger()

_TOLD_AT_S: Final = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
"""When the neighbours are told: an announcement may be lost, and caches of some keep what they heard first."""
_DROP_LIMIT_S: Final = 0.5
_HOOK_LIMIT_S: Final = 10.0
_ETH_P_ARP: Final = 0x0806
_ARP_REQUEST: Final = 1
_ARP_REPLY: Final = 2
_ALL_NODES: Final = "ff02::1"
_NEIGHBOUR_ADVERTISEMENT: Final = 136
_OVERRIDE: Final = 1 << 29
_TARGET_LINK_LAYER_ADDRESS: Final = 2
_SHORTEST_LIFETIME_S: Final = 2
"""The kernel counts whole seconds."""


def gratuitous_arp(address: str, hardware: bytes) -> list[bytes]:
    """Return the Ethernet frames by which all neighbours learn where `address` is.

    The request is the announcement of RFC 5227 section 3; some take a reply only. In a reply, Linux wants our own
    hardware address as the target's as well: any other one it believes only a second after it has heard something else.
    """
    ip = ipaddress.IPv4Address(address).packed
    head = b"\xff" * 6 + hardware + struct.pack("!H", _ETH_P_ARP)
    return [
        head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + hardware + ip + target + ip
        for operation, target in ((_ARP_REQUEST, bytes(6)), (_ARP_REPLY, hardware))
    ]


def unsolicited_advertisement(address: str, hardware: bytes) -> bytes:
    """Return the ICMPv6 message that says the same (RFC 4861 section 7.2.6); the kernel fills the checksum in."""
    head = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE)
    option = struct.pack("!BB", _TARGET_LINK_LAYER_ADDRESS, 1) + hardware
    return head + ipaddress.IPv6Address(address).packed + option


class FloatingAddress:
    """Gives the address to this host and takes it away; does nothing where none is configured.

    Args:
        settings: of the site.
        node: this host, for the hook.

    """

    def __init__(self, settings: HaSettings, node: str) -> None:
        self._settings, self._node = settings, node
        self._interface = ipaddress.ip_interface(settings.address) if settings.address else None
        self._lifetime_s = max(_SHORTEST_LIFETIME_S, math.ceil(settings.lease_s))
        self._taken = False
        self._netlink: Callable[..., Any] | None = None

    async def prepare(self) -> None:
        """Load what is needed; it takes a second that nobody has at a takeover."""
        if self._interface:
            self._netlink = await asyncio.to_thread(_load_netlink)

    async def take(self) -> None:
        """Have the address from now on.

        Raises:
            SetupError: this process may not, or there is no such interface.

        """
        self._taken = True
        if self._interface:
            await self.prepare()
            await asyncio.to_thread(self._add)
            _log.info("floating address taken", address=self._settings.address, interface=self._settings.interface)
        await self._call_hook("acquire")

    async def announce(self) -> None:
        """Tell the neighbours, several times; run it beside."""
        if not self._interface:
            return
        before = 0.0
        for at in _TOLD_AT_S:
            await asyncio.sleep(at - before)
            before = at
            try:
                await asyncio.to_thread(self._tell)
            except OSError as error:
                _log.warning("neighbours not told of the floating address", reason=str(error))

    async def renew(self) -> None:
        """Let it live for another lease."""
        if self._taken and self._interface:
            try:
                await asyncio.to_thread(self._add)
            except SetupError as error:
                _log.error("floating address not renewed", reason=str(error))

    def drop(self) -> None:
        """Have it no more; quick, and never fails."""
        if not self._taken:
            return
        self._taken = False
        if self._interface and self._netlink:
            # In a thread, because the library's own loop does not run inside ours; waited for, because nobody may be
            # answered at an address that another host has.
            dropping = threading.Thread(target=self._remove, daemon=True)
            dropping.start()
            dropping.join(_DROP_LIMIT_S)
            _log.info("floating address dropped", address=self._settings.address)

    async def released(self) -> None:
        """Call the hook after `drop`."""
        await self._call_hook("release")

    def _remove(self) -> None:
        with suppress(SetupError):
            self._change("del")

    def _add(self) -> None:
        lifetime = {"ifa_preferred": self._lifetime_s, "ifa_valid": self._lifetime_s, "cstamp": 0, "tstamp": 0}
        self._change("replace", IFA_CACHEINFO=lifetime)

    def _change(self, command: str, **more: Any) -> None:
        if self._interface is None or self._netlink is None:
            return
        try:
            index = socket.if_nametoindex(self._settings.interface)
            with self._netlink() as netlink:
                netlink.addr(
                    command,
                    index=index,
                    address=str(self._interface.ip),
                    prefixlen=self._interface.network.prefixlen,
                    **more,
                )
        except Exception as error:
            # The library's errors have no common root; what it means for us is the same.
            raise SetupError(
                f"ha.address: {self._settings.address} cannot be changed on {self._settings.interface}: {error};"
                " name an interface of this host, and give the recorder CAP_NET_ADMIN"
            ) from None

    def _tell(self) -> None:
        if self._interface is None:
            return
        name, address = self._settings.interface, str(self._interface.ip)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((name, 0))
            hardware: bytes = raw.getsockname()[4]
            if self._interface.version == 4:
                for frame in gratuitous_arp(address, hardware):
                    raw.send(frame)
                return
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(name))
            icmp.sendto(unsolicited_advertisement(address, hardware), (_ALL_NODES, 0))

    async def _call_hook(self, what: str) -> None:
        hook = self._settings.address_hook
        if not hook:
            return
        try:
            process = await asyncio.create_subprocess_exec(hook, what, self._settings.site, self._node)
            async with asyncio.timeout(_HOOK_LIMIT_S):
                code = await process.wait()
        except (OSError, TimeoutError) as error:
            _log.error("address hook failed", hook=hook, action=what, reason=str(error) or "it did not end in time")
            return
        if code:
            _log.error("address hook failed", hook=hook, action=what, exit_code=code)


def _load_netlink() -> Callable[..., Any]:
    # Half a second and 20 MB that a host without a floating address does not pay.
    from pyroute2 import IPRoute  # noqa: PLC0415 - see above

    netlink: Callable[..., Any] = IPRoute
    return netlink
