"""What a caller tells its driver: the life of one call as events. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal

from recorder.simulator.session_text import StreamTarget

NO_ANSWER: Final = 408
"""Status that stands for a transaction that timed out (RFC 3261 section 8.1.3.1)."""
UNREACHABLE: Final = 503
"""Status that stands for a transport failure (same section)."""


class Purpose(enum.Enum):
    """What a request of ours is for."""

    OPEN = "open"
    PAUSE = "pause"
    RESUME = "resume"
    REFRESH = "refresh"
    HANG_UP = "hang up"
    CANCEL = "cancel"


class Phase(enum.Enum):
    """Where the call is."""

    IDLE = enum.auto()
    CALLING = enum.auto()
    ESTABLISHED = enum.auto()
    ENDING = enum.auto()
    OVER = enum.auto()


@dataclass(frozen=True, slots=True)
class Answered:
    """The session stands; RTP may go to these targets, by m-line."""

    targets: tuple[StreamTarget, ...]


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """The recorder wants RTP elsewhere, or no longer, or again, from now on."""

    targets: tuple[StreamTarget, ...]
    method: str
    """Of the request that said so."""


@dataclass(frozen=True, slots=True)
class PauseAgreed:
    """The recorder has agreed to record no more (`paused`), or again."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A request of ours failed."""

    purpose: Purpose
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Something worth a note; it changes nothing."""

    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Over:
    """The call is over."""

    cause: Literal["bye", "recorder", "refused", "lost"]
    """Our BYE, the recorder's BYE, the INVITE was refused, or the dialog was found dead."""


CallEvent = Answered | MediaChanged | PauseAgreed | Refused | Observed | Over
