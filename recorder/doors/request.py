"""What every door makes of an INVITE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    participants: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """By m-line position: who speaks on that stream, as far as the door knows."""
    labelled: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By SDP label: the same, where the door binds by label (RFC 7866 section 7.1.1)."""
    warnings: tuple[str, ...] = ()

    def participant(self, index: int, label: str) -> Mapping[str, object] | None:
        """Return who speaks on an m-line; the label decides where there is one."""
        return self.labelled.get(label) or self.participants.get(index)
