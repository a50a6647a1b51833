"""Where a response goes, RFC 3261 §18.2.2 and RFC 3581 §4.

Pure functions of the topmost Via and the way the request came. Does not resolve names: sent-by names are never needed,
since the source address of the request is known.
"""

from __future__ import annotations

from signaling.dialog.flow import DEFAULT_PORTS, Destination, Flow
from signaling.sip import Via


def response_path(via: Via, flow: Flow, *, is_open: bool) -> Flow | Destination:
    """Return where the response to a request goes.

    Args:
        via: topmost Via of the request, completed by `Request.seen_from`.
        flow: how the request came.
        is_open: False if that connection is gone; ignored for UDP.

    """
    if flow.reliable:
        if is_open:
            return flow
        # "If that connection is no longer open, the server SHOULD open a connection to the IP address in the
        # "received" parameter, if present, using the port in the "sent-by" value, or the default port"
        return Destination(flow.transport, flow.remote[0], via.port or DEFAULT_PORTS[flow.transport], flow.local)
    port = via.port or DEFAULT_PORTS["udp"]
    if maddr := via.params.get("maddr"):
        return Destination("udp", maddr.strip("[]"), port, flow.local)
    # The source address is what a true "received" says; one that the sender wrote itself is not believed. RFC 3581
    # §4: "The response MUST be sent from the same address and port that the corresponding request was received on."
    if port == flow.remote[1] or "rport" in via.params:
        return flow
    return Flow("udp", flow.local, (flow.remote[0], port))
