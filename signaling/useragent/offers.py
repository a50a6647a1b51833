"""Whether a message carries an offer or answer, RFC 3261 §13.2.1, as far as the user agent has to know.

Looks at types, not into descriptions: negotiation belongs to the transaction user.
"""

from __future__ import annotations

from typing import Final

from signaling.sip import Request, Response

SDP: Final = "application/sdp"
_WANTED: Final = SDP.encode()


def is_sdp(content_type: str | None) -> bool:
    """Say whether a Content-Type of ours is that of a session description."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == SDP


def carries_description(message: Request | Response) -> bool:
    """Say whether the body is, or as a multipart has, a session description; metadata alone is none (RFC 7866 §9.1).

    Multiparts are searched for the type's name instead of being taken apart. A false alarm can only make an exchange
    wait for another one, never lose it.
    """
    if not message.body:
        return False
    text = message.headers.get("Content-Type")
    if text is None:
        return message.body.startswith(b"v=0")
    # The type alone matters, and damaged parameters do not: it is read here without taking the field apart.
    essence = text.partition(";")[0].replace(" ", "").lower()
    if essence.startswith("multipart/"):
        return _WANTED in message.body or _WANTED in message.body.lower()
    return essence == SDP
