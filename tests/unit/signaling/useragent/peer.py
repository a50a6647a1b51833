"""A scripted SRC and the user agent under test, face to face without a network and with a clock of their own.

Requests are literal SIP text. `Line.receive` hands it in, `Line.advance` lets time pass, and what the user agent sends
and tells is collected.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

from signaling.sip import Request, Response, parse_message
from signaling.useragent import (
    Event,
    Flow,
    Identity,
    InviteReceived,
    Limits,
    Logins,
    Outgoing,
    Timers,
    Traced,
    UserAgent,
)

SRS = ("192.0.2.40", 5060)
SRC = ("192.0.2.30", 5060)
UDP = Flow("udp", SRS, SRC)
TCP = Flow("tcp", SRS, ("192.0.2.30", 40123), 1)
TLS = Flow("tls", ("192.0.2.40", 5061), ("192.0.2.30", 40124), 2)

OFFER = "v=0\no=- 1 1 IN IP4 192.0.2.20\ns=-\nc=IN IP4 192.0.2.20\nt=0 0\nm=audio 30000 RTP/AVP 0\na=sendonly\n"
ANSWER = b"v=0\r\no=srs 7 1 IN IP4 192.0.2.50\r\ns=-\r\nc=IN IP4 192.0.2.50\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
SDP = "application/sdp"

Told = TypeVar("Told")


def octets(text: str) -> bytes:
    """Return literal text with the line ends of the wire."""
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def request(
    method: str,
    *,
    uri: str = "sip:srs@192.0.2.40:5060",
    via: str = "SIP/2.0/UDP 192.0.2.30:5060",
    branch: str,
    from_: str = "<sip:src@192.0.2.30>;tag=src-1",
    to: str = "<sip:srs@192.0.2.40>",
    call_id: str = "call-1@192.0.2.30",
    cseq: str,
    contact: str | None = "<sip:src@192.0.2.30:5060>",
    headers: Sequence[str] = (),
    body: str = "",
    content_type: str = SDP,
) -> bytes:
    """Return one request as a peer sends it; every part can be replaced."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via};branch={branch}",
        "Max-Forwards: 70",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
    ]
    if contact is not None:
        lines.append(f"Contact: {contact}")
    lines += headers
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(octets(body))}")
    return octets("\n".join([*lines, "", body]))


class Line:
    """The user agent under test, its clock, and everything that came out of it."""

    def __init__(
        self,
        *,
        identity: Identity | None = None,
        timers: Timers | None = None,
        limits: Limits | None = None,
        now: float = 1000.0,
        uniform: float = 0.5,
        trace: bool = False,
        flow: Flow = UDP,
        token: str = "token",
        logins: Logins | None = None,
    ) -> None:
        self._tokens = itertools.count(1)
        self.uniform = uniform
        self.now = now
        self.flow = flow
        self.agent = UserAgent(
            identity or Identity("192.0.2.40", stamp="a.7"),
            timers=timers or Timers(),
            token=lambda: f"{token}{next(self._tokens):04d}",
            limits=limits or Limits(),
            uniform=lambda: self.uniform,
            trace=trace,
            logins=logins,
        )
        self.sent: list[tuple[float, Outgoing]] = []
        """Everything sent, with the time."""
        self.told: list[Event] = []
        """Every event so far."""
        self._heard = 0
        self._read = 0

    def receive(self, data: bytes, flow: Flow | None = None) -> None:
        """Hand in one message."""
        self.agent.receive(data, flow or self.flow, self.now)
        self.drain()

    def advance(self, seconds: float) -> None:
        """Let time pass, with every timer fired at its moment."""
        end = self.now + seconds
        while (deadline := self.agent.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.agent.handle_timer(self.now)
            self.drain()
        self.now = end

    def drain(self) -> None:
        """Collect what the user agent has to say."""
        self.sent += ((self.now, outgoing) for outgoing in self.agent.outgoing())
        self.told += self.agent.events()

    def heard(self) -> list[Outgoing]:
        """Return what was sent since the last call."""
        self.drain()
        fresh = [outgoing for _, outgoing in self.sent[self._heard :]]
        self._heard = len(self.sent)
        return fresh

    def responses(self) -> list[Response]:
        """Return the responses among what was sent since the last look."""
        return [message for message in map(parsed, self.heard()) if isinstance(message, Response)]

    def requests(self) -> list[Request]:
        """Return the requests among what was sent since the last look."""
        return [message for message in map(parsed, self.heard()) if isinstance(message, Request)]

    def statuses(self) -> list[int]:
        """Return the status codes sent since the last look."""
        return [response.status for response in self.responses()]

    def response(self) -> Response:
        """Return the only final response sent since the last look."""
        final = [response for response in self.responses() if not response.is_provisional]
        assert len(final) == 1, final
        return final[0]

    def events(self) -> list[Event]:
        """Return the events since the last call, traces left out."""
        self.drain()
        fresh: list[Event] = [event for event in self.told[self._read :] if not isinstance(event, Traced)]
        self._read = len(self.told)
        return fresh

    def event(self, kind: type[Told]) -> Told:
        """Return the only event of this kind since the last look."""
        found = [event for event in self.events() if isinstance(event, kind)]
        assert len(found) == 1, found
        return found[0]


def parsed(outgoing: Outgoing) -> Request | Response:
    """Return a sent message as an object."""
    return parse_message(outgoing.data)


class Src:
    """The peer: keeps the numbers of one call, so that a test only says what is special.

    Args:
        line: the user agent.
        call: makes Call-ID and From-tag unique.
        via: sent-protocol and sent-by of its requests.
        contact: its Contact.

    """

    def __init__(
        self,
        line: Line,
        *,
        call: str = "1",
        via: str = "SIP/2.0/UDP 192.0.2.30:5060",
        contact: str = "<sip:src@192.0.2.30:5060>",
        record_route: str | None = None,
        supported: str | None = "timer",
    ) -> None:
        self.line = line
        self._call = call
        self._branches = itertools.count(1)
        self.call_id = f"call-{call}@192.0.2.30"
        self.from_ = f"<sip:src@192.0.2.30>;tag=src-{call}"
        self.to = "<sip:srs@192.0.2.40>"
        self.via = via
        self.contact = contact
        self.record_route = record_route
        self.supported = supported
        self.cseq = 0
        self.dialog_id = ""

    def build(
        self,
        method: str,
        *,
        cseq: int | None = None,
        headers: Sequence[str] = (),
        body: str = "",
        branch: str | None = None,
        content_type: str = SDP,
        to: str | None = None,
        from_: str | None = None,
        contact: str | None = None,
        uri: str = "sip:srs@192.0.2.40:5060",
    ) -> bytes:
        """Return a request of this call; without `cseq` the next number is used."""
        if cseq is None:
            self.cseq += 1
        common = []
        if self.supported is not None:
            common.append(f"Supported: {self.supported}")
        if self.record_route is not None:
            common.append(f"Record-Route: {self.record_route}")
        return request(
            method,
            uri=uri,
            via=self.via,
            branch=branch or f"z9hG4bK-src{self._call}-{next(self._branches)}",
            from_=from_ or self.from_,
            to=to or self.to,
            call_id=self.call_id,
            cseq=f"{cseq or self.cseq} {method}",
            contact=contact or self.contact,
            headers=[*common, *headers],
            body=body,
            content_type=content_type,
        )

    def send(self, method: str, **parts: object) -> bytes:
        """Send a request and return it, for a retransmission."""
        data = self.build(method, **parts)  # type: ignore[arg-type]
        self.line.receive(data)
        return data

    def ack(self, *, cseq: int | None = None, body: str = "", **parts: object) -> bytes:
        """Acknowledge the INVITE with the latest number."""
        data = self.build("ACK", cseq=cseq or self.cseq, body=body, **parts)  # type: ignore[arg-type]
        self.line.receive(data)
        return data

    def learn(self, response: Response) -> None:
        """Take the To-tag from a response."""
        tag = response.to.tag
        assert tag is not None
        self.to = f"<sip:srs@192.0.2.40>;tag={tag}"

    def establish(self, *, ack: bool = True, headers: Sequence[str] = (), body: str = OFFER) -> str:
        """Set the call up and return the dialog's identifier."""

        self.line.events()
        self.line.heard()
        self.send("INVITE", headers=headers, body=body)
        event = self.line.event(InviteReceived)
        prepared = self.line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
        assert self.line.agent.send(prepared, self.line.now)
        self.learn(self.line.response())
        self.dialog_id = event.dialog_id
        if ack:
            self.ack()
        self.line.events()
        self.line.heard()
        return event.dialog_id

    def answer(
        self, sent: Request, status: int, *, headers: Sequence[str] = (), body: str = "", contact: str | None = None
    ) -> bytes:
        """Return the peer's response to a request of the user agent."""
        lines = [f"SIP/2.0 {status} Whatever", *(f"Via: {value}" for value in sent.headers.get_all("Via"))]
        lines += [f"{name}: {sent.headers.get(name)}" for name in ("From", "To", "Call-ID", "CSeq")]
        if contact is not None:
            lines.append(f"Contact: {contact}")
        lines += headers
        if body:
            lines.append(f"Content-Type: {SDP}")
        lines.append(f"Content-Length: {len(octets(body))}")
        return octets("\n".join([*lines, "", body]))
