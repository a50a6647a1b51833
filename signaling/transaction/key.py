"""Which transaction a message belongs to: RFC 3261 §17.1.3 and §17.2.3, with the RFC 2543 fall-back.

Keys are values for dictionaries; the table of transactions belongs to the user agent. Take the key of a request
before or after `Request.seen_from`: what that adds to the Via plays no part.
"""

from __future__ import annotations

import msgspec

from signaling.sip import Request, Response
from signaling.sip.via import MAGIC_COOKIE


class TransactionKey(msgspec.Struct, frozen=True):
    """Identity of a transaction. Server and client keys live in separate tables."""

    branch: str
    """Of the topmost Via; in the fall-back, everything that identifies an RFC 2543 transaction."""
    sent_by: tuple[str, int]
    """Of the topmost Via, lower case, with port; ("", 0) in a client key."""
    method: str


class MergeKey(msgspec.Struct, frozen=True):
    """What two requests have in common that are one and came by different ways (RFC 3261 §8.2.2.2)."""

    from_tag: str
    call_id: str
    cseq: int
    method: str


def server_key(request: Request) -> TransactionKey:
    """Return the key of the server transaction that `request` makes or belongs to; an ACK belongs to its INVITE."""
    method = "INVITE" if request.method == "ACK" else request.method
    via = request.via
    branch = via.branch or ""
    if not branch.startswith(MAGIC_COOKIE) or branch == MAGIC_COOKIE:  # the cookie alone: RFC 4475 §3.2.1
        branch = _old_identity(request)
    return TransactionKey(branch, via.sent_by, method)


def cancelled_key(request: Request) -> TransactionKey:
    """Return the key of the INVITE server transaction that a CANCEL is about (RFC 3261 §9.2)."""
    key = server_key(request)
    return TransactionKey(key.branch, key.sent_by, "INVITE")


def client_key(message: Request | Response) -> TransactionKey:
    """Return the key of the client transaction of a request of ours, or of a response to it (§17.1.3)."""
    return TransactionKey(message.via.branch or "", ("", 0), message.cseq.method)


def merge_key(request: Request) -> MergeKey | None:
    """Return the key by which merged requests are found; None inside a dialog, where there are none."""
    if request.to.tag:
        return None
    return MergeKey(request.from_.tag or "", request.call_id, request.cseq.number, request.method)


def _old_identity(request: Request) -> str:
    """Identify a transaction as RFC 2543 does: Request-URI, From tag, Call-ID, CSeq number and topmost Via.

    The To tag is left out: an INVITE has none yet when its ACK brings ours, and at one UAS no two transactions differ
    in it alone.
    """
    via = request.via
    params = via.params.without("received").without("rport")
    parts = (
        request.uri.text,
        request.from_.tag or "",
        request.call_id,
        str(request.cseq.number),
        via.host,
        str(params),
    )
    return "\n".join(parts)
