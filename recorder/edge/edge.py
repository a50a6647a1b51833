"""What a frontend has of the edge, from its start as a standby on; all of it can be replaced while it runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Final

import structlog

from recorder.edge.authentication import Authenticator
from recorder.edge.files import EdgeFiles
from recorder.edge.gate import AccessRules, Gate
from recorder.edge.logins import parse_logins
from recorder.edge.networks import network
from recorder.edge.occupancy import Occupancy
from recorder.edge.profile_files import parse_profiles
from recorder.edge.shield import Shield
from recorder.edge.tls import TlsContexts
from recorder.edge.users import parse_users
from recorder.role import Assignment
from recorder.settings import AccessSettings
from signaling.transport import SipTransport

_log = structlog.get_logger()

_LOOK_S: Final = 0.25
_FLOOD: Final = 500
"""Messages that were ignored between two looks and make a flood. Up to 2,000 per second the gate costs 3 % of a core
and can tell a dialog's requests from others; the kernel cannot."""
_REPORT_S: Final = 5.0
_REPORT_LINES: Final = 10
"""Sources named in one report; a flood from everywhere must not flood the log as well."""


class Edge:
    """The edge of one frontend process."""

    def __init__(self, assignment: Assignment) -> None:
        files = EdgeFiles.decode(assignment.edge)
        access = assignment.settings.access
        self._listeners = [sock for _, sock in assignment.sockets.get("sip-tls", [])]
        self._transport: SipTransport | None = None
        self.tls = TlsContexts(files.tls, access.tls_identities)
        self.profiles = parse_profiles(files.profiles)
        self.occupancy = Occupancy(total=access.max_sessions, per_source=access.max_sessions_per_source)
        self._realm = access.digest_realm
        self._authenticator = (
            Authenticator(parse_users(files.users, realm=self._realm), realm=self._realm, key=files.nonce_key)
            if files.users
            else None
        )
        self.logins = parse_logins(files.logins)
        rules = _rules(access)
        self.gate = Gate(rules, self._authenticator)
        open_ones = [sock for kind in ("sip-udp", "sip-tcp") for _, sock in assignment.sockets[kind]]
        self._shields = (Shield(open_ones, rules.allow), Shield(self._listeners, rules.allow_tls))

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
        if self._authenticator is not None:
            self._authenticator.use(parse_users(renewed.users, realm=self._realm))
        self.logins = parse_logins(renewed.logins)
        if renewed.tls is not None:
            self.tls.replace(renewed.tls)
            self._update_transport()

    def _update_transport(self) -> None:
        if self._transport is not None and self.tls.server is not None:
            self._transport.use_tls_context(self.tls.server)
            self._transport.use_tls_client_context(self.tls.client)

    async def run(self) -> None:
        """Leave floods to the kernel and report what was refused, until cancelled; for the active frontend."""
        clock = time.monotonic
        for shield in self._shields:
            shield.raise_up()
        reported = clock()
        while True:
            await asyncio.sleep(_LOOK_S)
            floods = self.gate.floods(_FLOOD)
            for shield in self._shields:
                shield.update(floods, clock())
            if clock() - reported >= _REPORT_S:
                reported = clock()
                self.report()

    def report(self) -> None:
        """Log what the gate refused since the last time: one line per source and reason, the busiest first."""
        refused = self.gate.report()
        for source, reason, count in refused[:_REPORT_LINES]:
            _log.warning("requests refused", peer=source, reason=reason.value, messages=count)
        rest = refused[_REPORT_LINES:]
        if rest:
            messages = sum(count for _, _, count in rest)
            _log.warning("requests of further sources refused", sources=len(rest), messages=messages)


def _rules(access: AccessSettings) -> AccessRules:
    return AccessRules(
        allow=tuple(network(text) for text in access.allow),
        allow_tls=tuple(network(text) for text in access.allow_tls),
        requests_per_s=access.requests_per_s,
        burst=access.burst,
        total_requests_per_s=access.total_requests_per_s,
        methods=frozenset(access.digest_methods) if access.digest_users else frozenset(),
    )
