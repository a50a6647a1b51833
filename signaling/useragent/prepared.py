"""Responses and requests that are built but not sent: "checkpoint before promise", RFC 3261 §12.2.2.

Building changes nothing. The caller makes `snapshot` durable and then commits with `UserAgent.send`, so that no
promise leaves that a takeover would not know of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from signaling.dialog.dialog import end, promise, refresh_target, remember_capabilities
from signaling.dialog.session_timer import SessionInterval
from signaling.dialog.state import DialogState, Phase
from signaling.sip import Request
from signaling.useragent.exchange import Draft


class Acceptance(msgspec.Struct):
    """What a 2xx to an INVITE, re-INVITE or UPDATE does to the dialog."""

    request: Request
    data: bytes
    """The response."""
    session: SessionInterval | None
    minimum_interval: int
    """Seconds; Min-SE of the request, 0 without one."""
    description: bytes
    """Session description in the response, or empty."""
    recording: bool
    reserved: int
    """Highest CSeq number of ours that the snapshot reserves."""

    def apply(self, state: DialogState) -> None:
        """Carry it out on `state`, which may have moved on since the response was built."""
        initial = state.phase is Phase.EARLY
        state.phase = Phase.CONFIRMED
        if not initial:
            refresh_target(state, self.request)
            remember_capabilities(state, self.request)
        state.session = self.session
        state.minimum_interval = max(state.minimum_interval, self.minimum_interval)
        state.recording = self.recording
        if self.description:
            state.local_description = self.description
        promise(state, self.data, acknowledged=self.request.method != "INVITE")


class Farewell(msgspec.Struct, frozen=True):
    """What a 2xx to a BYE does to the dialog."""

    data: bytes

    def apply(self, state: DialogState) -> None:
        """Carry it out on `state`."""
        end(state)
        promise(state, self.data, acknowledged=True)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a reliable provisional response does (RFC 3262 §3)."""

    rseq: int
    data: bytes
    """The response."""
    described: bool
    """It carries a session description."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A response that is ready to be sent. Nothing has happened yet; it may be dropped."""

    request_id: str
    dialog_id: str | None
    status: int
    data: bytes
    """The exact bytes; every repetition and every process will send these."""
    snapshot: bytes | None = None
    """The dialog as it will be once this is sent; None if sending it promises nothing."""
    change: Acceptance | Farewell | Announcement | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request of ours that is ready to be sent. Nothing has happened yet; it may be dropped."""

    request_id: str
    dialog_id: str
    draft: Draft
    snapshot: bytes
    """The dialog with the number of this request reserved, and with the re-INVITE under way if it is one."""
