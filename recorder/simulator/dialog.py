"""One dialog as its caller sees it: identifiers, route set, and the requests inside it (RFC 3261 sections 8.1, 12).

Plays the Media Server, and on request also the Resource Manager in front of it: then each request carries two Via,
and the first INVITE a Record-Route that brings the recorder's requests back here. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from recorder.simulator.scenario import CallPlan, Door
from signaling.sip import Headers, NameAddr, Request, Response, Uri
from signaling.sip.uri import format_hostport

Token = Callable[[], str]
"""Returns fresh hexadecimal text of at least 32 digits."""
TransportName: TypeAlias = Literal["udp", "tcp", "tls"]
Address = tuple[str, int]

ALLOW: Final = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"
_MAX_FORWARDS: Final = 70


@dataclass(frozen=True, slots=True)
class Station:
    """Where the simulator can be reached by SIP."""

    host: str
    port: int
    transport: TransportName
    resource_manager: bool = False
    """True: behave as if a Resource Manager stood between the Media Server and the recorder."""

    @property
    def transport_parameter(self) -> str:
        """What a SIP URI of this station needs to say about its transport."""
        return "" if self.transport == "udp" else f";transport={self.transport}"


@dataclass(slots=True)
class CallDialog:
    """State of one dialog; changed by `caller` as responses arrive."""

    plan: CallPlan
    station: Station
    recorder: Address
    """Where the first request goes."""
    token: Token
    call_id: str = ""
    local_tag: str = ""
    remote_tag: str = ""
    target: Uri | None = None
    """Contact of the recorder."""
    routes: tuple[NameAddr, ...] = ()
    """Proxies between us and the recorder, nearest first; not our own Resource Manager."""
    local_cseq: int = 0
    remote_cseq: int = -1
    """-1: no request of the recorder yet."""
    request_uri: Uri = field(default_factory=lambda: Uri.parse("sip:invalid"))
    """Of the first request."""

    def __post_init__(self) -> None:
        self.local_tag = _guid(self.token)
        self.call_id = f"{_guid(self.token)}-{self.station.port}@{self.station.host}"

    @property
    def contact(self) -> str:
        """Our Contact; a SIPREC client marks itself (RFC 7866 section 6.1.1)."""
        user = "Genesys" if self.plan.door is Door.MSR else "src"
        address = format_hostport(self.station.host, self.station.port)
        mark = ";+sip.src" if self.plan.door is Door.SIPREC else ""
        return f"<sip:{user}@{address}{self.station.transport_parameter}>{mark}"

    def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """Make the next request: outside the dialog before there is one, inside it afterwards."""
        self.local_cseq += 1
        return self._build(method, self.local_cseq, self._vias(), headers, (content_type, body))

    def ack(self, cseq: int) -> Request:
        """Make the ACK of a 2xx (RFC 3261 section 13.2.2.4): a request of its own, with the INVITE's number."""
        return self._build("ACK", cseq, self._vias(), (), (None, b""))

    def cancel(self, invite: Request) -> Request:
        """Make the CANCEL of the INVITE (RFC 3261 section 9.1): same top Via, same number."""
        return self._build("CANCEL", invite.cseq.number, [str(invite.via)], (), (None, b""))

    def destination(self) -> Address:
        """Return where the next request goes: nearest proxy, else the recorder's Contact, else the target given."""
        hop = self.routes[0].uri if self.routes else self.target
        if hop is None or not _is_address(hop.host):
            return self.recorder
        return hop.host, hop.port or 5060

    def established(self, response: Response) -> None:
        """Take what a 2xx to the first INVITE says about the dialog (RFC 3261 section 12.1.2)."""
        self.remote_tag = response.to.tag or ""
        self.refresh_target(response)
        self.routes = tuple(route for route in reversed(response.record_routes) if not self._is_ours(route.uri))

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a target refresh: re-INVITE or UPDATE, or a 2xx to one (RFC 3261 section 12.2)."""
        if message.contact is not None:
            self.target = message.contact.uri

    def owns(self, request: Request) -> bool:
        """Tell whether a request belongs to this dialog: tags as they must be (RFC 3261 section 12.2.2)."""
        return request.to.tag == self.local_tag and (request.from_.tag or "") == self.remote_tag

    def _build(
        self,
        method: str,
        cseq: int,
        vias: Sequence[str],
        headers: Sequence[tuple[str, str]],
        content: tuple[str | None, bytes],
    ) -> Request:
        address = format_hostport(self.station.host, self.station.port)
        user = "Genesys" if self.plan.door is Door.MSR else "src"
        to = f"<{self._to_uri()}>" + (f";tag={self.remote_tag}" if self.remote_tag and method != "CANCEL" else "")
        items = [("Via", via) for via in vias]
        if not self.remote_tag and self.station.resource_manager and method == "INVITE":
            items.append(("Record-Route", self._record_route()))
        items += [("Route", str(route)) for route in self.routes]
        items += [
            ("Max-Forwards", str(_MAX_FORWARDS - (1 if self.station.resource_manager else 0))),
            ("From", f"<sip:{user}@{address}>;tag={self.local_tag}"),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        if method not in {"ACK", "BYE", "CANCEL"}:
            items.append(("Contact", self.contact))
        items += headers
        content_type, body = content
        if content_type is not None:
            items.append(("Content-Type", content_type))
        return Request(method, self.target or self.request_uri, Headers(items), body)

    def _vias(self) -> list[str]:
        address = format_hostport(self.station.host, self.station.port)
        top = f"SIP/2.0/{self.station.transport.upper()} {address};branch=z9hG4bK{self.token()[:20]};rport"
        if not self.station.resource_manager:
            return [top]
        # The Media Server reaches its Resource Manager by TCP, whatever goes out behind it.
        return [top, f"SIP/2.0/TCP {format_hostport(self.station.host, 7090)};branch=z9hG4bK{self.token()[:20]}"]

    def _record_route(self) -> str:
        address = format_hostport(self.station.host, self.station.port)
        return (
            f"<sip:0x00000001@{address}{self.station.transport_parameter};lr;gvp.rm.datanodes=1"
            f";confinstid={self.plan.record_identifier};idtag={self.plan.index:08X}>"
        )

    def _is_ours(self, uri: Uri) -> bool:
        return self.station.resource_manager and (uri.host, uri.port) == (self.station.host, self.station.port)

    def _to_uri(self) -> str:
        # Genesys repeats the user part alone; the call data stays in the Request-URI.
        who = f"{self.request_uri.user}@" if self.request_uri.user else ""
        return f"sip:{who}{format_hostport(self.request_uri.host, None)}"


def _guid(token: Token) -> str:
    text = token()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}".upper()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
