"""Responses as the recorder writes them, RFC 3261 §8.2.6, with the header fields that each status and method needs.

Builds bytes from a request and changes nothing. Does not decide the status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from signaling.dialog.flow import TransportName
from signaling.dialog.session_timer import Agreement
from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip import Params, Request, Uri, build_response
from signaling.sip.headers import key_of
from signaling.useragent.identity import Identity

TARGET_REFRESH: Final = ("INVITE", "UPDATE")
"""Requests that renew the remote target (RFC 3261 §12.2, RFC 3311 §5.1)."""


def contact_of(identity: Identity, transport: TransportName, *, secure: bool, recording: bool) -> str:
    """Return our Contact value for a dialog over `transport` (RFC 3261 §12.1.1; RFC 7866 §6.2 for `+sip.srs`)."""
    if secure:
        uri = Uri.build(identity.host, identity.tls_port, user=identity.user, scheme="sips")
    else:
        params = Params((("transport", transport),) if transport != "udp" else ())
        uri = Uri.build(identity.host, identity.port_for(transport), user=identity.user, params=params)
    return f"<{uri.text}>;+sip.srs" if recording else f"<{uri.text}>"


def stateless_tag(identity: Identity, request: Request) -> str:
    """Return a To-tag that is the same for each repetition of `request` (RFC 3261 §8.2.7)."""
    via = request.via
    text = f"{via.branch}\n{via.sent_by}\n{request.call_id}\n{request.from_.tag}\n{request.cseq}"
    return identity.tag(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest())


def write_response(
    identity: Identity,
    request: Request,
    status: int,
    *,
    to_tag: str,
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
        request: what is answered.
        status: 100 to 699.
        to_tag: used if the request has no To-tag.
        contact: our Contact; put into what makes or refreshes a dialog, and into OPTIONS answers.
        agreement: session timer, for a 2xx to INVITE or UPDATE.
        session_uuid: our half of the Session-ID; None leaves the field out.
        reason: reason phrase, None for the usual one.
        headers: header fields of the transaction user.
        body: sent as it is.
        content_type: of the body.

    Raises:
        LocalProtocolError: a header value would break the message, or a body comes without its type.

    """
    if body and content_type is None:
        raise LocalProtocolError("a body needs a content type")
    if status == 100:
        return build_response(request, status, reason=reason, headers=headers).encode()
    makes_dialog = request.method == "INVITE" and 100 < status < 300
    own = _own_headers(identity, request, status, contact=contact, agreement=agreement, session_uuid=session_uuid)
    given = {key_of(name) for name, _ in headers}
    response = build_response(
        request,
        status,
        reason=reason,
        to_tag=to_tag,
        record_route=makes_dialog,
        headers=[*((name, value) for name, value in own if key_of(name) not in given), *headers],
        body=body,
        content_type=content_type,
    )
    return response.encode()


def _own_headers(
    identity: Identity,
    request: Request,
    status: int,
    *,
    contact: str | None,
    agreement: Agreement | None,
    session_uuid: str | None,
) -> Iterable[tuple[str, str]]:
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
