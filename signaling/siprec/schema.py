"""Names of the metadata format in all its generations (RFC 7865 §9, the drafts, and what clients make of them).

Elements are recognised by local name, without regard to case, in the namespaces in use, without a namespace, and
with a prefix that was never declared. Knows nothing of what elements mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lxml import etree

NAMESPACE: Final = "urn:ietf:params:xml:ns:recording:1"
NAMESPACES: Final = frozenset({NAMESPACE, "urn:ietf:params:xml:ns:recording", "urn:ietf:params:xml:ns:siprec"})
"""RFC 7865 §5.1.1, the drafts, and BroadWorks."""

ROOTS: Final = frozenset({"recording", "recording_metadata", "recording-metadata"})

_TIMES: Final = ("associate-time", "disassociate-time")
_ELEMENTS: Final[dict[str, tuple[str, ...]]] = {
    "root": (
        "datamode", "dataMode", "recording", "group", "session", "participant", "stream", "sessionrecordingassoc",
        "participantsessionassoc", "participantstreamassoc", "extensiondata",
    ),
    "group": _TIMES,
    "session": (*_TIMES, "sipSessionID", "reason", "group-ref", "start-time", "stop-time"),
    "participant": (*_TIMES, "nameID", "aor", "send", "recv"),
    "nameid": ("name",),
    "stream": (*_TIMES, "label", "mode"),
    "sessionrecordingassoc": _TIMES,
    "participantsessionassoc": (*_TIMES, "param"),
    "participantstreamassoc": (*_TIMES, "send", "recv"),
}  # fmt: skip
"""What may stand inside each element."""

_ATTRIBUTES: Final = frozenset(
    {
        "group_id", "session_id", "participant_id", "stream_id", "recording_id", "id", "group", "session",
        "participant", "parent", "aor",
    }
)  # fmt: skip

_NAMES: Final = {kind: frozenset([name.lower() for name in names]) for kind, names in _ELEMENTS.items()}

USUAL: Final = {
    kind: {
        (f"{{{namespace}}}{name}" if namespace else name): name.lower()
        for namespace in (*NAMESPACES, "")
        for name in names
    }
    for kind, names in _ELEMENTS.items()
}
"""Whole tags as they usually come, by the kind of the element around them: most are recognised without being taken
apart, and the rest by `role_of`."""


def split_name(tag: str) -> tuple[str, str]:
    """Split a tag into namespace and local name; a prefix that was never declared is dropped."""
    namespace, _, local = tag.rpartition("}")
    return namespace[1:], local.rpartition(":")[2]


def role_of(tag: str, kind: str, namespace: str) -> str:
    """Return the lower-case name of an element that belongs to the format, "" for vendor data.

    Args:
        tag: the element's tag.
        kind: lower-case name of the element around it, or root.
        namespace: what this document uses as namespace of the format.

    """
    usual = USUAL[kind].get(tag)
    if usual is not None:
        return usual
    found, local = split_name(tag)
    name = local.lower()
    return name if name in _NAMES[kind] and (not found or found in NAMESPACES or found == namespace) else ""


def attributes_of(element: etree._Element) -> dict[str, str]:
    """Return the attributes by lower-case local name; an exact spelling counts before one that only resembles it."""
    items: list[tuple[str, str]] = element.items()  # type: ignore[assignment]  # bytes, says the stub; lxml gives none
    attributes = dict(items)
    if not attributes.keys() <= _ATTRIBUTES:
        attributes = {key: value for key, value in items if key in _ATTRIBUTES}
        for key, value in items:
            attributes.setdefault(split_name(key)[1].lower(), value)
    return attributes


def first_of(attributes: dict[str, str], names: Iterable[str]) -> str:
    """Return the first of these attributes without surrounding white space, "" when there is none."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value.strip()
    return ""


def text_of(element: etree._Element) -> str:
    """Return an element's own text without surrounding white space."""
    text = element.text
    return text.strip() if text else ""
