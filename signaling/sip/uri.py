"""SIP and SIPS URIs, and other URIs as opaque text, RFC 3261 §19.1.

Tolerant in: user parts may hold `=`, parameter values may hold brackets, and empty parameters are skipped, because
Genesys Media Servers carry the call data of a recording that way. The text is kept as received, so that a route is
returned byte for byte. Does not resolve host names (RFC 3263).
"""

from __future__ import annotations

import functools
import ipaddress
import re
import string
from typing import Final, Self

import msgspec

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.syntax import NO_PARAMS, Params

MAX_PORT: Final = 65535

_SCHEME: Final = frozenset(string.ascii_letters + string.digits + "+-.")
_HOST: Final = frozenset(string.ascii_letters + string.digits + "-._")
"""The underscore is not in the grammar, but it is in the host names of real sites."""
_DIGITS: Final = frozenset(string.digits)
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-_.!~*'()")
_USER: Final = _UNRESERVED | frozenset("&=+$,;?/")
_PARAM: Final = _UNRESERVED | frozenset("[]/:&+$")
_RESERVED: Final = frozenset(";/?:@&=+$,")
_SHORT: Final = 256
"""Characters of a URI that is remembered; those of an MSR INVITE are longer, and each is another one."""
_MAX_REMEMBERED: Final = 4096
_FORBIDDEN: Final = re.compile(r"[\s\x00-\x1f]")
"""RFC 3261 §7.1: "MUST NOT contain unescaped spaces or control characters". Quotes and brackets are not in the grammar
either, but call data in a Request-URI comes from configuration, and one of them must not cost a recording."""
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
_ALWAYS_COMPARED: Final = ("user", "ttl", "method", "maddr")
"""URI parameters whose presence in only one of two URIs makes them differ (RFC 3261 §19.1.4)."""


def parse_hostport(text: str, header: str, offset: int = 0) -> tuple[str, int | None]:
    """Read `host[:port]`; the host of an IPv6 reference is returned without its brackets.

    Raises:
        SipSyntaxError: the host is empty or holds characters that no host has, or the port is not 0 to 65535.

    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        # RFC 5118 §4.10: the grammar of RFC 3261 can be read as if `[2001:db8:::192.0.2.1]` were right.
        host = host.replace(":::", "::")
        if not bracket or not _is_ipv6(host):
            raise SipSyntaxError(400, header, offset, "IPv6 reference is malformed")
        colon, port = rest[:1], rest[1:]
        if rest and colon != ":":
            raise SipSyntaxError(400, header, offset, "text after an IPv6 reference")
    else:
        host, colon, port = text.partition(":")
        if not host or not _HOST.issuperset(host):
            raise SipSyntaxError(400, header, offset, "host is malformed")
    if not colon:
        return host, None
    if not port or len(port) > len(str(MAX_PORT)) or not _DIGITS.issuperset(port) or int(port) > MAX_PORT:
        raise SipSyntaxError(400, header, offset, "port is malformed")
    return host, int(port)


def format_hostport(host: str, port: int | None) -> str:
    """Return `host[:port]` with the brackets that an IPv6 address needs."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def unescape(text: str) -> str:
    """Replace each `%HH` once; bytes that are not UTF-8 become surrogate escapes, a stray `%` stays (§19.1.2)."""
    if "%" not in text:
        return text
    pieces = _ESCAPE.split(text)
    octets = b"".join(
        bytes.fromhex(piece) if index % 2 else piece.encode("utf-8", "surrogateescape")
        for index, piece in enumerate(pieces)
    )
    return octets.decode("utf-8", "surrogateescape")


def escape(text: str, allowed: frozenset[str]) -> str:
    """Write every character outside `allowed` as `%HH` of its UTF-8 octets."""
    if allowed.issuperset(text):
        return text
    return "".join(
        character
        if character in allowed
        else "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "surrogateescape"))
        for character in text
    )


class Uri(msgspec.Struct, frozen=True):
    """One URI. `==` compares the text; `matches` compares as RFC 3261 §19.1.4 says.

    Make one with `parse` or `build`.
    """

    text: str
    """The whole URI as received or built."""
    scheme: str
    """Lower case."""
    user: str | None = None
    """As written, escapes included, without the password; None when there is no `@`."""
    password: str | None = None
    host: str = ""
    """As written, an IPv6 address without brackets; empty for a scheme other than sip and sips."""
    port: int | None = None
    params: Params = NO_PARAMS
    """URI parameters, escapes included."""
    headers: str = ""
    """What follows the question mark, as written."""

    @classmethod
    def parse(cls, text: str, header: str = "", offset: int = 0) -> Self:
        """Read a URI of any scheme; only sip and sips URIs are taken apart.

        Args:
            text: the URI alone, without angle brackets.
            header: header field named in errors.
            offset: added to the offsets of errors.

        Raises:
            SipSyntaxError: no scheme, a character that no URI may hold, or a malformed host or port.

        """
        if len(text) <= _SHORT:
            return cls._remembered(text, header, offset)
        return cls._read(text, header, offset)

    @classmethod
    @functools.lru_cache(maxsize=_MAX_REMEMBERED)
    def _remembered(cls, text: str, header: str, offset: int) -> Self:
        """Read a URI that may come again: clients repeat their own and ours in every message."""
        return cls._read(text, header, offset)

    @classmethod
    def _read(cls, text: str, header: str, offset: int) -> Self:
        if found := _FORBIDDEN.search(text):
            raise SipSyntaxError(400, header, offset + found.start(), "character that a URI must not hold")
        scheme, colon, rest = text.partition(":")
        if scheme != "sip":
            if not colon or not scheme or not _SCHEME.issuperset(scheme):
                raise SipSyntaxError(400, header, offset, "URI without a scheme")
            scheme = scheme.lower()
            if scheme not in ("sip", "sips"):
                return cls(text, scheme)
        user: str | None = None
        password: str | None = None
        userinfo, at, address = rest.partition("@")
        if at:
            user, has_password, secret = userinfo.partition(":")
            password = secret if has_password else None
            if not user:
                raise SipSyntaxError(400, header, offset, "URI with an empty user part")
        else:
            address = rest
        address, _, headers = address.partition("?")
        hostport, semicolon, tail = address.partition(";")
        host, port = parse_hostport(hostport, header, offset)
        params = NO_PARAMS
        if semicolon:
            pieces = [piece.partition("=") for piece in tail.split(";")]
            params = Params([(name, value if equals else None) for name, equals, value in pieces if name])
        return cls(text, scheme, user, password, host, port, params, headers)

    @classmethod
    def build(
        cls,
        host: str,
        port: int | None = None,
        *,
        user: str | None = None,
        scheme: str = "sip",
        params: Params = NO_PARAMS,
    ) -> Self:
        """Make a URI of our own; the user part is escaped where it must be.

        Raises:
            LocalProtocolError: the result would not parse.

        """
        who = "" if user is None else escape(user, _USER) + "@"
        text = f"{scheme}:{who}{format_hostport(host, port)}{params}"
        try:
            return cls.parse(text)
        except SipSyntaxError as error:
            raise LocalProtocolError("the parts do not make a URI") from error

    def with_params(self, params: Params) -> Self:
        """Return this URI with other parameters and without headers; values are escaped where they must be."""
        who = "" if self.user is None else self.user
        if self.password is not None:
            who = f"{who}:{self.password}"
        tail = "".join(
            f";{name}" if value is None else f";{name}={escape(value, _PARAM | {'%'})}" for name, value in params
        )
        at = "" if self.user is None else "@"
        return self.parse(f"{self.scheme}:{who}{at}{format_hostport(self.host, self.port)}{tail}")

    @property
    def is_sip(self) -> bool:
        """True for sip and sips."""
        return self.scheme in ("sip", "sips")

    @property
    def is_loose_router(self) -> bool:
        """True if the URI carries `lr`, in any form (RFC 3261 §19.1.1)."""
        return "lr" in self.params

    def param(self, name: str) -> str | None:
        """Return URI parameter `name` with escapes undone; "" if it has no value, None if it is absent."""
        value = self.params.get(name)
        return None if value is None else unescape(value)

    def matches(self, other: Uri) -> bool:
        """Compare as RFC 3261 §19.1.4 says; URIs of other schemes match only if their text is equal."""
        if not (self.is_sip and other.is_sip):
            return self.text == other.text
        if (self.scheme, self.host.lower(), self.port) != (other.scheme, other.host.lower(), other.port):
            return False
        if _normal(self.user) != _normal(other.user) or _normal(self.password) != _normal(other.password):
            return False
        mine, theirs = _comparable(self.params), _comparable(other.params)
        if any((name in mine) != (name in theirs) for name in _ALWAYS_COMPARED):
            return False
        if any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys()):
            return False
        return _comparable_headers(self.headers) == _comparable_headers(other.headers)

    def __str__(self) -> str:
        return self.text


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _normal(text: str | None) -> str | None:
    """Undo the escapes that make no difference: those of characters that are not reserved (§19.1.4)."""
    if text is None or "%" not in text:
        return text

    def undo(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if character.isascii() and character not in _RESERVED else found[0].upper()

    return _ESCAPE.sub(undo, text)


def _comparable(params: Params) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in params:
        first.setdefault((_normal(name) or "").lower(), (_normal(value) or "").lower())
    return first


def _comparable_headers(headers: str) -> list[tuple[str, str | None]]:
    pairs = (piece.partition("=") for piece in headers.split("&") if piece)
    return sorted(((_normal(name) or "").lower(), _normal(value) or "") for name, _, value in pairs)
