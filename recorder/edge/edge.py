"""What a frontend has of the edge, from its start as a standby on: contexts that can be replaced while it runs."""

from __future__ import annotations

import socket
import ssl

from recorder.edge.tls import TlsContexts, TlsMaterial
from recorder.role import Assignment
from signaling.transport import SipTransport


class Edge:
    """The edge of one frontend process."""

    def __init__(self, assignment: Assignment) -> None:
        self._listeners = [sock for _, sock in assignment.sockets.get("sip-tls", [])]
        self.tls = TlsContexts(TlsMaterial.decode(assignment.tls) if assignment.tls else None)
        self._transport: SipTransport | None = None

    def tls_listeners(self) -> list[tuple[socket.socket, ssl.SSLContext]]:
        """Return the listening sockets of TLS with the context in use; none where TLS is off."""
        context = self.tls.server
        return [(sock, context) for sock in self._listeners] if context is not None else []

    def attach(self, transport: SipTransport) -> None:
        """Keep the contexts of this transport, which serves `tls_listeners` already, up to date from now on."""
        self._transport = transport
        self._update()

    def reload(self, tls: bytes) -> None:
        """Use these certificates (encoded `TlsMaterial`; empty: TLS is off) for connections from now on."""
        if not tls:
            return
        self.tls.replace(TlsMaterial.decode(tls))
        self._update()

    def _update(self) -> None:
        if self._transport is not None and self.tls.server is not None:
            self._transport.use_tls_context(self.tls.server)
            self._transport.use_tls_client_context(self.tls.client)
