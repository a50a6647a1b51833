"""Typed values of the small header fields: CSeq, media types, scalars, session timer, reliability, Session-ID.

One class or function per header field, named after it; each parses one field value and writes it back with `str`.
Addresses, Via and digest credentials have modules of their own.
"""

from __future__ import annotations

import re
import string
from typing import Final, Literal, Self

import msgspec

from signaling.errors import SipSyntaxError
from signaling.sip.syntax import NO_PARAMS, WHITESPACE, Params, is_token

MAX_CSEQ: Final = 2**32 - 1
"""RFC 3261 §8.1.1.5 wants below 2**31 of whoever chooses the first one; RFC 4475 §3.1.2.4 draws the line here."""
MAX_DELTA_SECONDS: Final = 2**32 - 1
"""RFC 3261 §20.19."""

_DIGITS: Final = frozenset(string.digits)
_SESSION_UUID: Final = re.compile("[0-9a-fA-F]{32}")


def parse_number(text: str, header: str, maximum: int) -> int:
    """Read a non-negative decimal number; leading zeros are allowed.

    Raises:
        SipSyntaxError: not a number, or above `maximum`.

    """
    if not text or not _DIGITS.issuperset(text):
        raise SipSyntaxError(400, header, 0, "expected a number")
    # Python refuses to convert very long digit strings, and conversion is quadratic below that.
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(maximum)) or int(digits) > maximum:
        raise SipSyntaxError(400, header, 0, "number is out of range")
    return int(digits)


class CSeq(msgspec.Struct, frozen=True):
    """Sequence number and method of a request, RFC 3261 §20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CSeq value.

        Raises:
            SipSyntaxError: it is not a number of 32 bits and a token.

        """
        digits, _, method = text.partition(" ")
        if not is_token(method):
            words = text.split()
            if len(words) != 2 or not is_token(words[1]):
                raise SipSyntaxError(400, "CSeq", 0, "expected a number and a method")
            digits, method = words
        return cls(parse_number(digits, "CSeq", MAX_CSEQ), method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class MediaType(msgspec.Struct, frozen=True):
    """Value of Content-Type, RFC 3261 §20.15. Damaged ones are read as far as they go: a body is never lost to one."""

    type: str
    """Lower case."""
    subtype: str
    """Lower case; empty if there is no slash."""
    params: Params = NO_PARAMS

    @classmethod
    def parse(cls, text: str, header: str = "Content-Type") -> Self:
        """Read a media type; white space around the slash is skipped.

        Raises:
            SipSyntaxError: the parameters are malformed.

        """
        essence, semicolon, tail = text.partition(";")
        kind, _, subtype = essence.partition("/")
        params = Params.parse(semicolon + tail, header, len(essence))
        return cls(kind.strip(WHITESPACE).lower(), subtype.strip(WHITESPACE).lower(), params)

    @property
    def essence(self) -> str:
        """`type/subtype` in lower case, without parameters."""
        return f"{self.type}/{self.subtype}"

    def __str__(self) -> str:
        return f"{self.essence}{self.params}"


class Disposition(msgspec.Struct, frozen=True):
    """Value of Content-Disposition, RFC 3261 §20.11."""

    kind: str
    """Lower case, for example session, render, recording-session."""
    params: Params = NO_PARAMS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a disposition.

        Raises:
            SipSyntaxError: the parameters are malformed.

        """
        kind, semicolon, tail = text.partition(";")
        params = Params.parse(semicolon + tail, "Content-Disposition", len(kind))
        return cls(kind.strip(WHITESPACE).lower(), params)

    @property
    def optional(self) -> bool:
        """True if `handling=optional`; a missing handling parameter means required."""
        return (self.params.get("handling") or "").lower() == "optional"

    def __str__(self) -> str:
        return f"{self.kind}{self.params}"


class SessionExpires(msgspec.Struct, frozen=True):
    """Value of Session-Expires, RFC 4028 §4."""

    interval: int
    """Seconds."""
    refresher: Literal["uac", "uas"] | None = None
    """Who sends the refreshes; None when it is not yet decided, or not one of the two words."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Session-Expires value.

        Raises:
            SipSyntaxError: the interval is not a number of seconds, or the parameters are malformed.

        """
        digits, semicolon, tail = text.partition(";")
        interval = parse_number(digits.strip(WHITESPACE), "Session-Expires", MAX_DELTA_SECONDS)
        refresher = (Params.parse(semicolon + tail, "Session-Expires", len(digits)).get("refresher") or "").lower()
        if refresher == "uac":
            return cls(interval, "uac")
        return cls(interval, "uas" if refresher == "uas" else None)

    def __str__(self) -> str:
        return str(self.interval) if self.refresher is None else f"{self.interval};refresher={self.refresher}"


def parse_min_se(text: str) -> int:
    """Return the seconds of a Min-SE value, RFC 4028 §5; parameters are ignored.

    Raises:
        SipSyntaxError: it is not a number of seconds.

    """
    return parse_number(text.partition(";")[0].strip(WHITESPACE), "Min-SE", MAX_DELTA_SECONDS)


def parse_rseq(text: str) -> int:
    """Return the number of an RSeq value, RFC 3262 §7.1.

    Raises:
        SipSyntaxError: it is not a number of 32 bits.

    """
    return parse_number(text.strip(WHITESPACE), "RSeq", MAX_CSEQ)


class RAck(msgspec.Struct, frozen=True):
    """Value of RAck: which reliable provisional response a PRACK acknowledges, RFC 3262 §7.2."""

    rseq: int
    cseq: CSeq

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an RAck value.

        Raises:
            SipSyntaxError: it is not two numbers and a method.

        """
        words = text.split()
        if len(words) != 3 or not is_token(words[2]):
            raise SipSyntaxError(400, "RAck", 0, "expected two numbers and a method")
        rseq = parse_number(words[0], "RAck", MAX_CSEQ)
        return cls(rseq, CSeq(parse_number(words[1], "RAck", MAX_CSEQ), words[2]))

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


NIL_UUID: Final = "0" * 32
"""The null UUID of RFC 7989 §5: the remote half is not known yet."""


class SessionId(msgspec.Struct, frozen=True):
    """Value of Session-ID, RFC 7989 §5: one UUID per end of the session, seen from the sender of the message."""

    local: str
    """32 hexadecimal digits in lower case: the sender's."""
    remote: str | None = None
    """The receiver's as far as the sender knows it; None in the one-UUID form of RFC 7329."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Session-ID value.

        Raises:
            SipSyntaxError: a UUID is not 32 hexadecimal digits.

        """
        local, semicolon, tail = text.partition(";")
        local = local.strip(WHITESPACE)
        remote = Params.parse(semicolon + tail, "Session-ID", len(local)).get("remote")
        if not _SESSION_UUID.fullmatch(local) or (remote is not None and not _SESSION_UUID.fullmatch(remote)):
            raise SipSyntaxError(400, "Session-ID", 0, "expected 32 hexadecimal digits")
        return cls(local.lower(), None if remote is None else remote.lower())

    def answered_by(self, uuid: str) -> Self:
        """Return what the receiver, whose UUID is `uuid`, sends back: the halves change places (§6)."""
        return type(self)(uuid, self.local)

    def __str__(self) -> str:
        return self.local if self.remote is None else f"{self.local};remote={self.remote}"
