"""The Via header field, RFC 3261 §20.42, with `rport` of RFC 3581.

Keeps the values that responses and transaction matching need. Does not choose where a response goes; the transport
layer does.
"""

from __future__ import annotations

import itertools
from typing import Final, Self

import msgspec

from signaling.errors import SipSyntaxError
from signaling.sip.syntax import NO_PARAMS, WHITESPACE, Params, is_token
from signaling.sip.uri import format_hostport, parse_hostport

MAGIC_COOKIE: Final = "z9hG4bK"
"""Start of every branch that follows RFC 3261 §8.1.1.7."""

_DEFAULT_PORTS: Final = {"TLS": 5061, "TLS-SCTP": 5061, "WSS": 443, "WS": 80}


class Via(msgspec.Struct, frozen=True):
    """One hop of the response path."""

    transport: str
    """Upper case: UDP, TCP, TLS, or a name we do not know."""
    host: str
    """The host of sent-by; an IPv6 address without brackets."""
    port: int | None = None
    """The port of sent-by, None when it is not written."""
    params: Params = NO_PARAMS
    version: str = "SIP/2.0"

    @classmethod
    def parse(cls, text: str, header: str = "Via") -> Self:
        """Read one element of a Via header field.

        Raises:
            SipSyntaxError: protocol, sent-by or parameters are malformed.

        """
        start = text.partition(";")[0]
        protocol, slash, rest = start.partition("/")
        version, second, rest = rest.partition("/")
        words = rest.split()
        name, version = protocol.strip(WHITESPACE), version.strip(WHITESPACE)
        if not (slash and second and is_token(name) and is_token(version) and len(words) > 1 and is_token(words[0])):
            raise SipSyntaxError(400, header, 0, "protocol of a Via is malformed")
        # The colon of sent-by may have white space around it (RFC 3261 §25.1, COLON).
        if len(words) > 2 and not _spaced_colon(words[1:]):
            raise SipSyntaxError(400, header, len(start) - len(rest), "white space inside sent-by")
        host, port = parse_hostport("".join(words[1:]), header, len(start) - len(rest))
        params = Params.parse(text[len(start) :], header, len(start))
        return cls(words[0].upper(), host, port, params, f"{name}/{version}")

    @property
    def branch(self) -> str | None:
        """The branch parameter, or None."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The source address that the next hop saw, without brackets, or None."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The source port that the next hop saw; None if the parameter is absent, empty or not a port."""
        value = self.params.get("rport")
        return int(value) if value and len(value) <= 5 and value.isascii() and value.isdigit() else None

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host in lower case and port, the default port filled in: what RFC 3261 §17.2.3 compares."""
        return self.host.lower(), self.port or _DEFAULT_PORTS.get(self.transport, 5060)

    def seen_from(self, host: str, port: int) -> Self:
        """Return this Via as the receiver must complete it, given the packet's source address and port.

        `received` is added if sent-by names another host, or if the sender asked for `rport`, which is then filled
        (RFC 3261 §18.2.1; RFC 3581 §4: `received` is added "even if it is identical").
        """
        params = self.params
        asked = "rport" in params
        if not asked and self.host.lower() == host.lower():
            return self
        if asked:
            params = params.having("rport", str(port))
        return type(self)(self.transport, self.host, self.port, params.having("received", host), self.version)

    def __str__(self) -> str:
        return f"{self.version}/{self.transport} {format_hostport(self.host, self.port)}{self.params}"


def _spaced_colon(words: list[str]) -> bool:
    """Say whether `words` are one host and one port torn apart only at their colon."""
    joints = itertools.pairwise(words)
    return all(left.endswith(":") or right.startswith(":") for left, right in joints)
