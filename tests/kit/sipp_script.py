"""Scenarios for SIPp, written step by step: one dialog of a recording client, and every answer that it expects.

`Script.text()` is what `sipp -sf` plays. Ports are known before the scenario is written, so that bodies are plain text.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Self
from xml.sax.saxutils import quoteattr

from tests.kit.siprec import BOUNDARY

SDP: Final = "application/sdp"


class Script:
    """A scenario. Its methods add steps and return it, so that a flow reads from top to bottom.

    Args:
        uri: Request-URI of the first INVITE, without `sip:`.
        transport: udp, tcp or tls, as the recorder sees it.
        user: of our own address.
        contact: parameters of the Contact header field, such as `;+sip.src`.
        alias: offer the connection for requests of the recorder (RFC 5923).

    """

    def __init__(
        self, uri: str, transport: str, *, user: str = "Genesys", contact: str = "", alias: bool = False
    ) -> None:
        self.cseq = 0
        """Of the latest request of the client."""
        self._uri, self._contact, self._alias = uri, contact, ";alias" if alias else ""
        self._transport = transport
        self._from = f"<sip:{user}@[local_ip]:[local_port]>;tag={secrets.token_hex(8)}"
        self._established = False
        self._steps: list[str] = []
        self._branch = ""
        self._echoed: list[str] = []
        """Header fields of the recorder's latest request that go back in its answer."""
        self._variables: list[str] = []

    def text(self) -> str:
        """Return the scenario."""
        known = f'<Reference variables="{",".join(self._variables)}"/>' if self._variables else ""
        steps = "".join(self._steps)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="flow">\n{steps}{known}\n</scenario>\n'

    def pause(self, seconds: float) -> Self:
        """Talk, or wait."""
        return self._add(f'<pause milliseconds="{round(seconds * 1000)}"/>')

    def send(
        self,
        method: str,
        body: str = "",
        *,
        content_type: str = SDP,
        headers: Sequence[str] = (),
        cseq: int | None = None,
        branch: str = "",
        to: str = "",
    ) -> Self:
        """Send a request of the dialog; the number rises, except for ACK and CANCEL."""
        if cseq is None:
            self.cseq += method not in {"ACK", "CANCEL"}
            cseq = self.cseq
        self._branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        inside = self._established and method != "CANCEL"
        target = "[next_url]" if inside else f"sip:{self._uri}"
        to = to or f"To: <sip:{self._uri.partition(';')[0]}>" + "[peer_tag_param]" * inside
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/{self._transport.upper()} [local_ip]:[local_port];branch={self._branch}{self._alias}",
            *["[routes]"] * inside,
            "Max-Forwards: 69",
            f"From: {self._from}",
            to,
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            f"Contact: {self._contact_text()}",
            *headers,
        ]
        retransmitted = ' retrans="500"' if method != "ACK" else ""
        return self._add(f"<send{retransmitted}>\n{_message(lines, body, content_type)}</send>")

    def answer(self, status: str, body: str = "", *, headers: Sequence[str] = ()) -> Self:
        """Answer the recorder's request that came last."""
        lines = [f"SIP/2.0 {status}", *self._echoed, f"Contact: {self._contact_text()}", *headers]
        return self._add(f"<send>\n{_message(lines, body, SDP)}</send>")

    def expect(
        self, what: int | str, *patterns: str, absent: Sequence[str] = (), routes: bool = False, limit_s: float = 40
    ) -> Self:
        """Wait for a response of this status, or a request of this method, in which every pattern is found."""
        checks = "".join(self._check(pattern, 'check_it="true"') for pattern in patterns)
        checks += "".join(self._check(pattern, 'check_it_inverse="true"') for pattern in absent)
        action = f"<action>{checks}</action>" if checks else ""
        if isinstance(what, str):
            limit = f'timeout="{round(limit_s * 1000)}"'
            return self._add(f'<recv request="{what}" {limit}><action>{checks}{self._remember()}</action></recv>')
        remember = ' rrs="true"' if routes else ""
        return self._add(f'<recv response="{what}"{remember}>{action}</recv>')

    def trying(self) -> Self:
        """Let a 100 come or not."""
        return self._add('<recv response="100" optional="true"/>')

    # What most flows are made of

    def invite(
        self,
        body: str = "",
        *patterns: str,
        status: int = 200,
        content_type: str = SDP,
        headers: Sequence[str] = (),
        ack: str = "",
    ) -> Self:
        """INVITE or re-INVITE, its final response, and the ACK."""
        self.send("INVITE", body, content_type=content_type, headers=headers)
        return self.invited(*patterns, status=status, ack=ack)

    def invited(self, *patterns: str, status: int = 200, ack: str = "") -> Self:
        """Final response to the INVITE that was sent last, and the ACK."""
        branch = self._branch
        accepted = status < 300
        self.trying().expect(status, *patterns, routes=accepted)
        self._established = self._established or accepted
        return self.send("ACK", ack) if accepted else self.send("ACK", branch=branch, to="[last_To:]")

    def ask(
        self,
        method: str,
        body: str = "",
        *patterns: str,
        status: int = 200,
        content_type: str = SDP,
        headers: Sequence[str] = (),
    ) -> Self:
        """Any other request and its final response."""
        return self.send(method, body, content_type=content_type, headers=headers).expect(status, *patterns)

    def cancel(self, status: int = 200) -> Self:
        """CANCEL of the INVITE that was sent last, and the response to it."""
        return self.send("CANCEL", branch=self._branch).expect(status, "CSeq: [0-9]+ CANCEL")

    def bye(self) -> Self:
        """Hang up."""
        return self.ask("BYE")

    def _contact_text(self) -> str:
        return f"<sip:src@[local_ip]:[local_port];transport={self._transport}>{self._contact}"

    def _check(self, pattern: str, condition: str) -> str:
        variable = f"v{len(self._variables)}"
        self._variables.append(variable)
        return f'<ereg regexp={quoteattr(pattern)} search_in="msg" {condition} assign_to="{variable}"/>'

    def _remember(self) -> str:
        """Keep what the answer has to repeat: other messages may come before it is sent."""
        steps, self._echoed = "", []
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            variable = f"v{len(self._variables)}"
            self._variables.append(variable)
            steps += f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{variable}"/>'
            self._echoed.append(f"{name}:[${variable}]")
        return steps

    def _add(self, step: str) -> Self:
        self._steps.append(f"  {step}\n")
        return self


def together(sdp: str, metadata: str, *, metadata_type: str = "application/rs-metadata+xml") -> tuple[str, str]:
    """Return a multipart body for SIPp, which writes the line ends itself, and its Content-Type."""
    parts = [
        f"--{BOUNDARY}\nContent-Type: application/sdp\n\n{sdp}",
        f"--{BOUNDARY}\nContent-Type: {metadata_type}\nContent-Disposition: recording-session\n\n{metadata}",
        f"--{BOUNDARY}--\n",
    ]
    return "\n".join(parts), f"multipart/mixed;boundary={BOUNDARY}"


def _message(lines: Sequence[str], body: str, content_type: str) -> str:
    text = [*lines, *[f"Content-Type: {content_type}"] * bool(body), f"Content-Length: {'[len]' if body else 0}", ""]
    text += body.replace("\r\n", "\n").rstrip("\n").split("\n") if body else []
    return "<![CDATA[\n\n" + "\n".join(text) + "\n\n]]>"
