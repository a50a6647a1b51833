"""Who the recorder is on the wire, and how much it takes on: identity and limits.

Values only, validated when they are made. Does not read configuration files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from signaling.dialog.flow import Flow, TransportName
from signaling.dialog.session_timer import SessionTimerPolicy
from signaling.errors import LocalProtocolError
from signaling.sip.syntax import is_token

STAMP_SEPARATOR: Final = "~"
"""Stands between stamp and random part of a tag; a token character that neither part may hold."""

ALLOW: Final = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK")
SUPPORTED: Final = ("timer", "siprec", "100rel")
UNDERSTOOD: Final = frozenset({"timer", "siprec", "100rel", "replaces", "uui", "record-aware", "from-change"})
"""Option tags that a request may require of us although we do not announce all of them (RFC 3261 §8.2.2.3):
they change nothing for a recorder, and refusing one would lose the call."""
ACCEPT: Final = ("application/sdp", "multipart/mixed", "application/rs-metadata+xml", "application/rs-metadata")


@dataclass(frozen=True, slots=True)
class Identity:
    """How the recorder presents itself."""

    host: str
    """Address or name that peers reach us at; goes into Contact and Via. IPv6 without brackets. Empty: for each peer
    the address of ours that it has reached, as on a host with several networks."""
    port: int = 5060
    """Port for UDP and TCP."""
    tls_port: int = 5061
    user: str = "srs"
    """User part of the Contact URI."""
    product: str = "Tandem"
    """Value of Server and User-Agent."""
    stamp: str = "0"
    """Instance and epoch; starts every To-tag, so that any front end can tell whose dialog a request belongs to."""
    recording: bool = True
    """Put `+sip.srs` into Contact (RFC 7866 §6.2); a dialog can override it when it is answered."""
    allow: tuple[str, ...] = ALLOW
    supported: tuple[str, ...] = SUPPORTED
    understood: frozenset[str] = UNDERSTOOD
    accept: tuple[str, ...] = ACCEPT
    other_hosts: frozenset[str] = frozenset()
    """Further hosts that earlier instances put into Via, in lower case: responses to those are ours too."""
    session_timer: SessionTimerPolicy = field(default_factory=SessionTimerPolicy)
    session_id: bool = True
    """Answer a Session-ID header field with one of our own (RFC 7989)."""

    def __post_init__(self) -> None:
        if not is_token(self.stamp) or STAMP_SEPARATOR in self.stamp:
            raise LocalProtocolError("the stamp must be a token without the separator")

    def port_for(self, transport: TransportName) -> int:
        """Return the port we listen on for `transport`."""
        return self.tls_port if transport == "tls" else self.port

    def host_towards(self, flow: Flow) -> str:
        """Return the host that goes into Contact and Via for the peer of `flow`."""
        return self.host or flow.local[0]

    def is_ours(self, sent_by: str, flow: Flow) -> bool:
        """Whether a Via that names this host was written by us, so that its response is for us."""
        host = sent_by.lower()
        return host == self.host_towards(flow).lower() or host in self.other_hosts

    def tag(self, random: str) -> str:
        """Return a tag that carries the stamp (RFC 3261 §12.2.2, §19.3)."""
        return f"{self.stamp}{STAMP_SEPARATOR}{random}"


def stamp_of(tag: str) -> str | None:
    """Return the stamp of a tag made by any instance of this product, None for a foreign tag."""
    stamp, separator, _ = tag.partition(STAMP_SEPARATOR)
    return stamp if separator and stamp else None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user agent takes on before it refuses more. Each number bounds memory, none is a licence."""

    dialogs: int = 20_000
    """Twice the design load of one front end (10,000 recording sessions); at 40 kB each 0.8 GB."""
    server_transactions: int = 50_000
    """A transaction lives 32 s after its answer: this is 1,500 requests per second, five times the design load."""
    client_transactions: int = 20_000
    """One request of ours per dialog at the same time."""
    unanswered_invite: float = 180.0
    """Seconds after which an INVITE that the transaction user never answered gets 500: RFC 3261 §16.6 (Timer C)
    has proxies give up then, so nobody waits for the answer any more."""
    retry_after: int = 10
    """Seconds in Retry-After when a limit is reached."""
