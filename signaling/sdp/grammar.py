"""Reads a session description, tolerantly (RFC 8866 §9; deviations seen in the field).

One pass, linear in the size of the body. What is forgiven is listed in `description.Forgiven` and travels with the
result; only a body that is no session description at all, or exceeds a limit, is refused. Does not interpret
attributes (see `payloads`, `crypto`, `offer_answer`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from signaling.sdp.description import (
    PLACEHOLDER_ORIGIN,
    Attribute,
    Connection,
    Direction,
    Fault,
    Forgiven,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)
from signaling.sdp.errors import SdpSyntaxError

MAX_BYTES: Final = 65_535
"""Largest SIP message that must be accepted over UDP (RFC 3261 §18.1.1); no description needs more on TCP."""

MAX_MEDIA: Final = 64
"""m-lines; the writer's messages are dimensioned for 64 streams, a conference of 32 parties with video."""

MAX_LINES: Final = 4_096
"""64 m-lines with 60 lines each and room for the session part; the largest offers seen have below 200 lines."""

MAX_PORT: Final = 65_535
_REMEMBERED: Final = 16
"""Descriptions, of at most `MAX_BYTES` each."""

# Attributes whose names are matched without regard to case; RFC 8866 has them case-sensitive, clients do not.
_KNOWN: Final = frozenset(
    {
        "rtpmap", "fmtp", "ptime", "maxptime", "label", "rtcp", "rtcp-mux", "crypto", "content", "mid",
        "record", "recordpref", *(direction.value for direction in Direction),
    }
)  # fmt: skip

_KEYS: Final = re.compile(rb"crypto|key-mgmt|ice-pwd|k\s*=", re.IGNORECASE)
"""Wherever it stands: what is forgiven may be written in many ways, and a body too many is only read again."""

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a session description. The latest ones are remembered: several parts of the recorder ask for the same.

    Those with keys (`a=crypto`, RFC 4568; `k=`, RFC 8866 §5.12) are not: keys live no longer than their session.

    Raises:
        SdpSyntaxError: the body is too large, holds no SDP line at all, or has an m-line that cannot be answered.

    """
    if len(body) > MAX_BYTES:
        raise SdpSyntaxError("session description too large", offset=MAX_BYTES)
    return _read(body) if _KEYS.search(body) else _remembered(body)


def _read(body: bytes) -> SessionDescription:
    return _Reader(body).read()


_remembered = lru_cache(maxsize=_REMEMBERED)(_read)


def number(text: str, maximum: int) -> int | None:
    """Return a non-negative decimal of ASCII digits that is at most `maximum`, else None."""
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    value = int(text)
    return value if value <= maximum else None


class _Reader:
    """State of one pass: the section under construction and what was forgiven so far."""

    def __init__(self, body: bytes) -> None:
        self._faults: list[Fault] = []
        self._charset = "utf-8"
        self._text = self._decode(body)
        self._seen: set[str] = set()
        self._origin = PLACEHOLDER_ORIGIN
        self._name = "-"
        self._timing: list[Line] = []
        self._media: list[MediaDescription] = []
        self._session: tuple[Connection | None, tuple[Line, ...], tuple[Attribute, ...]] = (None, (), ())
        self._head: tuple[str, int, int, str, tuple[str, ...]] | None = None
        self._connection: Connection | None = None
        self._lines: list[Line] = []
        self._attributes: list[Attribute] = []

    def read(self) -> SessionDescription:
        lines = self._text.split("\n")
        if len(lines) > MAX_LINES:
            raise SdpSyntaxError("too many lines", line=MAX_LINES)
        if "\0" in self._text:
            lines = self._without_nul(lines)
        attributes = self._attributes
        for index, line in enumerate(lines, 1):
            if line[:2] == "a=":
                # The common case, in place: four of five lines are attributes.
                name, colon, value = line[2:].partition(":")
                if name in _KNOWN:
                    attributes.append(Attribute(name, value if colon else None))
                else:
                    self._attribute(line[2:], index)
            elif line:
                self._line(line, index)
                attributes = self._attributes
        self._close_section()
        return self._finish()

    def _finish(self) -> SessionDescription:
        if not self._seen & {"v", "o", "m"}:
            raise SdpSyntaxError("not a session description")
        for letter, code in (
            ("v", Forgiven.NO_VERSION),
            ("o", Forgiven.NO_ORIGIN),
            ("s", Forgiven.NO_NAME),
            ("t", Forgiven.NO_TIME),
        ):
            if letter not in self._seen:
                self._faults.append(Fault(code))
        connection, lines, attributes = self._session
        return SessionDescription(
            origin=self._origin,
            name=self._name,
            connection=connection,
            timing=tuple(self._timing) or (Line("t", "0 0"),),
            lines=lines,
            attributes=attributes,
            media=tuple(self._media),
            charset=self._charset,
            faults=tuple(self._faults),
        )

    def _decode(self, body: bytes) -> str:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            # Every byte has a latin-1 character, so a label in an old code page is still echoed byte for byte.
            self._charset = "latin-1"
            self._faults.append(Fault(Forgiven.CHARACTER_SET))
            text = body.decode("latin-1")
        if text[:1] == "\ufeff":
            text = text[1:]
            self._faults.append(Fault(Forgiven.CHARACTER_SET))
        pairs = text.count("\r\n")
        if pairs != text.count("\n") or pairs != text.count("\r"):
            self._faults.append(Fault(Forgiven.LINE_ENDS))
        # A lone CR ends a line too: kept inside a value it would break the line of a peer that reads it so.
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _without_nul(self, lines: list[str]) -> list[str]:
        """Blank the lines that hold a NUL, but for the one that C programs append to the whole."""
        lines[-1] = lines[-1].rstrip("\0")
        for index, line in enumerate(lines):
            if "\0" in line:
                self._forgive(Forgiven.MALFORMED_LINE, index + 1)
                lines[index] = ""
        return lines

    def _forgive(self, code: Forgiven, line: int) -> None:
        self._faults.append(Fault(code, line))

    def _line(self, line: str, index: int) -> None:
        kind, equals, value = line.partition("=")
        kind = kind.strip().lower()
        if not equals or kind not in _LETTERS:
            if line.strip():
                self._forgive(Forgiven.MALFORMED_LINE, index)
            return
        if kind == "a":
            self._attribute(value, index)
        elif kind == "m":
            self._media_line(value, index)
        elif kind == "c":
            self._connection_line(value, index)
        elif self._head is not None:
            self._lines.append(Line(kind, value))
        elif kind in "trz":
            self._timing.append(Line(kind, value))
        elif kind in self._seen or kind not in "vos":
            self._lines.append(Line(kind, value))
        elif kind == "o":
            self._origin = self._origin_of(value, index)
        elif kind == "s":
            self._name = value or "-"
        self._seen.add(kind)

    def _attribute(self, text: str, index: int) -> None:
        name, colon, value = text.partition(":")
        name = name.strip()
        if not name:
            self._forgive(Forgiven.MALFORMED_LINE, index)
            return
        lowered = name.lower()
        self._attributes.append(Attribute(lowered if lowered in _KNOWN else name, value if colon else None))

    def _origin_of(self, value: str, index: int) -> Origin:
        fields = value.split()
        if len(fields) == 5:
            fields.insert(0, "-")
        if len(fields) < 6:
            self._forgive(Forgiven.BAD_ORIGIN, index)
            return PLACEHOLDER_ORIGIN
        if len(fields) > 6:
            self._forgive(Forgiven.BAD_ORIGIN, index)
        return Origin(" ".join(fields[:-5]), *fields[-5:])

    def _connection_line(self, value: str, index: int) -> None:
        fields = value.split()
        if self._connection is not None:
            self._lines.append(Line("c", value))
        elif len(fields) == 3:
            self._connection = Connection(*fields)
        else:
            self._forgive(Forgiven.BAD_CONNECTION, index)

    def _media_line(self, value: str, index: int) -> None:
        self._close_section()
        if len(self._media) == MAX_MEDIA:
            raise self._refuse("too many m-lines", index)
        fields = value.split()
        if len(fields) < 3:
            raise self._refuse("m-line lacks a field", index)
        port_text, slash, count_text = fields[1].partition("/")
        port = number(port_text, MAX_PORT)
        if port is None:
            raise self._refuse("m-line has no valid port", index)
        count = number(count_text, MAX_PORT) if slash else 1
        if count != 1:
            self._forgive(Forgiven.PORT_COUNT, index)
        if len(fields) == 3:
            self._forgive(Forgiven.NO_FORMAT, index)
        self._head = (fields[0], port, count or 1, fields[2], tuple(fields[3:]))

    def _refuse(self, reason: str, index: int) -> SdpSyntaxError:
        before = "\n".join(self._text.split("\n")[: index - 1])
        return SdpSyntaxError(reason, offset=len(before.encode(self._charset)), line=index)

    def _close_section(self) -> None:
        if self._head is None:
            self._session = (self._connection, tuple(self._lines), tuple(self._attributes))
        else:
            media, port, count, protocol, formats = self._head
            self._media.append(
                MediaDescription(
                    media=media,
                    port=port,
                    port_count=count,
                    protocol=protocol,
                    formats=formats,
                    connection=self._connection,
                    lines=tuple(self._lines),
                    attributes=tuple(self._attributes),
                )
            )
        self._connection = None
        self._lines = []
        self._attributes = []
