"""Text from the network in a form that PostgreSQL can hold: pure and without loss.

PostgreSQL's text and jsonb cannot hold NUL, and UTF-8 has no lone surrogates (which is how undecodable bytes travel in
Python). Both are escaped, because a strange byte in a header must never cost a recording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

ESCAPE: Final = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff\N{REPLACEMENT CHARACTER}]")

KEY_LIMIT: Final = 512
"""Characters of an indexed value: at 4 bytes each it stays below the 2,704 bytes of a b-tree entry."""


def storable(text: str) -> str:
    """Escape what PostgreSQL cannot hold as U+FFFD and four hexadecimal digits.

    Different inputs give different outputs (U+FFFD itself is escaped too); text without such characters is unchanged.
    """
    return _UNSTORABLE.sub(lambda match: f"{ESCAPE}{ord(match[0]):04X}", text)


def key(text: str) -> str:
    """`storable`, and bounded: what is too long for an index keeps its beginning and gets its SHA-256 at the end."""
    if text.isascii() and text.isprintable() and len(text) <= KEY_LIMIT:
        return text  # as nearly always
    stored = storable(text)
    if len(stored) <= KEY_LIMIT:
        return stored
    return f"{stored[: KEY_LIMIT - 65]}~{hashlib.sha256(stored.encode()).hexdigest()}"


def optional_key(text: str | None) -> str | None:
    """`key` for a value that may be absent."""
    return None if text is None else key(text)


def storable_json(value: object) -> object:
    """Apply `storable` to all text inside lists and mappings, keys included; other values pass unchanged."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): storable_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item) for item in value]
    return value
