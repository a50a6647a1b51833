"""The trace of each recording session: every SIP message of its dialog, kept in the catalog, never waited for.

Messages are taken in memory, at the cost of one append, and written in batches by a task of its own. What cannot be
written in time is dropped and counted: a trace is an aid, the recording is the evidence. Secrets are masked before
they leave this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import structlog

from recorder.edge.masking import without_metadata, without_secrets
from signaling.useragent import Destination, Flow, Traced
from storage.catalog.records import SipMessageTrace
from storage.errors import StaleEpoch, StorageError

_log = structlog.get_logger()

MAX_BYTES: Final = 64 << 20
"""Of all messages that wait; three seconds of the fastest signalling, or minutes of a database that is away."""
MAX_BATCH: Final = 250
"""Messages of one statement. Preparing them holds the loop for 4 ms; a second of fast signalling at once took 40 ms."""
MAX_ALIKE: Final = 3
"""Of one message that is repeated before it is written: more tell nothing, and an overloaded recorder, whose clients
repeat everything, would be busy with keeping them."""
_TICK_S: Final = 1.0
_SETTLED_S: Final = 1.5
"""A set-up and an end are over by then: each session costs two batches instead of one per message."""
_LATE_S: Final = 35.0
"""Time after its end for which messages of a dialog still come: 64*T1 and some."""
_UNBOUND_S: Final = 60.0
"""Time after which messages that became no session are forgotten; an INVITE that was refused, for example."""
_GIVE_UP_S: Final = 600.0
"""Time after its end for which a session's messages wait for its row in the catalog."""
_CLOSING_S: Final = 3.0
_WAYS_REMEMBERED: Final = 1024
"""Descriptions of the ways that messages come and go by; a site has a handful of clients."""

Store = Callable[[Sequence[tuple[UUID, SipMessageTrace]]], Awaitable[set[UUID]]]
"""Writes a batch and returns the segments that exist."""


@dataclass(slots=True)
class _Trail:
    """Messages of one dialog that are not written yet."""

    segment: UUID | None = None
    """Set once the session has ended."""
    ended_at: float | None = None
    latest: float = 0.0
    """Monotonic seconds of the latest message."""
    messages: list[SipMessageTrace] = field(default_factory=list)

    def alike(self, message: bytes, *, inbound: bool) -> int:
        """Return how often it holds a message already."""
        return sum(kept.message == message and kept.inbound is inbound for kept in self.messages)


class Tracer:
    """The traces of one frontend.

    Args:
        store: writes to the catalog.
        segment_of: names the segment of a live dialog, None for others.
        keep_metadata: keep the metadata that messages bring, or only their digests (RFC 7865 section 10).
        clock: monotonic seconds.
        wall_clock: now.

    """

    def __init__(
        self,
        store: Store,
        *,
        segment_of: Callable[[str], UUID | None],
        keep_metadata: bool,
        clock: Callable[[], float],
        wall_clock: Callable[[], datetime],
    ) -> None:
        self.dropped = 0
        """Messages that were never written."""
        self._store = store
        self._segment_of = segment_of
        self._keep_metadata = keep_metadata
        self._clock = clock
        self._wall_clock = wall_clock
        self._trails: dict[str, _Trail] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many messages wait."""
        return sum(len(trail.messages) for trail in self._trails.values())

    def take(self, event: Traced) -> None:
        """Keep a message; returns at once."""
        if event.dialog_id is None:
            return
        if self._bytes + len(event.data) > MAX_BYTES:
            self.dropped += 1
            return
        trail = self._trails.get(event.dialog_id)
        if trail is None:
            trail = self._trails[event.dialog_id] = _Trail()
        trail.latest = self._clock()
        inbound = event.direction == "in"
        if len(trail.messages) >= MAX_ALIKE and trail.alike(event.data, inbound=inbound) >= MAX_ALIKE:
            return
        self._bytes += len(event.data)
        trail.messages.append(
            SipMessageTrace(at=self._wall_clock(), inbound=inbound, flow=_describe(event.flow), message=event.data)
        )

    def ended(self, dialog_id: str, segment: UUID) -> None:
        """Remember whose the last messages of a dialog are."""
        trail = self._trails.setdefault(dialog_id, _Trail())
        trail.segment, trail.ended_at = segment, self._clock()

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        told = 0
        while True:
            await asyncio.sleep(_TICK_S)
            await self.write(settled_for=_SETTLED_S)
            if self.dropped > told:
                _log.warning("sip messages not kept for their traces", messages=self.dropped - told)
                told = self.dropped

    async def aclose(self) -> None:
        """Write what is left, within a few seconds."""
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self.write(settled_for=0.0)
        except (TimeoutError, StaleEpoch):
            self.dropped += len(self)

    async def write(self, *, settled_for: float) -> None:
        """Write the messages of sessions that have been quiet for so many seconds.

        Raises:
            StaleEpoch: another frontend is active.

        """
        now = self._clock()
        batch: list[tuple[str, UUID]] = []
        size = 0
        for dialog_id, trail in list(self._trails.items()):
            segment = trail.segment or self._segment_of(dialog_id)
            over = _is_over(trail, segment, now)
            if trail.messages and segment is not None and now - trail.latest >= settled_for and not over:
                batch.append((dialog_id, segment))
                size += len(trail.messages)
                if size >= MAX_BATCH:
                    if not await self._write_batch(batch):
                        return
                    batch, size = [], 0
            elif over:
                self._forget(dialog_id)
        if batch:
            await self._write_batch(batch)

    async def _write_batch(self, batch: Sequence[tuple[str, UUID]]) -> bool:
        """Write the messages of some dialogs; False if the catalog does not take any now."""
        rows: list[tuple[UUID, SipMessageTrace]] = []
        counts: dict[str, int] = {}
        for dialog_id, segment in batch:
            messages = self._trails[dialog_id].messages
            counts[dialog_id] = len(messages)
            rows += ((segment, self._masked(message)) for message in messages)
        try:
            known = await self._store(rows)
        except StaleEpoch:
            raise
        except StorageError:
            return False  # they wait; the checkpoints' own error says what is wrong
        for dialog_id, segment in batch:
            # A segment that is still in the journal has to wait until the catalog has it.
            if segment in known and dialog_id in self._trails:
                self._drop(self._trails[dialog_id], counts[dialog_id])
        return True

    def _masked(self, message: SipMessageTrace) -> SipMessageTrace:
        data = without_secrets(message.message)
        if not self._keep_metadata:
            data = without_metadata(data)
        if data is message.message:
            return message
        return SipMessageTrace(at=message.at, inbound=message.inbound, flow=message.flow, message=data)

    def _drop(self, trail: _Trail, count: int) -> None:
        self._bytes -= sum(len(message.message) for message in trail.messages[:count])
        del trail.messages[:count]

    def _forget(self, dialog_id: str) -> None:
        trail = self._trails.pop(dialog_id)
        if trail.segment is not None:
            self.dropped += len(trail.messages)
        self._drop(trail, len(trail.messages))


def _is_over(trail: _Trail, segment: UUID | None, now: float) -> bool:
    """Whether nothing more is expected of a trail."""
    if trail.ended_at is not None:
        return now - trail.ended_at > (_GIVE_UP_S if trail.messages else _LATE_S)
    if segment is not None:
        return not trail.messages
    return now - trail.latest > _UNBOUND_S


@lru_cache(maxsize=_WAYS_REMEMBERED)
def _describe(flow: Flow | Destination) -> str:
    if isinstance(flow, Flow):
        return f"{flow.transport} {_address(*flow.local)} {_address(*flow.remote)}"
    return f"{flow.transport} {_address(*flow.local) if flow.local else '-'} {_address(flow.host, flow.port)}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
