"""An ordered, case-insensitive, immutable list of header fields, RFC 3261 §7.3.

Knows the compact forms. Keeps names as written and values as text without the white space around them; meaning is
given to a value only when somebody asks (`signaling.sip.message`). Does not check values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Self

from signaling.sip.syntax import split_list

_CANONICAL: Final = (
    "Accept", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Authentication-Info", "Authorization",
    "Call-ID", "Call-Info", "Contact", "Content-Disposition", "Content-Encoding", "Content-Language",
    "Content-Length", "Content-Type", "CSeq", "Date", "Error-Info", "Expires", "From", "In-Reply-To", "Max-Forwards",
    "MIME-Version", "Min-Expires", "Organization", "Priority", "Proxy-Authenticate", "Proxy-Authorization",
    "Proxy-Require", "Record-Route", "Reply-To", "Require", "Retry-After", "Route", "Server", "Subject", "Supported",
    "Timestamp", "To", "Unsupported", "User-Agent", "Via", "Warning", "WWW-Authenticate",  # RFC 3261 §20
    "RAck", "RSeq",  # RFC 3262
    "Allow-Events", "Event",  # RFC 6665
    "P-Asserted-Identity", "Reason", "Refer-To", "Referred-By",  # RFC 3325, 3326, 3515, 3892
    "Accept-Contact", "Reject-Contact", "Request-Disposition",  # RFC 3841
    "Min-SE", "Session-Expires",  # RFC 4028
    "Identity", "Identity-Info",  # RFC 4474
    "Session-ID",  # RFC 7989
)  # fmt: skip
_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""IANA registry of SIP header fields, column "compact"."""

_SPELLING: Final = {name.lower(): name for name in _CANONICAL}
KNOWN_KEYS: Final = (
    {name: name.lower() for name in _CANONICAL}
    | {name.lower(): name.lower() for name in _CANONICAL}
    | {name.upper(): name.lower() for name in _CANONICAL}
    | _COMPACT
    | {name.upper(): key for name, key in _COMPACT.items()}
)
"""Spellings that need no work to be looked up; the rest goes through `key_of`."""


def key_of(name: str) -> str:
    """Return the form under which header fields are compared: lower case, compact forms expanded."""
    key = KNOWN_KEYS.get(name)
    if key is None:
        lowered = name.lower()
        key = _COMPACT.get(lowered, lowered)
    return key


def spelling_of(name: str) -> str:
    """Return the spelling that we send: the RFC's for names we know, else as given."""
    return _SPELLING.get(key_of(name), name)


class Headers:
    """Header fields in the order received. Changing methods return a new list.

    Equality ignores the case and the compactness of names, not the order of fields nor the text of values.
    """

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: tuple[tuple[str, str], ...] = tuple(items)
        index: dict[str, list[str]] = {}
        for name, value in self._items:
            index.setdefault(key_of(name), []).append(value)
        self._index = index

    @classmethod
    def indexed(cls, items: Iterable[tuple[str, str]], index: dict[str, list[str]]) -> Self:
        """Make one from `items` and the index the parser has built of them on the way; it must not be used again."""
        headers = cls.__new__(cls)
        headers._items = tuple(items)
        headers._index = index
        return headers

    def get(self, name: str) -> str | None:
        """Return the value of the first field called `name`, or None."""
        values = self._index.get(key_of(name))
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return the values of all fields called `name`, in order, not split at commas."""
        return tuple(self._index.get(key_of(name), ()))

    def get_list(self, name: str) -> list[str]:
        """Return the comma-separated elements of all fields called `name`, in order, empty ones left out.

        Raises:
            SipSyntaxError: a quoted string or an angle bracket is not closed.

        """
        values = self._index.get(key_of(name), ())
        return [element for value in values for element in split_list(value, name) if element]

    def appending(self, name: str, value: str) -> Self:
        """Return a copy with one more field at the end."""
        return type(self)((*self._items, (name, value)))

    def prepending(self, name: str, value: str) -> Self:
        """Return a copy with one more field at the start, where Via and Record-Route are pushed."""
        return type(self)(((name, value), *self._items))

    def replacing(self, name: str, value: str) -> Self:
        """Return a copy in which the first field called `name` says `value` and others of that name are gone.

        Without such a field it is put at the end.
        """
        key = key_of(name)
        if key not in self._index:
            return self.appending(name, value)
        items: list[tuple[str, str]] = []
        placed = False
        for item in self._items:
            if key_of(item[0]) != key:
                items.append(item)
            elif not placed:
                items.append((item[0], value))
                placed = True
        return type(self)(items)

    def replacing_first(self, name: str, value: str) -> Self:
        """Return a copy in which the first field called `name` says `value`; others of that name stay."""
        key = key_of(name)
        items = list(self._items)
        for position, item in enumerate(items):
            if key_of(item[0]) == key:
                items[position] = (item[0], value)
                break
        return type(self)(items)

    def without(self, name: str) -> Self:
        """Return a copy that has no field called `name`."""
        key = key_of(name)
        return type(self)(item for item in self._items if key_of(item[0]) != key)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and key_of(name) in self._index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _comparable(self) -> list[tuple[str, str]]:
        return [(key_of(name), value) for name, value in self._items]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and (self._items == other._items or self._comparable() == other._comparable())

    def __hash__(self) -> int:
        return hash(tuple(self._comparable()))

    def __repr__(self) -> str:
        return f"Headers({list(self._items)!r})"
