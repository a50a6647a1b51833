"""What every door makes of an INVITE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from signaling.sdp import SessionDescription
from signaling.siprec import RecordingSession
from storage.catalog.records import CallFacts, Door

_FACTS: Final = CallFacts.__struct_fields__


def well_formed(text: str) -> str:
    """Return text that can be stored and sent on: bytes that are no UTF-8 become visible escapes, nothing is lost."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_well_formed(value: object) -> bool:
    """Say whether all texts of a value can be stored and sent on as they are: the rule, told in one go."""
    try:
        msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _well_formed(value: object) -> object:
    if isinstance(value, str):
        return value if value.isascii() else well_formed(value)
    if isinstance(value, tuple):
        return tuple([_well_formed(one) for one in value])
    if isinstance(value, list):
        return [_well_formed(one) for one in value]
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(one) for key, one in value.items()}
    return value


def _well_formed_facts(call: CallFacts) -> CallFacts:
    strange = {name: well_formed(text) for name in _FACTS if (text := getattr(call, name)) and not text.isascii()}
    return msgspec.structs.replace(call, **strange) if strange else call


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataDocument:
    """A metadata document as it came."""

    content_type: str
    body: bytes
    charset: str | None = None
    """Of the MIME part; it overrides the XML declaration (RFC 7865 section 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRequest:
    """One recording session that a client asks for. All of its texts are well-formed, whatever the client sent."""

    door: Door
    record_identifier: str
    """Names the recording; sessions that bring the same one continue it."""
    call: CallFacts
    parameters: tuple[tuple[str, str], ...] = ()
    """Call data as received, in order."""
    offer: SessionDescription | None
    """None when the client wants our offer in the 2xx (RFC 3261 section 13.2.1)."""
    metadata: MetadataDocument | None = None
    metadata_state: RecordingSession | None = None
    """What the metadata add up to; partial updates are applied to it."""
    participants: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """By m-line position: who speaks on that stream, as far as the door knows."""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _is_well_formed((self.call, self.record_identifier, self.parameters, self.participants, self.warnings)):
            return
        object.__setattr__(self, "call", _well_formed_facts(self.call))
        for name in ("record_identifier", "parameters", "participants", "warnings"):
            object.__setattr__(self, name, _well_formed(getattr(self, name)))
