"""Messages of our own: requests, responses to a request, and the ACK and CANCEL that belong to an INVITE.

RFC 3261 §8.1.1, §8.2.6, §9.1 and §17.1.1.3. Strict out: canonical names, one order of fields, true lengths. Does not
decide what to send, nor where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.address import NameAddr
from signaling.sip.headers import Headers, spelling_of
from signaling.sip.message import Request, Response
from signaling.sip.reasons import REASONS
from signaling.sip.uri import Uri
from signaling.sip.values import CSeq
from signaling.sip.via import Via

MAX_FORWARDS: Final = 70
"""RFC 3261 §8.1.1.6: "This value SHOULD be initially set to 70"."""


def build_request(
    method: str,
    uri: Uri,
    *,
    via: Via,
    from_: NameAddr,
    to: NameAddr,
    call_id: str,
    cseq: int,
    routes: Iterable[NameAddr | str] = (),
    contact: NameAddr | str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
    max_forwards: int = MAX_FORWARDS,
) -> Request:
    """Make a request (RFC 3261 §8.1.1).

    Args:
        method: the method; it is also put into CSeq.
        uri: the Request-URI.
        via: our hop, with a fresh branch.
        from_: our address, with its tag.
        to: the peer's address, with its tag inside a dialog.
        call_id: of the dialog, or a fresh one.
        cseq: sequence number.
        routes: the route set, topmost first.
        contact: our own target.
        headers: further header fields, after the others.
        body: sent as it is.
        content_type: of the body.
        max_forwards: hops left.

    """
    items = [("Via", str(via))]
    items += (("Route", str(route)) for route in routes)
    items += (
        ("Max-Forwards", str(max_forwards)),
        ("From", str(from_)),
        ("To", str(to)),
        ("Call-ID", call_id),
        ("CSeq", str(CSeq(cseq, method))),
    )
    if contact is not None:
        items.append(("Contact", str(contact)))
    return Request(method, uri, _finish(items, headers, body, content_type), body)


def build_response(
    request: Request,
    status: int,
    *,
    reason: str | None = None,
    to_tag: str | None = None,
    record_route: bool = False,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """Make a response (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq are those of the request, as received.

    Args:
        request: what is answered.
        status: 100 to 699.
        reason: reason phrase; the usual one of the status if None.
        to_tag: put into To if the request has none there; a 100 may do without.
        record_route: copy Record-Route, as every dialog-making response must (§12.1.1).
        headers: further header fields, after the copied ones.
        body: sent as it is.
        content_type: of the body.

    Raises:
        LocalProtocolError: the status is none.

    """
    if not 100 <= status <= 699:
        raise LocalProtocolError("status must be 100 to 699")
    fields = request.headers
    items = [("Via", value) for value in fields.get_all("Via")]
    if record_route:
        items += (("Record-Route", value) for value in fields.get_all("Record-Route"))
    items += (
        ("From", fields.get("From") or ""),
        ("To", _tagged(fields.get("To") or "", request.to, to_tag)),
        ("Call-ID", request.call_id),
        ("CSeq", fields.get("CSeq") or ""),
    )
    if status == 100 and (timestamp := fields.get("Timestamp")) is not None:
        items.append(("Timestamp", timestamp))  # RFC 3261 §8.2.6.1
    phrase = REASONS.get(status, "") if reason is None else reason
    return Response(status, phrase, _finish(items, headers, body, content_type), body)


def build_ack(invite: Request, response: Response) -> Request:
    """Make the ACK of a final response other than 2xx (RFC 3261 §17.1.1.3): the transaction sends it by itself."""
    items = [("Via", str(invite.via))]
    items += (("Route", value) for value in invite.headers.get_all("Route"))
    items += (
        ("Max-Forwards", str(MAX_FORWARDS)),
        ("From", str(invite.from_)),
        ("To", response.headers.get("To") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", str(CSeq(invite.cseq.number, "ACK"))),
    )
    return Request("ACK", invite.uri, _finish(items, (), b"", None))


def build_cancel(invite: Request) -> Request:
    """Make the CANCEL of a request of ours (RFC 3261 §9.1): same branch, same CSeq number, no body."""
    items = [("Via", str(invite.via))]
    items += (("Route", value) for value in invite.headers.get_all("Route"))
    items += (
        ("Max-Forwards", str(MAX_FORWARDS)),
        ("From", str(invite.from_)),
        ("To", invite.headers.get("To") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", str(CSeq(invite.cseq.number, "CANCEL"))),
    )
    return Request("CANCEL", invite.uri, _finish(items, (), b"", None))


def reject_malformed(error: SipSyntaxError, *, to_tag: str, headers: Sequence[tuple[str, str]] = ()) -> Response | None:
    """Make the stateless answer to a request that does not parse, or None if none is due or possible.

    An ACK is never answered, nor is anything without a Via to send the answer back by.
    """
    salvage = error.salvage
    if salvage is None or salvage.method in ("", "ACK"):
        return None
    items = [item for item in salvage.headers if item[0] == "Via"]
    if not items:
        return None
    # Others may be missing: there is nothing to copy then, and the Via still leads the answer back. Of those that are
    # there more often than once, the first is as good as any.
    first = dict(reversed(salvage.headers))
    for name in ("From", "To", "Call-ID", "CSeq"):
        if name in first:
            items.append((name, _tagged_raw(first[name], to_tag) if name == "To" else first[name]))
    reason = REASONS.get(error.status, "")
    phrase = f"{reason} - {error.reason}" if error.status == 400 else reason
    return Response(error.status, phrase, _finish(items, headers, b"", None))


def _tagged(text: str, to: NameAddr, tag: str | None) -> str:
    """Return a To value with our tag. The text is kept, so that it is returned as it came (§8.2.6.2)."""
    if tag is None or to.tag is not None:
        return text
    return f"{text.rstrip('; ')};tag={tag}"


def _tagged_raw(text: str, tag: str) -> str:
    """Return a To value, which may be malformed, with our tag if it can be added."""
    try:
        return _tagged(text, NameAddr.parse(text, "To"), tag)
    except SipSyntaxError:
        return text


def _finish(
    items: list[tuple[str, str]], headers: Iterable[tuple[str, str]], body: bytes, content_type: str | None
) -> Headers:
    items += ((spelling_of(name), value) for name, value in headers)
    if content_type is not None:
        items.append(("Content-Type", content_type))
    items.append(("Content-Length", str(len(body))))
    return Headers(items)
