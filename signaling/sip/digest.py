"""Digest authentication, RFC 7616 as profiled for SIP by RFC 3261 §22 and RFC 8760: pure functions and values.

Algorithms MD5, SHA-256 and SHA-512-256 with qop `auth`. The clock, the key of the nonces and client nonces are
injected. Does not know users, does not count nonces (a nonce is short-lived instead), and does not do `auth-int`,
`-sess` algorithms, hashed user names or Basic, which RFC 8760 §2.6 forbids.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import struct
from dataclasses import dataclass, replace
from typing import Final, Self

from signaling.errors import SipSyntaxError
from signaling.sip.syntax import WHITESPACE, end_of_quoted, quote, split_list, unquote

_TAG_LENGTH: Final = 16
"""Bytes of the authentication code inside a nonce: 128 bits, as long as the MD5 that it may protect."""


class Algorithm(enum.Enum):
    """Digest algorithms, RFC 8760 §2.1; the value is the registered name."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"

    def hexdigest(self, text: str) -> str:
        """Return the digest of the text's UTF-8 octets in lower-case hexadecimal digits."""
        octets = text.encode("utf-8", "surrogateescape")
        if self is Algorithm.MD5:
            return hashlib.md5(octets, usedforsecurity=False).hexdigest()
        return hashlib.new("sha256" if self is Algorithm.SHA_256 else "sha512_256", octets).hexdigest()


class NonceVerdict(enum.Enum):
    """What `check_nonce` found."""

    FRESH = enum.auto()
    STALE = enum.auto()
    """Ours, but too old: challenge again with `stale=true`, and the client repeats without asking its user."""
    FORGED = enum.auto()


@dataclass(frozen=True, slots=True)
class Challenge:
    """Value of WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    nonce: str
    algorithm: Algorithm = Algorithm.MD5
    qop_auth: bool = True
    """Whether qop `auth` is offered; without it the digest is that of RFC 2069."""
    opaque: str | None = None
    stale: bool = False

    @classmethod
    def parse(cls, text: str, header: str = "WWW-Authenticate") -> Self | None:
        """Read a challenge; None if we cannot answer it (another scheme or algorithm, only `auth-int`).

        RFC 8760 §2.4: "The client MUST ignore any challenge it does not understand."

        Raises:
            SipSyntaxError: it is a Digest challenge, but malformed.

        """
        fields = _fields(text, header)
        if fields is None:
            return None
        algorithm = _algorithm(fields)
        offers = [word.strip(WHITESPACE).lower() for word in fields.get("qop", "").split(",")]
        if algorithm is None or ("qop" in fields and "auth" not in offers):
            return None
        return cls(
            realm=_needed(fields, "realm", header),
            nonce=_needed(fields, "nonce", header),
            algorithm=algorithm,
            qop_auth="qop" in fields,
            opaque=fields.get("opaque"),
            stale=fields.get("stale", "").lower() == "true",
        )

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}", f"algorithm={self.algorithm.value}"]
        if self.qop_auth:
            parts.append('qop="auth"')
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        return "Digest " + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Value of Authorization or Proxy-Authorization."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: Algorithm = Algorithm.MD5
    cnonce: str | None = None
    """Client nonce; set together with `nc` when qop is `auth`."""
    nc: str | None = None
    """Nonce count: eight hexadecimal digits."""
    opaque: str | None = None

    @classmethod
    def parse(cls, text: str, header: str = "Authorization") -> Self | None:
        """Read credentials; None if they are of a scheme, an algorithm or a qop that we never offer.

        Raises:
            SipSyntaxError: they are Digest credentials, but malformed.

        """
        fields = _fields(text, header)
        if fields is None:
            return None
        algorithm = _algorithm(fields)
        qop = fields.get("qop")
        if algorithm is None or (qop is not None and qop.lower() != "auth"):
            return None
        return cls(
            username=_needed(fields, "username", header),
            realm=_needed(fields, "realm", header),
            nonce=_needed(fields, "nonce", header),
            uri=_needed(fields, "uri", header),
            response=_needed(fields, "response", header),
            algorithm=algorithm,
            cnonce=None if qop is None else _needed(fields, "cnonce", header),
            nc=None if qop is None else _needed(fields, "nc", header),
            opaque=fields.get("opaque"),
        )

    def __str__(self) -> str:
        parts = [
            f"username={quote(self.username)}",
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"uri={quote(self.uri)}",
            f"response={quote(self.response)}",
            f"algorithm={self.algorithm.value}",
        ]
        if self.cnonce is not None and self.nc is not None:
            parts += [f"cnonce={quote(self.cnonce)}", "qop=auth", f"nc={self.nc}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        return "Digest " + ", ".join(parts)


def hash_password(username: str, realm: str, password: str, algorithm: Algorithm) -> str:
    """Return what a server stores instead of the password: H(A1) of RFC 7616 §3.4.2."""
    return algorithm.hexdigest(f"{username}:{realm}:{password}")


def answer(
    challenge: Challenge, *, username: str, password: str, method: str, uri: str, cnonce: str, count: int = 1
) -> Credentials:
    """Return the credentials that answer `challenge` for one request; see `sign`, with the password in clear."""
    hashed = hash_password(username, challenge.realm, password, challenge.algorithm)
    return sign(
        challenge, username=username, hashed_password=hashed, method=method, uri=uri, cnonce=cnonce, count=count
    )


def sign(
    challenge: Challenge, *, username: str, hashed_password: str, method: str, uri: str, cnonce: str, count: int = 1
) -> Credentials:
    """Return the credentials that answer `challenge` for one request.

    Args:
        challenge: the one to answer; RFC 8760 §2.4 prefers the topmost of a response.
        username: of the user.
        hashed_password: from `hash_password`, for the realm and algorithm of the challenge.
        method: of the request.
        uri: its Request-URI.
        cnonce: fresh and unpredictable.
        count: how often the nonce has been used, this request included.

    """
    unsigned = Credentials(
        username,
        challenge.realm,
        challenge.nonce,
        uri,
        response="",
        algorithm=challenge.algorithm,
        cnonce=cnonce if challenge.qop_auth else None,
        nc=f"{count:08x}" if challenge.qop_auth else None,
        opaque=challenge.opaque,
    )
    return replace(unsigned, response=_response(unsigned, hashed_password, method))


def verify(credentials: Credentials, *, hashed_password: str, method: str) -> bool:
    """Say whether the credentials prove knowledge of the password; in constant time.

    The caller checks the nonce (`check_nonce`), the realm and whether the algorithm is one that it offered.

    Args:
        credentials: as received.
        hashed_password: from `hash_password`, for the same algorithm.
        method: of the request that carries the credentials.

    """
    expected = _response(credentials, hashed_password, method)
    given = credentials.response.lower().encode("utf-8", "surrogateescape")
    return hmac.compare_digest(expected.encode(), given)


def make_nonce(key: bytes, *, realm: str, now: float) -> str:
    """Return a nonce that proves its own age.

    Args:
        key: secret of at least 32 random bytes, shared by all who check.
        realm: the nonce is good in this realm only.
        now: seconds of a clock shared by all who check.

    """
    stamp = struct.pack("!Q", int(now * 1000))
    return base64.urlsafe_b64encode(stamp + _seal(key, stamp, realm)).decode()


def check_nonce(nonce: str, key: bytes, *, realm: str, now: float, lifetime: float) -> NonceVerdict:
    """Judge a nonce that came back.

    Args:
        nonce: as received.
        key: see `make_nonce`.
        realm: see `make_nonce`.
        now: see `make_nonce`.
        lifetime: seconds for which a nonce is fresh; also how far clocks may run ahead of ours.

    """
    try:
        octets = base64.b64decode(nonce.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return NonceVerdict.FORGED
    stamp, seal = octets[:8], octets[8:]
    if len(stamp) != 8 or not hmac.compare_digest(seal, _seal(key, stamp, realm)):
        return NonceVerdict.FORGED
    (milliseconds,) = struct.unpack("!Q", stamp)
    return NonceVerdict.FRESH if abs(now - milliseconds / 1000) <= lifetime else NonceVerdict.STALE


def _seal(key: bytes, stamp: bytes, realm: str) -> bytes:
    return hmac.digest(key, stamp + realm.encode("utf-8", "surrogateescape"), "sha256")[:_TAG_LENGTH]


def _response(credentials: Credentials, hashed_password: str, method: str) -> str:
    """Compute `response`, RFC 7616 §3.4.1; without a cnonce that of RFC 2069."""
    algorithm = credentials.algorithm
    hashed_request = algorithm.hexdigest(f"{method}:{credentials.uri}")
    middle = credentials.nonce
    if credentials.cnonce is not None:
        middle = f"{credentials.nonce}:{credentials.nc}:{credentials.cnonce}:auth"
    return algorithm.hexdigest(f"{hashed_password}:{middle}:{hashed_request}")


def _fields(text: str, header: str) -> dict[str, str] | None:
    """Read `Digest name=value, ...`; None if the scheme is another one. The first of two equal names counts."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "digest":
        return None
    fields: dict[str, str] = {}
    for element in split_list(rest, header):
        name, equals, value = element.partition("=")
        name, value = name.strip(WHITESPACE).lower(), value.strip(WHITESPACE)
        if not equals or not name or not value:
            raise SipSyntaxError(400, header, 0, "expected name=value")
        if value.startswith('"'):
            if end_of_quoted(value, 0, header) != len(value):
                raise SipSyntaxError(400, header, 0, "text after a quoted value")
            value = unquote(value)
        fields.setdefault(name, value)
    return fields


def _needed(fields: dict[str, str], name: str, header: str) -> str:
    value = fields.get(name)
    if value is None:
        raise SipSyntaxError(400, header, 0, "a mandatory parameter is missing")
    return value


def _algorithm(fields: dict[str, str]) -> Algorithm | None:
    """Return the algorithm, MD5 if none is named (RFC 7616 §3.3), None if it is unknown."""
    named = fields.get("algorithm", "MD5").upper()
    return next((algorithm for algorithm in Algorithm if algorithm.value == named), None)
