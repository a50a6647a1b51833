"""SIP over UDP, TCP and TLS: the only place in `signaling` that touches sockets, a clock or an event loop.

Carries bytes between sockets and `signaling.useragent` and knows no rule of the protocol. `SipTransport` is the
interface.
"""

from signaling.transport.adapter import SipTransport
from signaling.transport.limits import StreamLimits
from signaling.transport.resolver import Resolver, resolve_host

__all__ = ["Resolver", "SipTransport", "StreamLimits", "resolve_host"]
