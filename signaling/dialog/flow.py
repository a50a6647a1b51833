"""Where messages come from and go to: flows and destinations, RFC 3261 §18 and RFC 5626 §2.

Plain values. Does not open, own or watch a connection; `signaling.transport` does.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

TransportName: TypeAlias = Literal["udp", "tcp", "tls"]
Address: TypeAlias = tuple[str, int]
"""Host without brackets, and port."""

DEFAULT_PORTS: Final[dict[TransportName, int]] = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""RFC 3261 §19.1.2."""


class Flow(msgspec.Struct, frozen=True):
    """One way between us and a peer that exists now: a pair of UDP addresses, or one connection."""

    transport: TransportName
    local: Address
    """Our own address: what the datagram was sent to, or our end of the connection."""
    remote: Address
    """The source of the datagram, or the other end of the connection."""
    connection: int = 0
    """Number of the connection, unique while the process lives; 0 for UDP."""

    @property
    def reliable(self) -> bool:
        """True for TCP and TLS, where nothing is retransmitted (RFC 3261 §17)."""
        return self.transport != "udp"


class Destination(msgspec.Struct, frozen=True):
    """Where a message shall go, whether or not a connection exists."""

    transport: TransportName
    host: str
    """IP address or host name; names are resolved by the transport."""
    port: int
    local: Address | None = None
    """Send from this address of ours; for connections only the host counts. None leaves the choice to the system."""

    @property
    def reliable(self) -> bool:
        """True for TCP and TLS."""
        return self.transport != "udp"
