"""A recorder of a hundred lines over real sockets: literal SIP out, RTP kept as it came. Knows no transactions."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
Address = tuple[str, int]


class RtpPort(asyncio.DatagramProtocol):
    """One RTP port: keeps (arrival, source, packet)."""

    def __init__(self) -> None:
        self.received: list[tuple[float, Address, bytes]] = []

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.received.append((time.monotonic(), addr, data))


@dataclass
class Session:
    """One dialog as the tiny recorder sees it."""

    invite: dict[str, list[str]]
    source: Address
    ports: tuple[int, int]
    bodies: list[str] = field(default_factory=list)
    cseq: int = 100


class TinyRecorder(asyncio.DatagramProtocol):
    """Answers INVITE, re-INVITE and BYE with 200, as long as `refuse` is empty; can re-INVITE by itself."""

    def __init__(self) -> None:
        self.rtp: dict[int, RtpPort] = {}
        self.sessions: dict[str, Session] = {}
        self.requests: list[str] = []
        self.responses: list[str] = []
        self.refuse = ""
        """A status line such as `503 Service Unavailable` for every INVITE."""
        self.silent_for = 0
        """Requests that get no answer, to provoke retransmission."""
        self.payload_type = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._udp: asyncio.DatagramTransport | None = None
        self._rtp_transports: list[asyncio.DatagramTransport] = []
        self._server: asyncio.Server | None = None
        self._writers: dict[Address, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for transport in (self._udp, *self._rtp_transports):
            assert transport is not None
            transport.close()
        assert self._server is not None
        self._server.close()
        for writer in self._writers.values():
            writer.close()
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        """SIP port, UDP and TCP."""
        assert self._udp is not None
        return int(self._udp.get_extra_info("sockname")[1])

    async def open_rtp(self) -> int:
        """Open one more RTP port."""
        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind((HOST, 0))
        listener.setblocking(False)
        transport, protocol = await loop.create_datagram_endpoint(RtpPort, sock=listener)
        self._rtp_transports.append(transport)
        number = int(transport.get_extra_info("sockname")[1])
        self.rtp[number] = protocol
        return number

    async def reinvite(self, call_id: str, ports: tuple[int, int]) -> None:
        """Ask for the media of a call on other ports."""
        session = self.sessions[call_id]
        session.cseq += 1
        session.ports = ports
        target = session.invite["contact"][0].strip("<>")
        body = self._sdp(session, version=session.cseq)
        text = (
            f"INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bKtiny{session.cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: {session.invite['to'][0]};tag=tiny\r\nTo: {session.invite['from'][0]}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {session.cseq} INVITE\r\nContact: <sip:tiny@{HOST}:{self.port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        self.send(text, session.source)

    # SIP in.

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data.decode(), addr)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: Address = writer.get_extra_info("peername")
        self._writers[peer] = writer
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return
            length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
            self._take(head + (await reader.readexactly(length)).decode(), peer)

    def _take(self, text: str, source: Address) -> None:
        start, _, rest = text.partition("\r\n")
        if start.startswith("SIP/2.0"):
            self.responses.append(text)
            if " INVITE" in rest and start.startswith("SIP/2.0 200"):
                self._acknowledge(_headers(rest), source)
            return
        self.requests.append(text)
        if self.silent_for:
            self.silent_for -= 1
            return
        headers = _headers(rest)
        method = start.split(" ", 1)[0]
        if method == "INVITE":
            self._tasks.append(asyncio.get_running_loop().create_task(self._invited(headers, text, source)))
        elif method != "ACK":
            self._respond(headers, "200 OK", source)

    async def _invited(self, headers: dict[str, list[str]], text: str, source: Address) -> None:
        if self.refuse:
            self._respond(headers, self.refuse, source, extra="Retry-After: 3\r\n")
            return
        call_id = headers["call-id"][0]
        if call_id not in self.sessions:
            ports = (await self.open_rtp(), await self.open_rtp())
            self.sessions[call_id] = Session(headers, source, ports)
        session = self.sessions[call_id]
        session.bodies.append(text)
        direction = "inactive" if "a=inactive" in text else "recvonly"
        extra = f"Contact: <sip:tiny@{HOST}:{self.port}>\r\nContent-Type: application/sdp\r\n"
        self._respond(headers, "200 OK", source, extra=extra, body=self._sdp(session, direction=direction))

    # SIP out.

    def _sdp(self, session: Session, *, direction: str = "recvonly", version: int = 1) -> str:
        lines = ["v=0", f"o=tiny 1 {version} IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"]
        for port in session.ports:
            lines += [f"m=audio {port} RTP/AVP {self.payload_type}", f"a={direction}"]
        return "\r\n".join([*lines, ""])

    def _respond(
        self, headers: dict[str, list[str]], status: str, source: Address, *, extra: str = "", body: str = ""
    ) -> None:
        to = headers["to"][0]
        text = f"SIP/2.0 {status}\r\n" + "".join(f"Via: {via}\r\n" for via in headers["via"])
        text += "".join(f"Record-Route: {route}\r\n" for route in headers.get("record-route", []))
        text += f"From: {headers['from'][0]}\r\nTo: {to}{'' if 'tag=' in to else ';tag=tiny'}\r\n"
        text += f"Call-ID: {headers['call-id'][0]}\r\nCSeq: {headers['cseq'][0]}\r\n{extra}"
        self.send(f"{text}Content-Length: {len(body)}\r\n\r\n{body}", source)

    def _acknowledge(self, headers: dict[str, list[str]], source: Address) -> None:
        session = self.sessions[headers["call-id"][0]]
        number = headers["cseq"][0].split()[0]
        self.send(
            f"ACK {session.invite['contact'][0].strip('<>')} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bKack{number}\r\nMax-Forwards: 70\r\n"
            f"From: {headers['from'][0]}\r\nTo: {headers['to'][0]}\r\nCall-ID: {headers['call-id'][0]}\r\n"
            f"CSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n",
            source,
        )

    def send(self, text: str, to: Address) -> None:
        """Send a message over the connection it belongs to, else by UDP."""
        if to in self._writers:
            self._writers[to].write(text.encode())
        else:
            assert self._udp is not None
            self._udp.sendto(text.encode(), to)


def _headers(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.split("\r\n\r\n", maxsplit=1)[0].split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.lower(), []).append(value.strip())
    return found
