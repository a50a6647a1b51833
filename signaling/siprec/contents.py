"""Finds the session description and the metadata in a recording session's message (RFC 7866 §9, RFC 5621 §8).

Reports parts that would have to be understood and are not, so that the caller can answer 415 with `ACCEPTED`. Does
not parse the description or the document.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from signaling.siprec.bodies import Body, BodyDoubt, Part

_SNIFFED: Final = 1024
"""Bytes looked at to tell metadata from other XML; the root element comes within the first 200."""

_BY_REFERENCE: Final = "by-reference"
_SESSION_DISPOSITIONS: Final = frozenset({"", "session", "render"})


class ContentDoubt(enum.StrEnum):
    """Peculiarities of what was found."""

    SEVERAL_DESCRIPTIONS = "several-session-descriptions"
    SEVERAL_DOCUMENTS = "several-metadata-documents"
    DAMAGED_TYPE = "damaged-metadata-type"


class Contents(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one message of a recording session carries."""

    description: Part | None = None
    """The session description, or None."""
    metadata: Part | None = None
    """The metadata document, or None."""
    others: tuple[Part, ...] = ()
    """Parts of other kinds that need not be understood."""
    unsupported: tuple[Part, ...] = ()
    """Parts whose handling is required and that we do not understand: answer 415 with Accept."""
    doubts: tuple[BodyDoubt | ContentDoubt, ...] = ()


def find_contents(body: Body) -> Contents:
    """Sort the parts of a message body."""
    descriptions: list[Part] = []
    documents: list[Part] = []
    others: list[Part] = []
    unsupported: list[Part] = []
    doubts: list[BodyDoubt | ContentDoubt] = list(body.doubts)
    understood = {part.alternative for part in body.parts if part.alternative and _understood(part)}
    for part in body.parts:
        if part.disposition.kind != _BY_REFERENCE and _understood(part):
            if part.content_type.sdp:
                descriptions.append(part)
            else:
                documents.append(part)
                if not part.content_type.metadata:
                    doubts.append(ContentDoubt.DAMAGED_TYPE)
        elif part.disposition.required and part.alternative not in understood:
            # RFC 5621 §9.4: a part to be handled by a reference that we did not find is an error if required.
            unsupported.append(part)
        else:
            others.append(part)
    if len(descriptions) > 1 and not all(part.alternative for part in descriptions):
        doubts.append(ContentDoubt.SEVERAL_DESCRIPTIONS)
    if len(documents) > 1:
        doubts.append(ContentDoubt.SEVERAL_DOCUMENTS)
    return Contents(
        description=_best(descriptions),
        metadata=documents[0] if documents else None,
        others=tuple(others),
        unsupported=tuple(unsupported),
        doubts=tuple(doubts),
    )


def _understood(part: Part) -> bool:
    content_type = part.content_type
    return content_type.sdp or content_type.metadata or (content_type.maybe_metadata and _looks_like_metadata(part))


def _looks_like_metadata(part: Part) -> bool:
    return b"recording" in part.content[:_SNIFFED].lower()


def _best(descriptions: list[Part]) -> Part | None:
    """Return the first description that is meant for the session; of alternatives the last (RFC 5621 §6.1)."""
    if not descriptions:
        return None
    meant = [part for part in descriptions if part.disposition.kind in _SESSION_DISPOSITIONS] or descriptions
    if meant[0].alternative:
        return [part for part in meant if part.alternative == meant[0].alternative][-1]
    return meant[0]
