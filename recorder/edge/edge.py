"""What a frontend has of the edge, from its start as a standby on; all of it can be replaced while it runs."""

from __future__ import annotations

import socket
import ssl

from recorder.edge.files import EdgeFiles
from recorder.edge.profile_files import parse_profiles
from recorder.edge.tls import TlsContexts
from recorder.role import Assignment
from signaling.transport import SipTransport


class Edge:
    """The edge of one frontend process."""

    def __init__(self, assignment: Assignment) -> None:
        files = EdgeFiles.decode(assignment.edge)
        self._listeners = [sock for _, sock in assignment.sockets.get("sip-tls", [])]
        self._transport: SipTransport | None = None
        self.tls = TlsContexts(files.tls)
        self.profiles = parse_profiles(files.profiles)

    def tls_listeners(self) -> list[tuple[socket.socket, ssl.SSLContext]]:
        """Return the listening sockets of TLS with the context in use; none where TLS is off."""
        context = self.tls.server
        return [(sock, context) for sock in self._listeners] if context is not None else []

    def attach(self, transport: SipTransport) -> None:
        """Keep the contexts of this transport, which serves `tls_listeners` already, up to date from now on."""
        self._transport = transport
        self._update_transport()

    def reload(self, files: bytes) -> None:
        """Use these files (encoded `EdgeFiles`, proved by the supervisor) for new connections and new sessions."""
        renewed = EdgeFiles.decode(files)
        self.profiles = parse_profiles(renewed.profiles)
        if renewed.tls is not None:
            self.tls.replace(renewed.tls)
            self._update_transport()

    def _update_transport(self) -> None:
        if self._transport is not None and self.tls.server is not None:
            self._transport.use_tls_context(self.tls.server)
            self._transport.use_tls_client_context(self.tls.client)
