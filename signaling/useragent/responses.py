"""Responses as the recorder writes them, RFC 3261 §8.2.6, with the header fields that each status and method needs.

What a response repeats of its request is put into words once (`Echo`); a call gets at least two responses. Builds
bytes and changes nothing. Does not decide the status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from signaling.dialog.flow import Flow
from signaling.dialog.session_timer import Agreement
from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip import REASONS, Params, Request, Uri, Via
from signaling.sip.headers import key_of, spelling_of
from signaling.sip.syntax import is_token, split_list
from signaling.useragent.identity import Identity

TARGET_REFRESH: Final = ("INVITE", "UPDATE")
"""Requests that renew the remote target (RFC 3261 §12.2, RFC 3311 §5.1)."""


class Echo(msgspec.Struct):
    """A request, and what every response to it repeats (RFC 3261 §8.2.6.2), as text with line ends."""

    request: Request
    """As it was received."""
    via: Via
    """Topmost Via, completed with the source of the request (§18.2.1, RFC 3581 §4)."""
    vias: str
    record_routes: str
    names: str
    """From, To with our tag, Call-ID and CSeq."""
    names_of_trying: str
    """The same for a 100, where To is as received and a Timestamp is returned."""

    @classmethod
    def of(cls, request: Request, flow: Flow, local_tag: str) -> Echo:
        """Read it off a request that came by `flow`; its To gets `local_tag` unless it has a tag."""
        headers = request.headers
        via = request.via.seen_from(*flow.remote)
        first, *others = headers.get_all("Via")
        if via.params != request.via.params:
            # One field may list several hops; only the topmost is ours to complete.
            first = ", ".join((str(via), *split_list(first, "Via")[1:])) if "," in first else str(via)
        vias = f"Via: {first}\r\n" + "".join(f"Via: {value}\r\n" for value in others)
        to = headers.get("To") or ""
        tagged = to if request.to.tag is not None else f"{to.rstrip('; ')};tag={local_tag}"
        start = f"From: {headers.get('From') or ''}\r\nTo: "
        rest = f"\r\nCall-ID: {request.call_id}\r\nCSeq: {headers.get('CSeq') or ''}\r\n"
        timestamp = headers.get("Timestamp")
        return cls(
            request,
            via,
            vias,
            "".join(f"Record-Route: {value}\r\n" for value in headers.get_all("Record-Route")),
            f"{start}{tagged}{rest}",
            f"{start}{to}{rest}" + ("" if timestamp is None else f"Timestamp: {timestamp}\r\n"),
        )

    def trying(self) -> bytes:
        """Return the 100 (Trying)."""
        text = f"SIP/2.0 100 Trying\r\n{self.vias}{self.names_of_trying}Content-Length: 0\r\n\r\n"
        return text.encode("utf-8", "surrogateescape")


def contact_of(identity: Identity, flow: Flow, *, secure: bool, recording: bool) -> str:
    """Return our Contact value for the peer of `flow` (RFC 3261 §12.1.1; RFC 7866 §6.2 for `+sip.srs`)."""
    host = identity.host_towards(flow)
    if secure:
        uri = Uri.build(host, identity.tls_port, user=identity.user, scheme="sips")
    else:
        params = Params((("transport", flow.transport),) if flow.reliable else ())
        uri = Uri.build(host, identity.port_for(flow.transport), user=identity.user, params=params)
    return f"<{uri.text}>;+sip.srs" if recording else f"<{uri.text}>"


def stateless_tag(identity: Identity, request: Request) -> str:
    """Return a To-tag that is the same for each repetition of `request` (RFC 3261 §8.2.7)."""
    via = request.via
    text = f"{via.branch}\n{via.sent_by}\n{request.call_id}\n{request.from_.tag}\n{request.cseq}"
    return identity.tag(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest())


def write_response(
    identity: Identity,
    echo: Echo,
    status: int,
    *,
    contact: str | None = None,
    agreement: Agreement | None = None,
    session_uuid: str | None = None,
    reason: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> bytes:
    """Build a response with every header field that is ours to give; those in `headers` take precedence.

    Args:
        identity: who we are.
        echo: what is answered.
        status: 101 to 699.
        contact: our Contact; put into what makes or refreshes a dialog, and into OPTIONS answers.
        agreement: session timer, for a 2xx to INVITE or UPDATE.
        session_uuid: our half of the Session-ID; None leaves the field out.
        reason: reason phrase, None for the usual one.
        headers: header fields of the transaction user.
        body: sent as it is.
        content_type: of the body.

    Raises:
        LocalProtocolError: the status is none, a value would break the message, or a body comes without its type.

    """
    if not 101 <= status <= 699:
        raise LocalProtocolError("status must be 101 to 699")
    if body and content_type is None:
        raise LocalProtocolError("a body needs a content type")
    given = {key_of(name) for name, _ in headers}
    request = echo.request
    own = _own_fields(identity, request, status, contact=contact, agreement=agreement, session_uuid=session_uuid)
    fields = [(name, value) for name, value in own if not given or key_of(name) not in given]
    for name, value in headers:
        if not is_token(name):
            raise LocalProtocolError("a header field name must be a token")
        fields.append((spelling_of(name), value))
    if content_type is not None:
        fields.append(("Content-Type", content_type))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    phrase = REASONS.get(status, "") if reason is None else reason
    if lines.count("\n") + lines.count("\r") != 2 * len(fields) or "\n" in phrase or "\r" in phrase:
        raise LocalProtocolError("a header value must not hold a line break")
    routes = echo.record_routes if request.method == "INVITE" and status < 300 else ""
    text = f"SIP/2.0 {status} {phrase}\r\n{echo.vias}{routes}{echo.names}{lines}Content-Length: {len(body)}\r\n\r\n"
    return text.encode("utf-8", "surrogateescape") + body


def _own_fields(
    identity: Identity,
    request: Request,
    status: int,
    *,
    contact: str | None,
    agreement: Agreement | None,
    session_uuid: str | None,
) -> Iterator[tuple[str, str]]:
    """List what RFC 3261 §20 (tables 2 and 3) and the extensions want in this response."""
    method = request.method
    success = 200 <= status < 300
    refreshes = method in TARGET_REFRESH and (success or (method == "INVITE" and status < 200))
    if contact is not None and (refreshes or (method == "OPTIONS" and success)):
        yield "Contact", contact
    if (refreshes and success) or (method == "OPTIONS" and success) or status in (405, 501):
        yield "Allow", ", ".join(identity.allow)
    if (refreshes and success) or (method == "OPTIONS" and success):
        yield "Supported", ", ".join(identity.supported)
    if (method == "OPTIONS" and success) or status == 415:
        yield "Accept", ", ".join(identity.accept)
    if method == "OPTIONS" and success:
        yield "Accept-Encoding", "identity"
        yield "Accept-Language", "en"
    if agreement is not None and agreement.expires is not None and success:
        if agreement.require_timer:
            yield "Require", "timer"
        yield "Session-Expires", str(agreement.expires)
    if session_uuid is not None and identity.session_id:
        try:
            theirs = request.session_id
        except SipSyntaxError:
            theirs = None
        if theirs is not None:
            yield "Session-ID", str(theirs.answered_by(session_uuid))
    yield "Server", identity.product
