"""Requests and responses, RFC 3261 §7, with typed access to their header fields.

A typed value is read when it is asked for and then remembered; a header field that does not parse raises
`SipSyntaxError` there and leaves the rest of the message usable. Bodies are bytes and are never changed. Messages are
immutable: methods that change something return a new message. Does not parse whole messages (`signaling.sip.parser`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, Self, TypeVar, overload

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.address import NameAddr
from signaling.sip.headers import KNOWN_KEYS, Headers, key_of
from signaling.sip.syntax import WHITESPACE, is_token, split_list
from signaling.sip.uri import Uri
from signaling.sip.values import (
    MAX_DELTA_SECONDS,
    CSeq,
    Disposition,
    MediaType,
    RAck,
    SessionExpires,
    SessionId,
    parse_min_se,
    parse_number,
    parse_rseq,
)
from signaling.sip.via import Via

VERSION: Final = "SIP/2.0"
MAX_HOPS: Final = 255
"""RFC 3261 §20.22."""


T = TypeVar("T")


class remembered(Generic[T]):
    """Property that is computed once.

    `functools.cached_property` does the same under a lock on Python 3.11; five of them were a quarter of the time of
    parsing a message.
    """

    def __init__(self, read: Callable[[HeaderAccess], T]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __set_name__(self, owner: type[HeaderAccess], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, message: None, owner: type[HeaderAccess]) -> Self: ...

    @overload
    def __get__(self, message: HeaderAccess, owner: type[HeaderAccess]) -> T: ...

    def __get__(self, message: HeaderAccess | None, owner: type[HeaderAccess]) -> T | Self:
        if message is None:
            return self
        # Not a data descriptor: from now on the instance attribute answers.
        value = message.__dict__[self._name] = self._read(message)
        return value


class HeaderAccess:
    """Typed header fields, shared by requests and responses. Values in field order.

    Every property raises `SipSyntaxError` if the field is malformed; the five that RFC 3261 §8.1.1 makes mandatory
    raise it also if the field is missing. Others give None or an empty tuple then.
    """

    headers: Headers

    @remembered
    def via(self) -> Via:
        """Topmost Via."""
        return Via.parse(split_list(self._mandatory("Via"), "Via")[0])

    @remembered
    def vias(self) -> tuple[Via, ...]:
        """All Vias, topmost first."""
        return tuple(Via.parse(text) for text in self.headers.get_list("Via"))

    @remembered
    def from_(self) -> NameAddr:
        """Address of the sender."""
        return NameAddr.parse(self._mandatory("From"), "From")

    @remembered
    def to(self) -> NameAddr:
        """Address of the one asked."""
        return NameAddr.parse(self._mandatory("To"), "To")

    @remembered
    def call_id(self) -> str:
        """Call-ID; compared byte by byte."""
        text = self._mandatory("Call-ID")
        if not text or " " in text or "\t" in text:
            raise SipSyntaxError(400, "Call-ID", 0, "expected one word")
        return text

    @remembered
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return CSeq.parse(self._mandatory("CSeq"))

    @remembered
    def contacts(self) -> tuple[NameAddr, ...]:
        """Contact addresses; `*` is not an address and gives none."""
        return self._addresses("Contact")

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact address."""
        return self.contacts[0] if self.contacts else None

    @remembered
    def routes(self) -> tuple[NameAddr, ...]:
        """Route addresses, topmost first."""
        return self._addresses("Route")

    @remembered
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Record-Route addresses, topmost first."""
        return self._addresses("Record-Route")

    @remembered
    def require(self) -> tuple[str, ...]:
        """Option tags of Require, lower case."""
        return self._option_tags("Require")

    @remembered
    def supported(self) -> tuple[str, ...]:
        """Option tags of Supported, lower case."""
        return self._option_tags("Supported")

    @remembered
    def allow(self) -> tuple[str, ...]:
        """Methods of Allow, which are case-sensitive."""
        return tuple(self.headers.get_list("Allow"))

    @remembered
    def accept(self) -> tuple[MediaType, ...] | None:
        """Media types of Accept; None without the field, which is not the same as an empty one (§20.1)."""
        if "Accept" not in self.headers:
            return None
        return tuple(MediaType.parse(text, "Accept") for text in self.headers.get_list("Accept"))

    @remembered
    def content_type(self) -> MediaType | None:
        """Media type of the body."""
        text = self.headers.get("Content-Type")
        return None if text is None else MediaType.parse(text)

    @remembered
    def content_disposition(self) -> Disposition | None:
        """Purpose of the body."""
        text = self.headers.get("Content-Disposition")
        return None if text is None else Disposition.parse(text)

    @remembered
    def expires(self) -> int | None:
        """Expires in seconds."""
        return self._number("Expires", MAX_DELTA_SECONDS)

    @remembered
    def max_forwards(self) -> int | None:
        """Max-Forwards."""
        return self._number("Max-Forwards", MAX_HOPS)

    @remembered
    def retry_after(self) -> int | None:
        """Retry-After in seconds, without its comment and parameters (§20.33)."""
        text = self.headers.get("Retry-After")
        if text is None:
            return None
        digits = text.partition(";")[0].partition("(")[0].strip(WHITESPACE)
        return parse_number(digits, "Retry-After", MAX_DELTA_SECONDS)

    @remembered
    def session_expires(self) -> SessionExpires | None:
        """Session-Expires, RFC 4028 §4."""
        text = self.headers.get("Session-Expires")
        return None if text is None else SessionExpires.parse(text)

    @remembered
    def min_se(self) -> int | None:
        """Min-SE in seconds, RFC 4028 §5."""
        text = self.headers.get("Min-SE")
        return None if text is None else parse_min_se(text)

    @remembered
    def rseq(self) -> int | None:
        """RSeq, RFC 3262 §7.1."""
        text = self.headers.get("RSeq")
        return None if text is None else parse_rseq(text)

    @remembered
    def rack(self) -> RAck | None:
        """RAck, RFC 3262 §7.2."""
        text = self.headers.get("RAck")
        return None if text is None else RAck.parse(text)

    @remembered
    def session_id(self) -> SessionId | None:
        """Session-ID, RFC 7989."""
        text = self.headers.get("Session-ID")
        return None if text is None else SessionId.parse(text)

    @remembered
    def date(self) -> datetime.datetime | None:
        """Date, always UTC: RFC 3261 §20.17 allows no other zone."""
        text = self.headers.get("Date")
        if text is None:
            return None
        try:
            return datetime.datetime.strptime(text.replace("GMT", "+0000"), "%a, %d %b %Y %H:%M:%S %z")
        except ValueError as error:
            raise SipSyntaxError(400, "Date", 0, "expected a date in GMT") from error

    def _mandatory(self, name: str) -> str:
        text = self.headers.get(name)
        if text is None:
            raise SipSyntaxError(400, name, 0, "header field is missing")
        return text

    def _addresses(self, name: str) -> tuple[NameAddr, ...]:
        if name not in self.headers:
            return ()
        return tuple(NameAddr.parse(text, name) for text in self.headers.get_list(name) if text != "*")

    def _option_tags(self, name: str) -> tuple[str, ...]:
        return tuple(tag.lower() for tag in self.headers.get_list(name))

    def _number(self, name: str, maximum: int) -> int | None:
        text = self.headers.get(name)
        return None if text is None else parse_number(text, name, maximum)


@dataclass(frozen=True)
class Request(HeaderAccess):
    """A SIP request."""

    method: str
    """Case-sensitive token."""
    uri: Uri
    """The Request-URI; `uri.text` is what was received."""
    headers: Headers
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the message as it goes on the wire, with a true Content-Length.

        Raises:
            LocalProtocolError: a line break or another character that would break the framing is in a value.

        """
        if not is_token(self.method):
            raise LocalProtocolError("a method must be a token")
        return _encode(f"{self.method} {self.uri.text} {VERSION}", self.headers, self.body)

    def seen_from(self, host: str, port: int) -> Request:
        """Return the request with its top Via completed with the source it came from (`Via.seen_from`)."""
        via = self.via.seen_from(host, port)
        if via == self.via:
            return self
        field = split_list(self._mandatory("Via"), "Via")
        return replace(self, headers=self.headers.replacing_first("Via", ", ".join((str(via), *field[1:]))))


@dataclass(frozen=True)
class Response(HeaderAccess):
    """A SIP response."""

    status: int
    """100 to 699."""
    reason: str
    """Reason phrase; any text without line breaks, also none."""
    headers: Headers
    body: bytes = b""

    @property
    def is_provisional(self) -> bool:
        """True for 1xx."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300

    def encode(self) -> bytes:
        """Return the message as it goes on the wire, with a true Content-Length.

        Raises:
            LocalProtocolError: a line break or another character that would break the framing is in a value.

        """
        return _encode(f"{VERSION} {self.status} {self.reason}", self.headers, self.body)


Message = Request | Response


def encode(message: Message) -> bytes:
    """Return `message` as it goes on the wire; the same as `message.encode()`."""
    return message.encode()


def _encode(start_line: str, headers: Headers, body: bytes) -> bytes:
    lines = [start_line]
    length: str | None = str(len(body))
    for name, value in headers:
        if name not in KNOWN_KEYS and not is_token(name):
            raise LocalProtocolError("a header field name must be a token")
        if key_of(name) != "content-length":
            lines.append(f"{name}: {value}")
        elif length is not None:
            lines.append(f"{name}: {length}")
            length = None
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += ("", "")
    text = "\r\n".join(lines)
    # A line break inside a value would let it forge header fields.
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise LocalProtocolError("a header value must not hold a line break")
    return text.encode("utf-8", "surrogateescape") + body
