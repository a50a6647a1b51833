"""Where a request inside a dialog goes: Request-URI, Route and next hop, RFC 3261 §12.2.1.1, §8.1.2 and §18.1.1.

Loose and strict routing, and the choice of transport for numeric hosts and names alike. Does not resolve names
(RFC 3263) and does not know which connections exist beyond the dialog's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signaling.dialog.flow import DEFAULT_PORTS, Destination, Flow, TransportName
from signaling.errors import SipSyntaxError
from signaling.sip.address import NameAddr
from signaling.sip.uri import Uri

MAX_UDP_REQUEST: Final = 1300
"""Bytes; RFC 3261 §18.1.1: a larger request "MUST be sent using an RFC 2914 congestion controlled transport"."""

_NOT_IN_REQUEST_URI: Final = ("method",)
"""URI parameters that must not stand in a Request-URI (RFC 3261 §19.1.1, table 1)."""


@dataclass(frozen=True, slots=True)
class Routing:
    """How one request is addressed."""

    request_uri: Uri
    route: tuple[str, ...]
    """Elements of the Route header field, in order; empty for none."""
    next_hop: Uri


def route_request(remote_target: Uri, route_set: Sequence[str]) -> Routing:
    """Build Request-URI and Route from remote target and route set (RFC 3261 §12.2.1.1).

    Raises:
        SipSyntaxError: the first route is not a SIP URI.

    """
    if not route_set:
        return Routing(remote_target, (), remote_target)
    first = NameAddr.parse(route_set[0], "Record-Route").uri
    if not first.is_sip:
        raise SipSyntaxError(400, "Record-Route", 0, "route is not a SIP URI")
    if first.is_loose_router:
        return Routing(remote_target, tuple(route_set), first)
    # The strict router of RFC 2543: it takes the Request-URI from the next Route, so the remote target goes last.
    params = first.params
    for name in _NOT_IN_REQUEST_URI:
        params = params.without(name)
    stripped = first.with_params(params) if first.headers or params != first.params else first
    return Routing(stripped, (*route_set[1:], f"<{remote_target.text}>"), first)


@dataclass(frozen=True, slots=True)
class Path:
    """Where to send one request, and where to turn if that fails."""

    first: Flow | Destination
    fallbacks: tuple[Flow | Destination, ...] = ()

    @property
    def transport(self) -> TransportName:
        """Transport of the first choice; goes into Via."""
        return self.first.transport


def choose_path(next_hop: Uri, *, flow: Flow, flow_is_open: bool, may_reuse: bool, size: int) -> Path:
    """Choose transport, address and connection for a request to `next_hop`.

    Args:
        next_hop: the topmost Route, or the remote target.
        flow: how the peer's latest request reached us.
        flow_is_open: False once that connection is gone; ignored for UDP.
        may_reuse: the peer offered its connection for requests of ours (RFC 5923).
        size: bytes of the request.

    """
    host = next_hop.param("maddr") or next_hop.host
    named = (next_hop.param("transport") or "").lower()
    transport: TransportName
    if next_hop.scheme == "sips" or named == "tls":
        transport = "tls"
    elif named == "tcp":
        transport = "tcp"
    elif named == "udp" or not flow.reliable:
        transport = "udp"
    else:
        # RFC 3263 §4.1 would choose UDP for a URI that names no transport. A peer that reached us by TCP or TLS is
        # known to speak it, and some that speak nothing else forget the parameter.
        transport = flow.transport
    port = next_hop.port or DEFAULT_PORTS[transport]
    wanted = Destination(transport, host, port, flow.local)
    if flow.reliable and flow_is_open and transport == flow.transport:
        same_host = host.lower() == flow.remote[0].lower()
        if same_host and (may_reuse or port == flow.remote[1]):
            return Path(flow, (wanted,))
        # The advertised address comes first, since peers need not read requests on connections that they opened;
        # but a peer behind a firewall can only be reached that way.
        return Path(wanted, (flow,))
    if transport == "udp" and not named and size > MAX_UDP_REQUEST:
        # RFC 3261 §18.1.1: on a reset "the element SHOULD retry the request, using UDP".
        return Path(Destination("tcp", host, port, flow.local), (wanted,))
    return Path(wanted)
