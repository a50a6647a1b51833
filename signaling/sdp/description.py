"""Values of a session description and their strict text form (RFC 8866 §5 and §9).

Values are immutable and hold what the peer wrote; nothing is normalised except the names of attributes that this
package interprets. Does not parse (see `grammar`) and does not negotiate (see `offer_answer`).
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from signaling.errors import LocalProtocolError

CRLF: Final = "\r\n"

SECRET_ATTRIBUTES: Final = frozenset({"crypto", "key-mgmt", "ice-pwd"})
"""Their values hold keys (RFC 4568, RFC 4567, RFC 8839); shown nowhere but in the encoded body."""

MASK: Final = "<hidden>"

# Order of the optional lines of a section, RFC 8866 §9. Unknown letters come last, before the attributes.
_LINE_ORDER: Final = {"i": 0, "u": 1, "e": 2, "p": 3, "c": 4, "b": 5, "t": 6, "r": 6, "z": 6, "k": 7}
_LAST: Final = 8


class Direction(enum.StrEnum):
    """Which way media flows, seen from the one who wrote the description (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


_DIRECTIONS: Final = {direction.value: direction for direction in Direction}


class Forgiven(enum.StrEnum):
    """Deviations that the parser accepts; they flag the recording, they never refuse a call."""

    LINE_ENDS = "line-ends"
    CHARACTER_SET = "character-set"
    MALFORMED_LINE = "malformed-line"
    NO_VERSION = "no-version"
    NO_ORIGIN = "no-origin"
    BAD_ORIGIN = "bad-origin"
    NO_NAME = "no-session-name"
    NO_TIME = "no-time"
    BAD_CONNECTION = "bad-connection"
    NO_FORMAT = "no-format"
    PORT_COUNT = "port-count"


class Fault(msgspec.Struct, frozen=True, gc=False):
    """One deviation and where it was."""

    code: Forgiven
    line: int = 0
    """Line number from 1; 0 for the description as a whole."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The `o=` line (RFC 8866 §5.2)."""

    username: str
    session_id: str
    """Decimal digits by the RFC; kept as text because real ones exceed 64 bits or hold letters."""
    version: str
    """Session version; of ours always decimal digits."""
    nettype: str
    addrtype: str
    address: str

    @classmethod
    def ours(cls, session_id: int, host: str, *, username: str = "-") -> Origin:
        """Build the origin of a session of our own, at version 1."""
        return cls(username, str(session_id), "1", "IN", address_type(host), host)

    def at_version(self, version: int) -> Origin:
        """Return the same origin with another session version; nothing else may change (RFC 3264 §8)."""
        return msgspec.structs.replace(self, version=str(version))

    def encode(self) -> str:
        """Return the value of the line."""
        return f"{self.username} {self.session_id} {self.version} {self.nettype} {self.addrtype} {self.address}"


PLACEHOLDER_ORIGIN: Final = Origin("-", "0", "0", "IN", "IP4", "0.0.0.0")  # noqa: S104 - no socket is bound to it
"""Stands for an `o=` line that was missing or unreadable; the description then carries the fault."""


class Connection(msgspec.Struct, frozen=True, gc=False):
    """The `c=` line (RFC 8866 §5.7)."""

    nettype: str
    addrtype: str
    address: str
    """As written, with the TTL or count of a multicast address."""

    @classmethod
    def to(cls, host: str) -> Connection:
        """Build the line for a unicast host."""
        return cls("IN", address_type(host), host)

    @property
    def host(self) -> str:
        """Address without TTL and count."""
        return self.address.partition("/")[0]

    @property
    def unspecified(self) -> bool:
        """Whether neither RTP nor RTCP may be sent there (RFC 3264 §8.4; `.invalid` and `::` are its IPv6 forms)."""
        host = self.host
        return host in ("0.0.0.0", "::") or host.endswith(".invalid")  # noqa: S104 - compared, not bound

    @property
    def multicast(self) -> bool:
        """Whether the address is an IPv4 or IPv6 multicast group."""
        host = self.host
        if ":" in host:
            return host[:2].lower() == "ff"
        first = host.partition(".")[0]
        return first.isascii() and first.isdigit() and len(first) == 3 and 224 <= int(first) <= 239

    def encode(self) -> str:
        """Return the value of the line."""
        return f"{self.nettype} {self.addrtype} {self.address}"


class Line(msgspec.Struct, frozen=True, gc=False):
    """Any other line, kept in order."""

    kind: str
    """One lower-case letter."""
    value: str

    def __repr__(self) -> str:
        return f"Line({self.kind!r}, {MASK if self.kind == 'k' else self.value!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("kind", self.kind), ("value", MASK if self.kind == "k" else self.value)]


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """One `a=` line (RFC 8866 §5.13); its text form hides key material."""

    name: str
    value: str | None = None
    """Text after the colon, unchanged; None for a property attribute such as `a=sendonly`."""

    @property
    def _shown(self) -> str | None:
        return MASK if self.name.lower() in SECRET_ATTRIBUTES else self.value

    def __repr__(self) -> str:
        return f"Attribute({self.name!r}, {self._shown!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("value", self._shown)]

    def encode(self) -> str:
        """Return the text after `a=`."""
        return self.name if self.value is None else f"{self.name}:{self.value}"


class MediaDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One m-line with everything that belongs to it (RFC 8866 §5.14)."""

    media: str
    """Media type as written, for example audio."""
    port: int
    port_count: int = 1
    protocol: str
    """Transport as written, for example RTP/AVP."""
    formats: tuple[str, ...] = ()
    connection: Connection | None = None
    lines: tuple[Line, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    def value(self, name: str) -> str | None:
        """Return the value of the first attribute of this (lower-case) name, "" for a property, None if absent."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute.value or ""
        return None

    def values(self, name: str) -> list[str]:
        """Return the values of all attributes of this (lower-case) name, in order."""
        return [attribute.value or "" for attribute in self.attributes if attribute.name == name]

    @property
    def direction(self) -> Direction | None:
        """Direction given at media level, or None."""
        return _direction(self.attributes)

    @property
    def label(self) -> str | None:
        """Value of `a=label` as written (RFC 4574), or None."""
        return self.value("label")

    def bandwidth(self, kind: str) -> int | None:
        """Return the figure of `b=<kind>:`: bits/s for RS and RR (RFC 3556), else kilobits/s; None if absent."""
        return _bandwidth(self.lines, kind)

    def _encode(self, out: list[str]) -> None:
        count = f"/{self.port_count}" if self.port_count != 1 else ""
        formats = " ".join(("", *self.formats))
        out.append(f"m={self.media} {self.port}{count} {self.protocol}{formats}")
        if self.lines:
            _encode_lines(self.lines, self.connection, (), out)
        elif self.connection is not None:
            out.append(f"c={self.connection.encode()}")
        out.extend([f"a={attribute.encode()}" for attribute in self.attributes])


class SessionDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A whole session description (RFC 8866 §5)."""

    origin: Origin
    name: str = "-"
    """Value of `s=`."""
    connection: Connection | None = None
    timing: tuple[Line, ...] = (Line("t", "0 0"),)
    """The `t=`, `r=` and `z=` lines; an answer repeats them (RFC 3264 §6)."""
    lines: tuple[Line, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()
    charset: str = "utf-8"
    """How the text was read, so that every byte can be written back: utf-8, or latin-1 when it is not UTF-8."""
    faults: tuple[Fault, ...] = ()
    """What the parser forgave; empty for a description that we built."""

    def direction_of(self, media: MediaDescription) -> Direction:
        """Return the direction of a stream: its own, else the session's, else sendrecv (RFC 3264 §5.1)."""
        return media.direction or _direction(self.attributes) or Direction.SENDRECV

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return the connection data of a stream: its own, else the session's."""
        return media.connection or self.connection

    def bandwidth_of(self, media: MediaDescription, kind: str) -> int | None:
        """Return a bandwidth figure of a stream: its own, else the session's (RFC 3556 §4)."""
        if not media.lines and not self.lines:
            return None
        own = media.bandwidth(kind)
        return _bandwidth(self.lines, kind) if own is None else own

    def same_content(self, other: SessionDescription) -> bool:
        """Whether both say the same apart from the session version and the faults found in them."""
        return (
            self.media == other.media
            and self.connection == other.connection
            and self.attributes == other.attributes
            and self.lines == other.lines
            and self.timing == other.timing
            and self.name == other.name
            and msgspec.structs.replace(self.origin, version="") == msgspec.structs.replace(other.origin, version="")
        )

    def encode(self) -> bytes:
        """Return the body: canonical line order, CRLF after every line.

        Raises:
            LocalProtocolError: a value holds a line break, a NUL, or a character outside the character set.

        """
        out = ["v=0", f"o={self.origin.encode()}", f"s={self.name}"]
        if self.lines:
            _encode_lines(self.lines, self.connection, self.timing, out)
        else:
            if self.connection is not None:
                out.append(f"c={self.connection.encode()}")
            out.extend([f"{line.kind}={line.value}" for line in self.timing])
        out.extend([f"a={attribute.encode()}" for attribute in self.attributes])
        for media in self.media:
            media._encode(out)
        out.append("")
        text = CRLF.join(out)
        # A value that held a line break would smuggle lines of its own into the body.
        breaks = len(out) - 1
        if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
            raise LocalProtocolError("a value of the session description holds a line break or NUL")
        try:
            return text.encode(self.charset)
        except UnicodeEncodeError:
            raise LocalProtocolError("a value of the session description is outside its character set") from None


def address_type(host: str) -> str:
    """Return IP6 for an IPv6 address, else IP4."""
    return "IP6" if ":" in host else "IP4"


def _direction(attributes: tuple[Attribute, ...]) -> Direction | None:
    for attribute in attributes:
        found = _DIRECTIONS.get(attribute.name)
        if found is not None:
            return found
    return None


def _bandwidth(lines: tuple[Line, ...], kind: str) -> int | None:
    for line in lines:
        if line.kind == "b":
            name, _, figure = line.value.partition(":")
            figure = figure.strip()
            if name.strip().upper() == kind and figure.isascii() and figure.isdigit():
                return int(figure[:18])
    return None


def _encode_lines(
    lines: tuple[Line, ...], connection: Connection | None, timing: tuple[Line, ...], out: list[str]
) -> None:
    own = (Line("c", connection.encode()), *timing) if connection is not None else timing
    ordered = sorted((*own, *lines), key=lambda line: _LINE_ORDER.get(line.kind, _LAST))
    out.extend([f"{line.kind}={line.value}" for line in ordered])
