"""What must not be kept of a SIP message: passwords' proofs, media keys, and, by policy, raw metadata.

Secrets are replaced by as many `x`, so that lengths stay true. Covers Authorization and Proxy-Authorization (RFC 3261
section 22), SDES keys and `k=` of SDP (RFC 4568, RFC 8866) and MIKEY (RFC 4567). Works on bytes; a message that does
not parse is masked as well.
"""

from __future__ import annotations

import re
from typing import Final

from signaling.siprec import BodyError, parse_body

_CREDENTIALS: Final = re.compile(
    rb"^((?:proxy-)?authorization[ \t]*:[ \t]*)([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_DIGEST_SECRET: Final = re.compile(rb'(\bresponse[ \t\r\n]*=[ \t\r\n]*"?)([^",\s]+)', re.IGNORECASE)
_INLINE_KEY: Final = re.compile(rb"(inline:)([^|;\s]+)", re.IGNORECASE)
_KEY_LINE: Final = re.compile(rb"^((?:a=key-mgmt:|k=)[^\s:]*[: ])([^\r\n]+)", re.MULTILINE)
_CONTENT_TYPE: Final = re.compile(rb"\n(?:content-type|c)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)


def without_secrets(message: bytes) -> bytes:
    """Return a message in which nobody finds a password's proof or a key."""
    lowered = message.lower()
    if b"authorization" in lowered:
        message = _CREDENTIALS.sub(_mask_credentials, message)
    if b"inline:" in lowered:
        message = _INLINE_KEY.sub(_mask, message)
    if b"\nk=" in message or b"a=key-mgmt:" in message:
        message = _KEY_LINE.sub(_mask, message)
    return message


def without_metadata(message: bytes) -> bytes:
    """Return a message in which of every body part but session descriptions only type, size and digest are left.

    The Content-Length is that of the message as it was.
    """
    end = message.find(b"\r\n\r\n")
    body = message[end + 4 :] if end >= 0 else b""
    if not body:
        return message
    found = _CONTENT_TYPE.search(message, 0, end)
    content_type = found[1].decode("utf-8", "replace") if found else None
    try:
        parts = parse_body(content_type, body).parts
    except BodyError:
        return message[: end + 4] + b"(%d bytes that could not be taken apart)" % len(body)
    for part in parts:
        if not part.content_type.sdp and part.body:
            kind = part.content_type.essence.encode("utf-8", "replace") or b"unknown type"
            note = b"(%d bytes of %b, SHA-256 %b)" % (len(part.body), kind, part.digest.encode())
            body = body.replace(part.body, note, 1)
    return message[: end + 4] + body


def _mask(found: re.Match[bytes]) -> bytes:
    return found[1] + b"x" * len(found[2])


def _mask_credentials(found: re.Match[bytes]) -> bytes:
    scheme, space, rest = found[2].partition(b" ")
    if scheme.lower() == b"digest":
        return found[1] + scheme + space + _DIGEST_SECRET.sub(_mask, rest)
    return found[1] + scheme + space + b"x" * len(rest)
