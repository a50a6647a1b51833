"""The dialogs of a site as the active frontend's writes left them, kept by it and by its standbys.

Fed with the same writes that go to the catalog, so that a standby can take over while nobody answers for the catalog.
Pure; times come from outside.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from recorder.ha.writes import Write
from storage.catalog.records import DialogCheckpoint, SegmentClosing, SegmentOpening

_ANSWERS_REPEATED: Final = timedelta(seconds=40)
"""An ended dialog is kept for as long as a client may repeat its BYE: 64*T1, and some time for the takeover itself."""

_ANSWERS_AWAITED: Final = timedelta(seconds=32)
"""A client gives an INVITE up that has had a 100 when it likes to, and one without after 64*T1."""


_CATALOG_ANSWERS: Final = timedelta(seconds=10)
"""Longer than a statement may take until it counts as refused; then it is pending."""


class KeptDialog(msgspec.Struct, frozen=True, kw_only=True):
    """A dialog to restore."""

    dialog_id: str
    segment_id: UUID
    snapshot: bytes
    made: tuple[int, int] = (0, 0)
    """Of the snapshot; see `DialogCheckpoint`."""
    updated_at: datetime
    ended_at: datetime | None = None
    """Set when it is over and kept only to answer retransmissions."""


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """An INVITE that came by UDP and has had its 100: its sender does not repeat it (RFC 3261 section 17.1.1.2)."""

    request_id: str
    data: bytes
    local: tuple[str, int]
    """Our address that it came to."""
    remote: tuple[str, int]


class Replica:
    """Dialogs by their identifier, and the writes that the catalog has not taken yet."""

    def __init__(self) -> None:
        self.epoch = 0
        """Of the frontend whose dialogs these are; 0 while nothing is known."""
        self.node = ""
        """Its host."""
        self.rivals: frozenset[str] = frozenset()
        """Other hosts whose promise it needed while the catalog was away."""
        self.pending: list[bytes] = []
        """Encoded writes, oldest first; for a standby that does not see the journal of the active one's host."""
        self._asked_of_catalog: deque[tuple[bytes, datetime]] = deque()
        """Encoded writes of the last seconds that the catalog was asked to take, and when."""
        self._unanswered: dict[str, tuple[Unanswered, datetime]] = {}
        """Requests and when they came, oldest first."""
        self._dialogs: dict[str, KeptDialog] = {}
        self._by_segment: dict[UUID, str] = {}
        self._ended: list[tuple[datetime, str]] = []
        """Heap of the ended ones, so that forgetting one does not look at all that live."""

    def told(self, record: bytes, at: datetime, *, pending: bool) -> None:
        """Keep a write: one that is pending until the catalog has it, another until that must have answered."""
        if pending:
            self.pending.append(record)
            return
        self._asked_of_catalog.append((record, at))
        while at - self._asked_of_catalog[0][1] > _CATALOG_ANSWERS:
            self._asked_of_catalog.popleft()

    def untaken(self) -> list[bytes]:
        """Return the writes that the catalog may lack, in their order."""
        pending = set(self.pending)
        return [*(record for record, _ in self._asked_of_catalog if record not in pending), *self.pending]

    def dialogs(self) -> list[KeptDialog]:
        """Return all of them, oldest first."""
        return list(self._dialogs.values())

    def asked(self, request: Unanswered, at: datetime) -> None:
        """Keep a request until it is answered, or too old for an answer."""
        # Behind all that came before, so that the oldest are in front.
        self._unanswered.pop(request.request_id, None)
        self._unanswered[request.request_id] = request, at
        while at - next(iter(self._unanswered.values()))[1] >= _ANSWERS_AWAITED:
            del self._unanswered[next(iter(self._unanswered))]

    def answered(self, request_id: str) -> bool:
        """Forget a request; whether it was known."""
        return self._unanswered.pop(request_id, None) is not None

    def unanswered(self, now: datetime) -> list[Unanswered]:
        """Return the requests whose sender may still wait, oldest first."""
        return [request for request, at in self._unanswered.values() if now - at < _ANSWERS_AWAITED]

    def put(self, dialog: KeptDialog) -> None:
        """Take a dialog as it is."""
        self._dialogs[dialog.dialog_id] = dialog
        self._by_segment[dialog.segment_id] = dialog.dialog_id
        if dialog.ended_at:
            heapq.heappush(self._ended, (dialog.ended_at, dialog.dialog_id))

    def apply(self, write: Write, at: datetime) -> None:
        """Follow a write of the active frontend, made at `at`; one that is repeated, or comes late, changes nothing."""
        match write:
            case SegmentOpening():
                self._save(
                    KeptDialog(
                        dialog_id=write.dialog_id,
                        segment_id=write.segment_id,
                        snapshot=write.dialog_snapshot,
                        updated_at=at,
                    )
                )
            case DialogCheckpoint():
                self._save(
                    KeptDialog(
                        dialog_id=write.dialog_id,
                        segment_id=write.segment_id,
                        snapshot=write.snapshot,
                        made=write.made,
                        updated_at=at,
                    )
                )
            case SegmentClosing():
                self._end(write, at)
            case _:
                pass

    def replay(self, writes: Iterable[Write], at: datetime) -> None:
        """Follow several writes."""
        for write in writes:
            self.apply(write, at)

    def _save(self, dialog: KeptDialog) -> None:
        known = self._dialogs.get(dialog.dialog_id)
        if known is None or (known.ended_at is None and known.made <= dialog.made):
            self.put(dialog)

    def _end(self, write: SegmentClosing, at: datetime) -> None:
        known = self._dialogs.get(self._by_segment.get(write.segment_id, ""))
        if known is None or known.ended_at:
            return
        snapshot = known.snapshot if write.dialog_snapshot is None else write.dialog_snapshot
        self.put(msgspec.structs.replace(known, snapshot=snapshot, updated_at=at, ended_at=at))
        self._forget(at - _ANSWERS_REPEATED)

    def _forget(self, before: datetime) -> None:
        while self._ended and self._ended[0][0] < before:
            ended_at, dialog_id = heapq.heappop(self._ended)
            dialog = self._dialogs.get(dialog_id)
            if dialog and dialog.ended_at == ended_at:
                del self._dialogs[dialog_id]
                self._by_segment.pop(dialog.segment_id, None)
