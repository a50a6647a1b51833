"""Literal SIP of a recorder, and a driver that takes a caller through time without sockets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from recorder.simulator.call_events import CallEvent
from recorder.simulator.caller import Caller
from recorder.simulator.dialog import Address, Station
from recorder.simulator.scenario import CallPlan, Door, ScenarioOptions, plan_calls
from recorder.simulator.session_text import LocalMedia
from signaling.sip import Request, Response, parse_message

RECORDER: Address = ("192.0.2.40", 5060)
CONTACT = "<sip:srs@192.0.2.40:5060>"
ANSWER = (
    "v=0\r\no=srs 7001 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    "m=audio {other} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
)


def sdp(*, host: str = "192.0.2.50", port: int = 40000, direction: str = "recvonly", version: int = 1) -> str:
    """Return the recorder's session description."""
    return ANSWER.format(host=host, port=port, other=port + 2, direction=direction, version=version)


def tokens() -> Iterator[str]:
    """Count in hexadecimal, backwards written so that every part of a token changes."""
    for number in itertools.count(1):
        yield f"{number:032x}"[::-1]


def planned(door: Door = Door.MSR, **options: object) -> CallPlan:
    """Return a plan of one call."""
    chosen = replace(ScenarioOptions(), door=door, **options)  # type: ignore[arg-type]
    return plan_calls(chosen, started_at=datetime(2030, 1, 15, 9, 30, tzinfo=UTC), run="r")[0]


class Script:
    """A caller and its clock; `sent` gives what it sent since the last look."""

    def __init__(
        self,
        *,
        door: Door = Door.MSR,
        transport: str = "udp",
        resource_manager: bool = False,
        session_expires_s: int = 1800,
    ) -> None:
        self.now = 100.0
        source = tokens()
        self.caller = Caller(
            planned(door),
            Station("192.0.2.20", 7090, transport, resource_manager),  # type: ignore[arg-type]
            RECORDER,
            LocalMedia("192.0.2.20", (30000, 30002)),
            token=lambda: next(source),
            session_expires_s=session_expires_s,
        )

    def sent(self) -> list[Request | Response]:
        """Return what was sent since the last call; everything must go to the recorder."""
        out = self.caller.outgoing()
        assert {to for _, to in out} <= {RECORDER}
        return [parse_message(data) for data, _ in out]

    def sent_request(self) -> Request:
        """Return the one request sent since the last call."""
        (message,) = self.sent()
        assert isinstance(message, Request)
        return message

    def sent_response(self) -> Response:
        """Return the one response sent since the last call."""
        (message,) = self.sent()
        assert isinstance(message, Response)
        return message

    def events(self) -> list[CallEvent]:
        """Return what happened since the last call."""
        return self.caller.events()

    def receive(self, text: str | bytes) -> None:
        """Let a message of the recorder arrive."""
        data = text.encode() if isinstance(text, str) else text
        self.caller.receive(parse_message(data), RECORDER, self.now)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, firing every timer on the way."""
        until = self.now + seconds
        while self.caller.deadline is not None and self.caller.deadline <= until:
            self.now = max(self.now, self.caller.deadline)
            self.caller.handle_timer(self.now)
        self.now = until

    def established(self, *, headers: str = "") -> Request:
        """Place the call and answer it; returns the INVITE. Nothing of it is left in the queues."""
        self.caller.invite(self.now)
        invite = self.sent_request()
        self.receive(response_to(invite, 200, headers=headers, body=sdp()))
        self.sent()
        self.events()
        return invite


def response_to(
    request: Request, status: int, *, reason: str = "", headers: str = "", body: str = "", tag: str = "srs-1"
) -> str:
    """Write a response of the recorder by hand."""
    fields = request.headers
    to = fields.get("To") or ""
    lines = [f"SIP/2.0 {status} {reason or 'Reason'}"]
    lines += [f"Via: {via}" for via in fields.get_all("Via")]
    lines += [f"Record-Route: {route}" for route in fields.get_all("Record-Route")]
    lines += [
        f"From: {fields.get('From')}",
        f"To: {to}" + ("" if "tag=" in to or status == 100 else f";tag={tag}"),
        f"Call-ID: {request.call_id}",
        f"CSeq: {fields.get('CSeq')}",
    ]
    if request.method in {"INVITE", "UPDATE"} and 200 <= status < 300:
        lines.append(f"Contact: {CONTACT}")
    if headers:
        lines.append(headers)
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def request_in(
    invite: Request, method: str, cseq: int, *, body: str = "", headers: str = "", tag: str = "srs-1", branch: str = ""
) -> str:
    """Write a request of the recorder inside the dialog by hand."""
    lines = [
        f"{method} sip:Genesys@192.0.2.20:7090 SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bK{branch or f'srs{cseq}'};rport",
        "Max-Forwards: 70",
        f"From: {invite.headers.get('To')};tag={tag}",
        f"To: {invite.headers.get('From')}",
        f"Call-ID: {invite.call_id}",
        f"CSeq: {cseq} {method}",
        f"Contact: {CONTACT}",
    ]
    if headers:
        lines.append(headers)
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
