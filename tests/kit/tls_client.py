"""The recording client of `tests.kit.sip_client` over TLS, and a whole call with it."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Any

from tests.kit.call import Call
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import LOOPBACK, Message, NoAnswerError, SipClient


class TlsClient(SipClient):
    """One TLS connection to the recorder."""

    def __enter__(self) -> TlsClient:
        return self

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port, "tcp")
        self.connection = context.wrap_socket(self.socket, server_hostname=LOOPBACK)
        self.socket: socket.socket = self.connection

    def _next(self, limit_s: float) -> Message:
        # What OpenSSL holds already is not seen by select.
        deadline = time.monotonic() + limit_s
        while True:
            message = self._cut()
            if message is not None:
                return message
            left = max(deadline - time.monotonic(), 0)
            if not self.connection.pending() and not select.select([self.connection], [], [], left)[0]:
                raise NoAnswerError(f"nothing from {self.target} by TLS within {limit_s} s")
            data = self.connection.recv(65535)
            if not data:
                raise NoAnswerError(f"{self.target} closed the connection")
            self._buffer += data

    def via(self, *, branch: str | None = None) -> str:
        """A Via value that names TLS."""
        return super().via(branch=branch).replace("SIP/2.0/TCP", "SIP/2.0/TLS")


class TlsCall(Call):
    """A call whose signalling goes over TLS."""

    def __init__(self, recorder: RunningRecorder, port: int, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(recorder, transport="udp", **options)
        self.client.close()
        self.client = TlsClient(port, context)
        self.dialog.client = self.client
        self.dialog.contact = f"<sip:Genesys@{LOOPBACK}:{self.client.local_port};transport=tls>"
