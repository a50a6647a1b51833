"""Takes message bodies apart: multipart, nesting, handling (RFC 2046 §5.1, RFC 5621, RFC 3261 §20.11).

Parts keep their bytes exactly. Linear in the size of the body. Does not interpret what the parts hold.
"""

from __future__ import annotations

import binascii
import enum
import hashlib
import quopri
from typing import Final

import msgspec

from signaling.siprec.errors import BodyError
from signaling.siprec.media_types import (
    ABSENT,
    ALTERNATIVE,
    ContentType,
    Disposition,
    parse_content_type,
    parse_disposition,
)

MAX_BYTES: Final = 1 << 18
"""256 KiB: four times the largest UDP message; a snapshot of a 64-party conference has about 100 kB."""

MAX_PARTS: Final = 32
"""Three parts are the most that was seen (SDP, metadata, call data of a gateway)."""

MAX_DEPTH: Final = 4
"""Nested multiparts; one level of nesting was seen, RFC 5621 §4.3 asks for none."""

MAX_PART_HEADER: Final = 8192
"""Bytes of the header of one part; real ones have below 300."""


class BodyDoubt(enum.StrEnum):
    """Deviations that were forgiven; they flag the recording."""

    NO_CONTENT_TYPE = "no-content-type"
    NO_BOUNDARY = "no-boundary-parameter"
    NO_FINAL_BOUNDARY = "no-final-boundary"
    PART_LENGTH = "part-length-differs"
    BAD_TRANSFER_ENCODING = "bad-transfer-encoding"
    BAD_PART = "bad-part"


class Part(msgspec.Struct, frozen=True, gc=False):
    """One body part, or a whole body that is not a multipart."""

    content_type: ContentType
    disposition: Disposition
    body: bytes
    """Exactly as received, without the line break that belongs to the boundary."""
    raw_content_type: str = ""
    """The field as written, to be mirrored."""
    encoding: str = ""
    """Content-Transfer-Encoding in lower case; empty for the usual binary."""
    alternative: int = 0
    """Parts with one number other than 0 say the same thing in several ways (multipart/alternative)."""

    @property
    def content(self) -> bytes:
        """The body with its transfer encoding removed; as received when that fails."""
        if self.encoding == "base64":
            try:
                return binascii.a2b_base64(self.body)
            except binascii.Error:
                return self.body
        if self.encoding == "quoted-printable":
            return quopri.decodestring(self.body)
        return self.body

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as received, in hexadecimal: evidence that can be kept where the part may not be."""
        return hashlib.sha256(self.body).hexdigest()


class Body(msgspec.Struct, frozen=True, gc=False):
    """A message body as a flat list of parts, in order; nesting carries no meaning here (RFC 5621 §4.3)."""

    parts: tuple[Part, ...] = ()
    doubts: tuple[BodyDoubt, ...] = ()


def parse_body(content_type: str | None, body: bytes, disposition: str | None = None) -> Body:
    """Take a message body apart.

    Args:
        content_type: the message's Content-Type field, None when absent.
        body: the body, exactly as received.
        disposition: the message's Content-Disposition field, None when absent.

    Raises:
        BodyError: a limit is exceeded, or a multipart holds no part at all.

    """
    if not body:
        return Body()
    if len(body) > MAX_BYTES:
        raise BodyError("body too large", offset=MAX_BYTES)
    content_type = _printable(content_type)
    parsed = parse_content_type(content_type)
    doubts: list[BodyDoubt] = []
    if not parsed.essence:
        doubts.append(BodyDoubt.NO_CONTENT_TYPE)
        parsed = _recognise(body)
    if not parsed.multipart:
        part = Part(parsed, parse_disposition(_printable(disposition)), body, content_type)
        return Body((part,), tuple(doubts))
    parts: list[Part] = []
    _Splitter(parts, doubts).split(parsed, body, depth=1, alternative=0)
    if not parts:
        raise BodyError("multipart body without a part")
    return Body(tuple(parts), tuple(dict.fromkeys(doubts)))


def _printable(field: str | None) -> str:
    """Replace bytes of a header field that were no UTF-8, so that every text that leaves here can be written down."""
    return (field or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _recognise(body: bytes) -> ContentType:
    """Name the type of a body that came without one, from its first bytes."""
    start = body[:64].lstrip()
    if start[:2].lower() == b"v=":
        return ContentType("application/sdp")
    if start[:2] == b"--":
        return ContentType("multipart/mixed")
    if start[:1] == b"<":
        return ContentType("application/xml")
    return ContentType("application/octet-stream")


class _Splitter:
    """Collects the parts of nested multiparts."""

    def __init__(self, parts: list[Part], doubts: list[BodyDoubt]) -> None:
        self._parts = parts
        self._doubts = doubts
        self._alternatives = 0

    def split(self, content_type: ContentType, body: bytes, *, depth: int, alternative: int) -> None:
        if depth > MAX_DEPTH:
            raise BodyError("multipart nested too deeply")
        boundary = content_type.boundary.encode()
        marks = _boundaries(body, boundary) if boundary else []
        if not marks:
            self._doubts.append(BodyDoubt.NO_BOUNDARY)
            boundary = _first_boundary(body)
            marks = _boundaries(body, boundary) if boundary else []
        if content_type.essence == ALTERNATIVE:
            self._alternatives += 1
            alternative = self._alternatives
        # Before the first mark stands the preamble, after the last one the epilogue (RFC 2046 §5.1.1).
        for place, (_, start, last) in enumerate(marks):
            if last:
                break
            if place + 1 < len(marks):
                self._part(body[start : max(start, _without_break(body, marks[place + 1][0]))], depth, alternative)
            elif start < len(body):
                self._doubts.append(BodyDoubt.NO_FINAL_BOUNDARY)
                self._part(body[start:], depth, alternative)

    def _part(self, section: bytes, depth: int, alternative: int) -> None:
        header, body = _split_header(section)
        if header is None:
            self._doubts.append(BodyDoubt.BAD_PART)
            return
        fields = _fields(header)
        raw = fields.get("content-type", "")
        # RFC 2046 §5.1: a part without a type is plain text; a client that forgets it means SDP or metadata.
        parsed = parse_content_type(raw) if raw else _recognise(body)
        if parsed.multipart:
            self.split(parsed, body, depth=depth + 1, alternative=alternative)
            return
        # Nested multiparts count together.
        if len(self._parts) == MAX_PARTS:
            raise BodyError("too many body parts")
        length = fields.get("content-length", "").strip()
        if length.isascii() and length.isdigit() and int(length[:9]) != len(body):
            self._doubts.append(BodyDoubt.PART_LENGTH)
        encoding = fields.get("content-transfer-encoding", "").strip().lower()
        if encoding == "base64":
            try:
                binascii.a2b_base64(body)
            except binascii.Error:
                self._doubts.append(BodyDoubt.BAD_TRANSFER_ENCODING)
        disposition = fields.get("content-disposition")
        self._parts.append(
            Part(
                parsed,
                ABSENT if disposition is None else parse_disposition(disposition),
                body,
                raw,
                encoding,
                alternative,
            )
        )


def _boundaries(body: bytes, boundary: bytes) -> list[tuple[int, int, bool]]:
    """Return each boundary line: where it starts, where the line after it starts, and whether it is the last one."""
    marks = []
    delimiter = b"--" + boundary
    position = body.find(delimiter)
    while position >= 0:
        after = position + len(delimiter)
        if position == 0 or body[position - 1 : position] == b"\n":
            end = body.find(b"\n", after)
            line_end = len(body) if end < 0 else end + 1
            rest = body[after:line_end].strip()
            if rest in (b"", b"--"):
                marks.append((position, line_end, bool(rest)))
                if rest:
                    break
                if len(marks) > MAX_PARTS:
                    raise BodyError("too many body parts", offset=position)
        position = body.find(delimiter, after)
    return marks


def _first_boundary(body: bytes) -> bytes:
    """Return the boundary that the first line beginning with two dashes names, b"" when there is none."""
    start = 0 if body.startswith(b"--") else body.find(b"\n--") + 1
    if start == 0 and not body.startswith(b"--"):
        return b""
    end = body.find(b"\n", start)
    return body[start + 2 : len(body) if end < 0 else end].strip()[:MAX_PART_HEADER]


def _without_break(body: bytes, position: int) -> int:
    # RFC 2046 §5.1.1: the line break before a boundary belongs to the boundary.
    if body[position - 1 : position] == b"\n":
        position -= 1
    if body[position - 1 : position] == b"\r":
        position -= 1
    return position


def _split_header(section: bytes) -> tuple[bytes | None, bytes]:
    """Split a part at its first empty line; None as header when there is no such line near the start."""
    if section[:2] == b"\r\n":
        return b"", section[2:]
    if section[:1] == b"\n":
        return b"", section[1:]
    crlf = section.find(b"\n\r\n", 0, MAX_PART_HEADER)
    lf = section.find(b"\n\n", 0, MAX_PART_HEADER if crlf < 0 else crlf + 1)
    if lf >= 0:
        return section[:lf], section[lf + 2 :]
    if crlf >= 0:
        return section[:crlf], section[crlf + 3 :]
    if section[:2].lower() == b"v=" or section[:1] == b"<":
        return b"", section
    return None, b""


def _fields(header: bytes) -> dict[str, str]:
    """Read the header of a part: folding, and any white space around the colon, are accepted."""
    fields: dict[str, str] = {}
    text = header.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\r")
    if "\n " in text or "\n\t" in text:
        text = text.replace("\n\t", " ").replace("\n ", " ")
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields
