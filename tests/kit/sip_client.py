"""A recording client of a few lines: plain sockets, literal messages, nothing of the project's own signalling."""

from __future__ import annotations

import hashlib
import secrets
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

Transport = Literal["udp", "tcp"]
LOOPBACK: Final = "127.0.0.1"
ANSWER_LIMIT_S: Final = 20.0
"""A recorder that has not answered by then has not answered: far above any measured time, for busy machines."""


class NoAnswerError(AssertionError):
    """Nothing came back in time."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came, taken apart no further than tests need."""

    raw: bytes

    @property
    def start_line(self) -> str:
        """First line."""
        return self.raw.split(b"\r\n", 1)[0].decode()

    @property
    def status(self) -> int:
        """Status code; 0 for a request."""
        first = self.start_line.split(" ")
        return int(first[1]) if first[0] == "SIP/2.0" else 0

    @property
    def body(self) -> bytes:
        """Everything behind the empty line."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def sdp(self) -> str:
        """The body, which must be a session description that says so."""
        assert self.one("Content-Type") == "application/sdp", self.text
        return self.body.decode()

    @property
    def text(self) -> str:
        """The whole message, for people."""
        return self.raw.decode(errors="replace")

    def all(self, name: str) -> list[str]:
        """Values of every header line of this name, in order."""
        lines = self.raw.partition(b"\r\n\r\n")[0].decode(errors="replace").split("\r\n")[1:]
        return [
            value.strip() for key, _, value in (line.partition(":") for line in lines) if key.lower() == name.lower()
        ]

    def one(self, name: str) -> str:
        """The value of a header that must be there once."""
        values = self.all(name)
        assert len(values) == 1, f"{name} occurs {len(values)} times in:\n{self.text}"
        return values[0]

    def media_ports(self) -> list[int]:
        """Port of every m-line of the description."""
        return [int(line.split(" ")[1]) for line in self.sdp.split("\r\n") if line.startswith("m=")]

    def media_sections(self) -> list[list[str]]:
        """Lines of every m-line's section."""
        sections: list[list[str]] = []
        for line in self.sdp.split("\r\n"):
            if line.startswith("m="):
                sections.append([])
            if sections and line:
                sections[-1].append(line)
        return sections


def compose(head: str, body: str | bytes = b"") -> bytes:
    """Turn text into a message: CRLF line ends, and a Content-Length unless the text brings one."""
    content = body.encode() if isinstance(body, str) else body
    lines = [line.strip() for line in head.strip().splitlines()]
    if not any(line.lower().startswith(("content-length:", "l:")) for line in lines):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def _is_rtcp(data: bytes) -> bool:
    """Whether this is a report for a call that a moment before had its RTCP where we are now (RFC 7983 section 7)."""
    return data[:1] in {b"\x80", b"\x81"}


class SipClient:
    """One socket towards the recorder."""

    def __init__(self, port: int, transport: Transport = "udp", *, host: str = LOOPBACK, server: str = "") -> None:
        self.transport: Transport = transport
        self.target = (server or host, port)
        self.shown = f"[{host}]" if ":" in host else host
        """The client's own address, as URIs name it."""
        self._buffer = b""
        self._known: set[bytes] = set()
        """What has come so far."""
        if transport == "udp":
            self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((host, 0))
        else:
            self.socket = socket.create_connection(self.target, timeout=ANSWER_LIMIT_S)
        self.local_port: int = self.socket.getsockname()[1]

    def __enter__(self) -> SipClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Vanish."""
        self.socket.close()

    def send(self, message: bytes) -> None:
        """Send these bytes."""
        if self.transport == "udp":
            self.socket.sendto(message, self.target)
        else:
            self.socket.sendall(message)

    def receive(self, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Return the next message; what has come by the end of the limit is found, however late we look.

        Raises:
            NoAnswerError: none came within the limit, or the connection was closed.

        """
        message = self._next(limit_s)
        self._known.add(message.raw)
        return message

    def _next(self, limit_s: float) -> Message:
        deadline = time.monotonic() + limit_s
        while True:
            message = self._cut()
            if message is not None:
                return message
            if not select.select([self.socket], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise NoAnswerError(f"nothing from {self.target} by {self.transport} within {limit_s} s")
            data = self.socket.recv(65535)
            if not data and self.transport == "tcp":
                raise NoAnswerError(f"{self.target} closed the connection")
            if self.transport == "udp" and _is_rtcp(data):
                continue
            self._buffer += data

    def _cut(self) -> Message | None:
        if self.transport == "udp":
            datagram, self._buffer = self._buffer, b""
            return Message(datagram) if datagram else None
        self._buffer = self._buffer.lstrip(b"\r\n")
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(Message(head + end).one("Content-Length"))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return Message(head + end + rest[:length])

    def final(self, method: str, *, cseq: int | None = None, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Return the next final response to a request of this method.

        Anything else is passed over as if it had not come: a request of the recorder's is fresh when it is repeated.
        """
        deadline = time.monotonic() + limit_s
        while True:
            message = self._next(max(deadline - time.monotonic(), 0))
            number, _, answered = next(iter(message.all("CSeq")), "").partition(" ")
            if message.status >= 200 and answered == method and cseq in (None, int(number)):
                self._known.add(message.raw)
                return message

    def fresh(self, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Return the next message that has not come before: over UDP, what seems lost to a busy peer is repeated."""
        deadline = time.monotonic() + limit_s
        while (message := self._next(max(deadline - time.monotonic(), 0))).raw in self._known:
            pass
        self._known.add(message.raw)
        return message

    def quiet(self, for_s: float) -> bool:
        """Whether nothing new arrives for this long."""
        try:
            self.fresh(for_s)
        except NoAnswerError:
            return True
        return False

    def via(self, *, branch: str | None = None) -> str:
        """A Via value of this socket."""
        chosen = branch or f"z9hG4bK{secrets.token_hex(8)}"
        return f"SIP/2.0/{self.transport.upper()} {self.shown}:{self.local_port};branch={chosen};rport"

    def options(self, *, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Probe as the Resource Manager does: To without angle brackets, large CSeq (genesys-msr)."""
        self.send(
            compose(f"""
                OPTIONS sip:{self.shown}:{self.target[1]} SIP/2.0
                Via: {self.via()}
                Max-Forwards: 70
                From: <sip:GVP@{LOOPBACK}:{self.local_port}>;tag={secrets.token_hex(4)}
                To: sip:{LOOPBACK}:{self.target[1]}
                Call-ID: {secrets.token_hex(8)}@{LOOPBACK}
                CSeq: 307103 OPTIONS
                Contact: <sip:GVP@{LOOPBACK}:{self.local_port}>
                Allow: INVITE, OPTIONS, BYE, CANCEL, ACK, UPDATE, INFO
                Supported: timer, uui
            """)
        )
        return self.final("OPTIONS", limit_s=limit_s)


@dataclass(slots=True, kw_only=True)
class Dialog:
    """The client's side of one dialog; every request is composed here as text."""

    client: SipClient
    uri: str
    """Request-URI of the INVITE."""
    call_id: str = field(default_factory=lambda: f"{secrets.token_hex(8)}-7090@{LOOPBACK}")
    local: str = f"<sip:Genesys@{LOOPBACK}:7090>"
    local_tag: str = field(default_factory=lambda: secrets.token_hex(6))
    remote: str = ""
    """To of the INVITE; by default its URI without parameters."""
    remote_tag: str = ""
    contact: str = ""
    """Contact value; by default this socket's address."""
    record_route: str = ""
    """Record-Route line value that a proxy in between would have added to the INVITE."""
    cseq: int = 0
    target: str = ""
    """Remote target, from the 2xx."""

    def __post_init__(self) -> None:
        self.remote = self.remote or f"<{self.uri.partition(';')[0]}>"
        self.contact = self.contact or f"<sip:Genesys@{self.client.shown}:{self.client.local_port}>"

    def request(
        self,
        method: str,
        body: str | bytes = b"",
        *,
        content_type: str = "application/sdp",
        headers: str = "",
        cseq: int | None = None,
        branch: str | None = None,
    ) -> bytes:
        """Compose a request of this dialog; without `cseq` the number rises, except for ACK and CANCEL."""
        if cseq is None:
            self.cseq += method not in {"ACK", "CANCEL"}
            cseq = self.cseq
        lines = [
            f"{method} {self.target or self.uri} SIP/2.0",
            f"Via: {self.client.via(branch=branch)}",
            "Max-Forwards: 69",
            f"From: {self.local};tag={self.local_tag}",
            f"To: {self.remote}" + (f";tag={self.remote_tag}" if self.remote_tag else ""),
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
        ]
        if self.record_route and not self.remote_tag:
            lines.append(f"Record-Route: {self.record_route}")
        if method in {"INVITE", "UPDATE"}:
            lines.append(f"Contact: {self.contact}")
        if body:
            lines.append(f"Content-Type: {content_type}")
        return compose("\n".join([*lines, *headers.strip().splitlines()]), body)

    def send(
        self, method: str, body: str | bytes = b"", *, content_type: str = "application/sdp", headers: str = ""
    ) -> Message:
        """Send a request and return its final response, which is acknowledged if it answers an INVITE."""
        self.client.send(self.request(method, body, content_type=content_type, headers=headers))
        answer = self.client.final(method, cseq=self.cseq)
        if method == "INVITE":
            self.learn(answer)
            if answer.status < 300:
                self.client.send(self.request("ACK"))
            else:
                self.acknowledge_refusal(answer)
        return answer

    def learn(self, answer: Message) -> None:
        """Take tag and remote target from a final response to an INVITE."""
        if answer.status < 300:
            self.remote_tag = answer.one("To").rpartition(";tag=")[2]
            self.target = answer.one("Contact").partition("<")[2].partition(">")[0]

    def acknowledge_refusal(self, answer: Message) -> None:
        """Send the ACK of RFC 3261 section 17.1.1.3: the branch of the INVITE, the To of the response."""
        branch = answer.all("Via")[0].partition("branch=")[2].partition(";")[0]
        self.client.send(
            compose(f"""
                ACK {self.target or self.uri} SIP/2.0
                Via: {self.client.via(branch=branch)}
                Max-Forwards: 69
                From: {self.local};tag={self.local_tag}
                To: {answer.one("To")}
                Call-ID: {self.call_id}
                CSeq: {answer.one("CSeq").partition(" ")[0]} ACK
            """)
        )

    def bye(self, *, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Hang up; retransmitted by the rules of UDP, so that a frontend that is being replaced misses nothing."""
        request = self.request("BYE")
        return self.insist(request, "BYE", limit_s=limit_s)

    def insist(self, request: bytes, method: str, *, limit_s: float = ANSWER_LIMIT_S) -> Message:
        """Send a request, over UDP again and again as Timer E says (RFC 3261 17.1.2.1), until its final response."""
        deadline, interval = time.monotonic() + limit_s, 0.5
        while True:
            self.client.send(request)
            left = deadline - time.monotonic()
            try:
                wait = min(interval, left) if self.client.transport == "udp" else left
                return self.client.final(method, cseq=self.cseq, limit_s=max(wait, 0))
            except NoAnswerError:
                if time.monotonic() >= deadline or self.client.transport == "tcp":
                    raise
            interval = min(2 * interval, 4.0)


def msr_uri(identifier: str, port: int, parameters: Callable[[str], str] | None = None, *, host: str = LOOPBACK) -> str:
    """Return a Request-URI as the Genesys Media Server writes it, for a record identifier.

    Without `parameters` no two identifiers have a connection id or an agent's DN in common: a recorder that saw them
    as possible copies of one call would hold the sound of every call of a test run against all others.
    """
    call_uuid, dn = identifier.partition("_")[0], dn_of(identifier)
    chosen = (
        parameters(call_uuid)
        if parameters
        else f"calluuid={call_uuid};dn={dn};otherdn=5550111;agentid=agent-0001;ani=5550111;"
        f"connid={conn_id_of(identifier)};datetime=2030-01-15T09:30:00Z;dnis=5550199;"
        f"gvp-tenant-id=[Environment].record;recorddn={dn};sipsappname=SIP_Example;media-id={call_uuid}"
    )
    return f"sip:record={identifier}@{host}:{port};{chosen}"


def conn_id_of(identifier: str) -> str:
    """Return the T-lib connection id of the call with this record identifier: 16 hexadecimal digits, its own."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:16]


def dn_of(identifier: str) -> str:
    """Return the DN of the agent of the call with this record identifier: ten digits from 556 on, its own."""
    return f"556{int(conn_id_of(identifier), 16) % 10_000_000:07d}"


def new_identifier() -> str:
    """Return a record identifier of the usual form: call UUID of 32 characters, date, time."""
    return f"{secrets.token_hex(16).upper()}_2030-01-15_09-30-00"


def offer(
    ports: list[int],
    *,
    payload: int | list[int] = 0,
    direction: str = "sendonly",
    labels: list[str] | None = None,
    host: str = LOOPBACK,
    version: int = 1,
    extra: str = "",
) -> str:
    """Return the offer of a client: one audio m-line per port. `extra` is put at the end of every section."""
    names = {0: "pcmu/8000", 8: "pcma/8000", 18: "g729/8000", 101: "telephone-event/8000"}
    payloads = payload if isinstance(payload, list) else [payload, 101]
    family = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o=- 1 {version} IN {family} {host}", "s=-", f"c=IN {family} {host}", "t=0 0"]
    for index, port in enumerate(ports):
        lines.append(f"m=audio {port} RTP/AVP {' '.join(map(str, payloads))}")
        lines += [f"a=rtpmap:{number} {names[number]}" for number in payloads if number in names]
        lines += ["a=fmtp:101 0-15"] * (101 in payloads) + ["a=ptime:20"]
        lines += [f"a=label:{labels[index]}"] if labels is not None else []
        lines += [f"a={direction}"] * bool(direction) + extra.split()
    return "\r\n".join(lines) + "\r\n"
