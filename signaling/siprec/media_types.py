"""Content types and dispositions as clients write them, and which metadata type to send back.

RFC 7866 §9 names `application/rs-metadata`; the later `application/rs-metadata+xml` is as common, and both arrive
damaged. Does not look into bodies.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec

SDP: Final = "application/sdp"
METADATA: Final = "application/rs-metadata"
METADATA_XML: Final = "application/rs-metadata+xml"
MIXED: Final = "multipart/mixed"
ALTERNATIVE: Final = "multipart/alternative"

ACCEPTED: Final = (SDP, METADATA, METADATA_XML, MIXED)
"""What an Accept header of ours lists, for example in a 415 (RFC 3261 §21.4.13)."""

MAX_HEADER: Final = 1024
"""Characters of one Content-Type or Content-Disposition that are looked at; real ones have below 200."""

MAX_REMEMBERED: Final = 256
"""Fields kept interpreted; all parts of all calls share a dozen values, only boundaries differ."""

_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))')
_ESCAPED: Final = re.compile(r"\\(.)")
_SPACE: Final = re.compile(r"\s+")

# A damaged type may have lost its subtype altogether; the document then has to speak for itself.
_METADATA_TYPES: Final = frozenset({METADATA, METADATA_XML})
_XML_TYPES: Final = frozenset({"application/+xml", "application/xml", "text/xml", "application/"})


class ContentType(msgspec.Struct, frozen=True, gc=False):
    """A Content-Type field, read tolerantly."""

    essence: str
    """Type and subtype in lower case without white space; empty when the field is absent."""
    boundary: str = ""
    charset: str = ""

    @property
    def multipart(self) -> bool:
        """Whether the body consists of parts."""
        return self.essence.startswith("multipart/")

    @property
    def sdp(self) -> bool:
        """Whether the body is a session description."""
        return self.essence == SDP

    @property
    def metadata(self) -> bool:
        """Whether the body is recording metadata by its type alone."""
        return self.essence in _METADATA_TYPES

    @property
    def maybe_metadata(self) -> bool:
        """Whether the type says XML, or says so little that metadata may be meant."""
        return self.essence in _XML_TYPES


class Disposition(msgspec.Struct, frozen=True, gc=False):
    """A Content-Disposition field (RFC 3261 §20.11)."""

    kind: str
    """Disposition type in lower case; empty when the field is absent."""
    required: bool = True
    """False for `handling=optional`; a missing parameter means required (RFC 5621 §8.1)."""


ABSENT: Final = Disposition("")


def parse_content_type(value: str | None) -> ContentType:
    """Read a Content-Type field; never fails, because the body can still be recognised by what it holds."""
    return _content_type(value[:MAX_HEADER]) if value else ContentType("")


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _content_type(value: str) -> ContentType:
    essence, semicolon, _ = value.partition(";")
    essence = _SPACE.sub("", essence).lower()
    if not semicolon:
        return ContentType(essence)
    parameters = _parameters(value)
    return ContentType(essence, parameters.get("boundary", ""), parameters.get("charset", "").lower())


def parse_disposition(value: str | None) -> Disposition:
    """Read a Content-Disposition field; never fails."""
    return _disposition(value[:MAX_HEADER]) if value else ABSENT


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _disposition(value: str) -> Disposition:
    kind, semicolon, _ = value.partition(";")
    handling = _parameters(value).get("handling", "") if semicolon else ""
    return Disposition(kind.strip().lower(), handling.lower() != "optional")


def mirror(received: str | None) -> str:
    """Return the metadata type to send: the one the peer used, `+xml` when it has used none."""
    return METADATA if received is not None and parse_content_type(received).essence == METADATA else METADATA_XML


def _parameters(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        quoted = match[2]
        text = match[3].strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        found.setdefault(match[1].lower(), text)
    return found
