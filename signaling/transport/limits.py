"""How much connections may cost us. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from signaling.sip.parser import MAX_MESSAGE


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of TCP and TLS connections."""

    connections: int = 4096
    """Open at the same time, both directions. A site has a handful of SRCs with a few connections each; this leaves
    room for SRCs that open one per call, and stays far below the descriptors of a process."""
    idle: float = 3600.0
    """Seconds without a byte after which a connection is closed; SRCs that want to keep one send CRLF (RFC 5626)."""
    incomplete: float = 30.0
    """Seconds for a message that has begun to arrive; as long as RFC 3261's Timer F, nobody needs more."""
    message: int = MAX_MESSAGE
    """Bytes of one message."""
    unsent: int = 4 << 20
    """Bytes that wait for a peer which does not read; then the connection is cut. Four of the largest messages."""
    handshake: float = 10.0
    """Seconds for the TLS handshake."""
    connect: float = 5.0
    """Seconds to open a connection; well inside the 32 s of a transaction, so that a fallback still has a chance."""
    accept_pause: float = 1.0
    """Seconds without accepting after descriptors or memory ran out; as in asyncio's own servers."""
    waiting: int = 1000
    """Messages that wait for one connection to open."""
