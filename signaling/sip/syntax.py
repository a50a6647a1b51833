"""Tokens, quoted strings, comma lists and parameters: the lexical layer of SIP, RFC 3261 §25.1.

Every function is linear in its input and keeps no state. Scans go from one special character to the next; no
pattern here can backtrack. Values are `str` decoded with surrogateescape, so that any byte survives a round trip.
Does not know which header field it is looking at: callers pass the name for the error.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from typing import Final, Self

from signaling.errors import LocalProtocolError, SipSyntaxError

WHITESPACE: Final = " \t"
"""Linear white space once folding is undone (RFC 3261 §7.3.1)."""

TOKEN: Final = frozenset(string.ascii_letters + string.digits + "-.!%*_+`'~")
"""Characters of `token`, RFC 3261 §25.1."""

_VALUE: Final = TOKEN | frozenset("[]:")
"""Characters of an unquoted `gen-value`: token or host (RFC 3261 §25.1)."""

# One character class each: a search cannot backtrack.
_LIST_SPECIAL: Final = re.compile(r'[",<>]')
_PARAM_SPECIAL: Final = re.compile(r'[";]')
_QUOTE_SPECIAL: Final = re.compile(r'["\\]')
_GAP: Final = re.compile(r"[ \t]")


def is_token(text: str) -> bool:
    """Say whether `text` is a non-empty token."""
    return bool(text) and TOKEN.issuperset(text)


def end_of_quoted(text: str, start: int, header: str) -> int:
    """Return the index just behind the quoted string that opens at `start`.

    Raises:
        SipSyntaxError: the string is not closed.

    """
    position = start + 1
    while found := _QUOTE_SPECIAL.search(text, position):
        if found[0] == '"':
            return found.end()
        position = found.end() + 1  # quoted-pair: the next character stands for itself
    raise SipSyntaxError(400, header, start, "quoted string is not closed")


def unquote(text: str) -> str:
    r"""Return what a quoted string says, without quotes and without the backslashes of quoted pairs."""
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    pieces: list[str] = []
    position = 0
    while (found := inner.find("\\", position)) >= 0:
        pieces.append(inner[position:found])
        pieces.append(inner[found + 1 : found + 2])
        position = found + 2
    pieces.append(inner[position:])
    return "".join(pieces)


def quote(text: str) -> str:
    """Return `text` as a quoted string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def split_list(text: str, header: str) -> list[str]:
    """Split a comma-separated field value into its elements, stripped (RFC 3261 §7.3.1).

    Commas inside quoted strings and inside angle brackets do not separate. Empty elements are returned as empty
    strings: what they mean depends on the header field.

    Raises:
        SipSyntaxError: a quoted string or an angle bracket is not closed.

    """
    if "," not in text:
        return [text.strip(WHITESPACE)]
    if '"' not in text and "<" not in text:
        return [element.strip(WHITESPACE) for element in text.split(",")]
    elements: list[str] = []
    start = position = 0
    opened = -1
    while found := _LIST_SPECIAL.search(text, position):
        position = found.end()
        match found[0]:
            case '"' if opened < 0:
                position = end_of_quoted(text, found.start(), header)
            case "<" if opened < 0:
                opened = found.start()
            case ">":
                opened = -1
            case "," if opened < 0:
                elements.append(text[start : found.start()].strip(WHITESPACE))
                start = position
            case _:
                pass  # a character that has no meaning inside the brackets
    if opened >= 0:
        raise SipSyntaxError(400, header, opened, "angle bracket is not closed")
    elements.append(text[start:].strip(WHITESPACE))
    return elements


def split_params(text: str, header: str) -> list[str]:
    """Split `text` at the semicolons that are outside quoted strings; pieces are stripped.

    Raises:
        SipSyntaxError: a quoted string is not closed.

    """
    if '"' not in text:
        return [piece.strip(WHITESPACE) for piece in text.split(";")]
    pieces: list[str] = []
    start = position = 0
    while found := _PARAM_SPECIAL.search(text, position):
        position = found.end()
        if found[0] == '"':
            position = end_of_quoted(text, found.start(), header)
        else:
            pieces.append(text[start : found.start()].strip(WHITESPACE))
            start = position
    pieces.append(text[start:].strip(WHITESPACE))
    return pieces


class Params:
    """Parameters in the order received: `;name=value` and `;name`.

    Lookup ignores the case of names (RFC 3261 §7.3.1). Values are kept as written, quotes included, so that they
    can be written out again; `get` returns what a quoted one says.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str | None]] = ()) -> None:
        self._items = tuple(items)

    @classmethod
    def parse(cls, text: str, header: str, offset: int = 0) -> Self:
        """Read `text`, which is empty or starts with a semicolon.

        One semicolon too many at the very end is forgiven. `offset` is added to the offsets of errors.

        Raises:
            SipSyntaxError: something stands before the first semicolon, or a parameter has no name.

        """
        if not text:
            return cls()
        pieces = split_params(text, header)
        if pieces[0]:
            raise SipSyntaxError(400, header, offset, "expected a semicolon")
        if len(pieces) > 1 and not pieces[-1]:
            pieces.pop()
        items: list[tuple[str, str | None]] = []
        for piece in pieces[1:]:
            name, equals, value = piece.partition("=")
            if " " in piece or "\t" in piece:
                name, value = name.rstrip(WHITESPACE), value.lstrip(WHITESPACE)
                if _GAP.search(name) or (not value.startswith('"') and _GAP.search(value)):
                    raise SipSyntaxError(400, header, offset + text.find(piece), "white space inside a parameter")
            if not name:
                raise SipSyntaxError(400, header, offset, "parameter without a name")
            if value.startswith('"') and end_of_quoted(value, 0, header) != len(value):
                raise SipSyntaxError(400, header, offset + text.find(piece), "text after a quoted value")
            items.append((name, value if equals else None))
        return cls(items)

    def get(self, name: str) -> str | None:
        """Return the value of the first parameter `name`, unquoted; "" if it has no value, None if it is absent."""
        wanted = name.lower()
        for key, value in self._items:
            if key.lower() == wanted:
                if not value:
                    return ""
                return unquote(value) if value[0] == '"' else value
        return None

    def having(self, name: str, value: str | None = None) -> Self:
        """Return a copy in which parameter `name` says `value`, in its old place or at the end.

        The value is quoted if it needs it; None makes a parameter without a value.

        Raises:
            LocalProtocolError: the name is not a token.

        """
        if not is_token(name):
            raise LocalProtocolError("a parameter name must be a token")
        if value is not None and not (value and _VALUE.issuperset(value)):
            value = quote(value)
        wanted = name.lower()
        items: list[tuple[str, str | None]] = []
        placed = False
        for item in self._items:
            if item[0].lower() != wanted:
                items.append(item)
            elif not placed:
                items.append((name, value))
                placed = True
        if not placed:
            items.append((name, value))
        return type(self)(items)

    def without(self, name: str) -> Self:
        """Return a copy that has no parameter `name`."""
        wanted = name.lower()
        return type(self)(item for item in self._items if item[0].lower() != wanted)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __str__(self) -> str:
        return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self._items)

    def __repr__(self) -> str:
        return f"Params({str(self)!r})"


NO_PARAMS: Final = Params()
"""The empty list, shared by values that have no parameters."""
