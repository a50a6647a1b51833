"""Turns metadata bytes into an element tree without trusting them (RFC 7865 §5.1, XML 1.0).

No DTD, no entities, no network; size and number of tags are limited before the parser sees anything. Documents that
are not well formed are repaired where the repair is certain, else read as far as possible, and doubted. Knows
nothing of the elements (see `metadata`).
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from signaling.siprec.errors import MetadataError
from signaling.siprec.model import Doubt, Doubted

MAX_BYTES: Final = 1 << 18
"""256 KiB: four times the largest UDP message; a snapshot of a 64-party conference has about 100 kB."""

MAX_TAGS: Final = 20_000
"""Opening tags, closing tags and references together; that conference has about 2,000."""

# A MIME charset or an encoding declaration may name any codec of Python, and some of those take quadratic time.
_ENCODINGS: Final = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1", "latin1": "latin-1", "latin-1": "latin-1",
    "iso-8859-15": "iso8859-15", "windows-1252": "cp1252", "cp1252": "cp1252",
}  # fmt: skip

_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DECLARED: Final = re.compile(rb"""^\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")

# Everything that begins with "<!" but comments and CDATA belongs to a DTD.
_DTD: Final = re.compile(rb"<!(?!--|\[CDATA\[)")

_CDATA: Final = b"<![CDATA["
_STRAY: Final = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)|<(?=(?:sips?|tel):)", re.I)


def _hardened(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        recover=recover,
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


_STRICT: Final = _hardened(recover=False)
_RECOVERING: Final = _hardened(recover=True)


def parse_document(raw: bytes, charset: str | None, doubts: list[Doubted]) -> etree._Element:
    """Read a document and return its root element.

    Args:
        raw: the part's bytes.
        charset: the `charset` parameter of its Content-Type; it overrides the declaration (RFC 7865 §5.1).
        doubts: receives what had to be forgiven.

    Raises:
        MetadataError: too large, a DTD, or nothing that resembles XML.

    """
    if len(raw) > MAX_BYTES:
        raise MetadataError("metadata document too large")
    data = _as_utf8(raw, charset, doubts)
    if data.count(b"<") + data.count(b"&") > MAX_TAGS:
        raise MetadataError("metadata document has too many tags")
    if b"<!" in data and _DTD.search(data):
        raise MetadataError("metadata document has a DTD")
    try:
        return etree.fromstring(data, _STRICT)
    except etree.XMLSyntaxError as error:
        doubts.append(Doubted(Doubt.NOT_WELL_FORMED))
        line = error.lineno or 0
    return _repaired(data, line)


def _repaired(data: bytes, line: int) -> etree._Element:
    """Read a broken document: first with unescaped addresses mended, then as far as the parser gets."""
    escaped = _escape_strays(data)
    for parser in (_STRICT, _RECOVERING):
        try:
            # The stubs miss that a recovering parser gives None for text that holds no element at all.
            root: etree._Element | None = etree.fromstring(escaped, parser)
        except etree.XMLSyntaxError:
            continue
        if root is not None:
            return root
    raise MetadataError("metadata document is not XML", line=line)


def _escape_strays(data: bytes) -> bytes:
    """Escape ampersands and `<sip:` that stand for themselves, but not inside CDATA."""
    pieces = data.split(_CDATA)
    for index, piece in enumerate(pieces):
        inside, end, outside = piece.partition(b"]]>") if index else (b"", b"", piece)
        pieces[index] = inside + end + _STRAY.sub(lambda match: b"&amp;" if match[0] == b"&" else b"&lt;", outside)
    return _CDATA.join(pieces)


def _as_utf8(raw: bytes, charset: str | None, doubts: list[Doubted]) -> bytes:
    encoding = _encoding(raw, charset, doubts)
    if encoding != "utf-8":
        text = raw.decode(encoding, "replace")
        if "\ufffd" in text:
            doubts.append(Doubted(Doubt.BAD_CHARACTERS))
        return text.lstrip("\ufeff \t\r\n").encode("utf-8")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        doubts.append(Doubted(Doubt.BAD_CHARACTERS))
        raw = raw.decode("utf-8", "replace").encode("utf-8")
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")


def _encoding(raw: bytes, charset: str | None, doubts: list[Doubted]) -> str:
    if charset:
        known = _ENCODINGS.get(charset.lower())
        if known is not None:
            return known
        doubts.append(Doubted(Doubt.UNKNOWN_CHARSET, charset))
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return encoding
    declared = _DECLARED.match(raw[:256])
    if declared is None:
        return "utf-8"
    name = declared[1].decode("ascii")
    # A declaration that can be read as ASCII proves that the document is not UTF-16, whatever it says.
    known = _ENCODINGS.get(name.lower())
    if known is None or known.startswith("utf-16"):
        doubts.append(Doubted(Doubt.UNKNOWN_CHARSET, name))
        return "utf-8"
    return known
