"""What callers hand to the catalog and get back about copies of a call: plain frozen values, no SQL.

Which recordings are copies is decided by the caller; the catalog keeps what was found and what was decided.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.catalog.ledger import PartyLedger
from storage.catalog.records import CallFacts, Door, RecordingState, RenderedFile, RenderedGap, Role
from storage.catalog.views import GapView

PAIR: Final = "pair"
"""Job kind: decide about the pairs of one group; dedupe key is the group."""
HEAL: Final = "heal"
"""Job kind: make the healed masters of one group; dedupe key is the group."""


class CopyState(enum.StrEnum):
    """What is known of a pair of recordings, or of a recording in its group."""

    CANDIDATE = "candidate"
    """The call data say that it may be a copy; the sound was not compared yet."""
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    UNDECIDED = "undecided"
    """The sound was compared and proves neither."""


class Decider(enum.StrEnum):
    """Who decided about a pair."""

    AUDIO = "audio"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFacts:
    """What pairing knows of a recording, finished or not."""

    recording_id: UUID
    record_identifier: str
    door: Door
    call: CallFacts
    parameters: tuple[tuple[str, str], ...]
    """Call data as received, in order."""
    started_at: datetime
    ended_at: datetime | None
    """None while it is being recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRecording:
    """A recording for which copies are to be looked for."""

    facts: RecordingFacts
    version: str
    """Of the row that was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A recording that has a key in common with another one."""

    facts: RecordingFacts
    key_kind: str
    key_value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPair:
    """Two recordings that may be copies; `one` has the lower id."""

    group_id: UUID
    one: UUID
    other: UUID
    state: CopyState
    key_kind: str
    """Of the key that joined them; `operator` if a person did."""
    key_reason: str
    reason: str
    """Of the state, in words and figures; empty for a candidate."""
    decided_by: Decider | None
    decided_at: datetime | None
    base: UUID | None
    """The one of the two whose timeline `comparison` is on."""
    comparison: Mapping[str, object] | None
    one_sha256: bytes | None
    """Of the files that were compared."""
    other_sha256: bytes | None
    noted_at: datetime

    @property
    def both(self) -> frozenset[UUID]:
        """The two recordings."""
        return frozenset((self.one, self.other))


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyMember:
    """A recording in a group."""

    group_id: UUID
    recording_id: UUID
    record_identifier: str
    door: Door
    role: Role
    master_id: UUID | None
    state: RecordingState
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    sha256: bytes | None
    """Of its finished file; None without one."""
    position: int | None
    """Among the sources of its master; 0 is the best. None when it is in none."""
    offset_s: float | None
    """Of its beginning from the master's, seconds."""
    given_s: float | None
    """Audio that the master has from it, all parties together, seconds."""

    @property
    def finished(self) -> bool:
        """Whether its audio will not change unless the recording goes on."""
        return self.state not in (RecordingState.RECORDING, RecordingState.FINALISING)

    @property
    def deleted(self) -> bool:
        """Whether its audio is gone on purpose, or about to be."""
        return self.state in (RecordingState.DELETING, RecordingState.DELETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyGroup:
    """Recordings that pairs connect."""

    group_id: UUID
    members: tuple[CopyMember, ...]
    """By the time of their beginning."""
    pairs: tuple[CopyPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDecision:
    """What became of a pair."""

    one: UUID
    other: UUID
    state: CopyState
    reason: str
    base: UUID | None = None
    comparison: Mapping[str, object] | None = None
    one_sha256: bytes | None = None
    other_sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedAudio:
    """The finished file of a recording."""

    store: str
    path: str
    format: str
    sample_rate: int
    channels: int
    frames: int
    sha256: bytes
    started_at: datetime
    """Wall clock of frame 0."""
    recorded: Mapping[int, Sequence[tuple[int, int]]]
    """Per party, the frames that hold received audio, as the ledger has them."""
    gaps: tuple[GapView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSource:
    """A copy that a healed master was made from."""

    recording_id: UUID
    sha256: bytes | None
    """None for a copy without audio."""
    offset_s: float | None
    given_s: float
    placed: Mapping[str, object] | None = None
    """Where each of its parties lies on the master, as the caller wrote it; None where sound does not show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceInterval:
    """A stretch of one party of a healed master, and where it comes from; seconds, exact to the frame."""

    party: int
    start_s: float
    duration_s: float
    copy_id: UUID
    copy_party: int
    copy_start_s: float
    exact: bool
    """Samples as they are, moved by whole frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedRecording:
    """A master that is to be published."""

    recording_id: UUID
    sources: tuple[MasterSource, ...]
    """Best copy first."""
    state: RecordingState
    started_at: datetime
    duration_s: float
    file: RenderedFile
    gaps: tuple[RenderedGap, ...]
    provenance: tuple[ProvenanceInterval, ...]
    ledger: tuple[PartyLedger, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a recording is among copies."""

    role: Role
    master_id: UUID | None
    copies: tuple[UUID, ...]
    """That it stands for."""
