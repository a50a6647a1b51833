"""What every door makes of an INVITE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from signaling.siprec import RecordingSession
from storage.catalog.records import CallFacts, Door


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataDocument:
    """A metadata document as it came."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRequest:
    """One recording session that a client asks for."""

    door: Door
    record_identifier: str
    """Names the recording; sessions that bring the same one continue it."""
    call: CallFacts
    parameters: tuple[tuple[str, str], ...] = ()
    """Call data as received, in order."""
    offer: bytes | None
    """SDP; None when the client wants our offer in the 2xx (RFC 3261 section 13.2.1)."""
    metadata: MetadataDocument | None = None
    metadata_state: RecordingSession | None = None
    """What the metadata add up to; partial updates are applied to it."""
    participants: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """By m-line position: who speaks on that stream, as far as the door knows."""
    warnings: tuple[str, ...] = ()
