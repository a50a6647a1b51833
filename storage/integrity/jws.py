"""Signed JSON that other systems check: JWS, general JSON serialization (RFC 7515 section 7.2.1), Ed25519 (RFC 8037).

The header carries the signing key as a self-signed certificate (`x5c`), which proves nothing by itself: a reader
compares its key with the one that it was given. Pure, except for the key.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final

from storage.errors import IntegrityBroken
from storage.integrity.keys import PublicKeys, SigningKeys

_ALGORITHM: Final = "EdDSA"


def sign_jws(payload: bytes, keys: SigningKeys, *, media_type: str, header: Mapping[str, str]) -> dict[str, object]:
    """Return a payload as a JWS with one signature.

    Args:
        payload: any bytes.
        keys: of this host.
        media_type: of the payload, `cty`.
        header: further parameters of the protected header.

    """
    protected = {
        "alg": _ALGORITHM,
        "cty": media_type,
        "kid": keys.key_id,
        "x5c": [base64.b64encode(keys.certificate).decode()],
        **header,
    }
    signed = f"{base64url(json.dumps(protected, separators=(',', ':')).encode())}.{base64url(payload)}"
    _, signature = keys.sign(signed.encode())
    head, _, body = signed.partition(".")
    return {"payload": body, "signatures": [{"protected": head, "signature": base64url(signature)}]}


def read_jws(data: bytes, trusted: PublicKeys, *, name: str) -> bytes:
    """Return the payload of a JWS that one of the trusted keys has signed.

    Errors: `IntegrityBroken` for anything else; `name` is for the message.
    """
    try:
        document = json.loads(data)
        body = str(document["payload"])
        (signature,) = document["signatures"]
        head = str(signature["protected"])
        protected = json.loads(_decoded(head))
        key_id, algorithm = str(protected["kid"]), protected["alg"]
        value, payload = _decoded(str(signature["signature"])), _decoded(body)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise IntegrityBroken(f"{name} is not a JWS with one signature, as this program writes it") from error
    if algorithm != _ALGORITHM or "crit" in protected:
        raise IntegrityBroken(f"{name} is signed by {str(algorithm)[:20]!r} or wants more than this program knows")
    trusted.verify(key_id, value, f"{head}.{body}".encode(), name=name)
    return payload


def base64url(content: bytes) -> str:
    """Return bytes as RFC 7515 section 2 writes them: base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64url(content) != text:
        raise ValueError(text[:20])  # another spelling of the same bytes is none of ours
    return content
