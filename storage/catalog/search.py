"""Search by any metadata, page by page, newest first.

What is asked for divides into *terms* (`name=value`, found by the text index of a month) and conditions on the
recording itself. A search with terms looks at the newest day first, then further back, at last at twice as many
months each time, until its page is full: a frequent term is found at once, a rare one costs some looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from storage.catalog.connection import Database, translated
from storage.catalog.records import RecordingState
from storage.catalog.text import key, storable
from storage.catalog.views import RecordingFilter
from storage.errors import StorageMisused

MAX_PAGE: Final = 10_000
"""Rows; more is a report, which reads page after page."""

INDEX_BATCH: Final = 500
"""Recordings whose terms are made in one transaction."""

_OUTCOMES: Final = (RecordingState.INTERRUPTED, RecordingState.NO_MEDIA, RecordingState.FAILED)
"""States that are rare enough to be terms, without a name."""

_HIGHEST: Final = "\U0010ffff"

_FIRST_LOOKS: Final = (timedelta(days=1), timedelta(days=8))
"""How far back the first looks go. A term that a month has thousands of times fills its page from one of them, and the
others are not put in order for it. Where they find nothing, each has cost a millisecond."""

_NARROW: Final = 2
"""Terms that few recordings have together: first looks gain nothing. And the door, one of three, narrows nothing any
more; its long list would be the dearest to read."""


async def search(database: Database, wanted: RecordingFilter) -> list[asyncpg.Record]:
    """Return the rows of one page, newest first. What was committed before the call is found."""
    if not 1 <= wanted.limit <= MAX_PAGE:
        raise StorageMisused(f"limit {wanted.limit} is not between 1 and {MAX_PAGE}")
    terms = _terms(wanted)
    if not terms:
        return await _page(database, "list_recordings", _Conditions.of(wanted), wanted.limit)
    await index_pending(database)
    found: list[asyncpg.Record] = []
    bounds = await database.row("recording_bounds", wanted.started_from, _end(wanted))
    if bounds["oldest"] is None or bounds["newest"] is None:
        return found
    looks = _FIRST_LOOKS if len(terms) < _NARROW else ()
    for since, until in _windows(bounds["oldest"], bounds["newest"], looks):
        conditions = _Conditions.of(wanted, ("q.started_at", "q.recording_id"))
        conditions.place(
            "q.terms @@ search_query_v1({}, {}, {})",
            [name for name, _ in terms],
            [value.removesuffix("*") for _, value in terms],
            [value.endswith("*") for _, value in terms],
        )
        conditions.place("q.started_at >= {} AND q.started_at < {}", since, until)
        found += await _page(database, "search_recordings", conditions, wanted.limit - len(found))
        if len(found) == wanted.limit:
            break
    return found


async def index_pending(database: Database, *, batches: int = 1000) -> int:
    """Make the terms of recordings that wait for it; returns how many entries of the queue were done."""
    done = 0
    for _ in range(batches):
        count = int(await database.value("index_recordings", INDEX_BATCH))
        done += count
        if count < INDEX_BATCH:
            break
    return done


def _terms(wanted: RecordingFilter) -> list[tuple[str, str]]:
    named = (
        ("dn", wanted.dn),
        ("ani", wanted.ani),
        ("dnis", wanted.dnis),
        ("agent", wanted.agent),
        ("participant", wanted.participant),
    )
    # Nothing is kept under an empty text: it would find no recording, and says no more than its absence.
    terms = [(name, value) for name, value in (*named, *wanted.where) if value]
    if 0 < len(terms) < _NARROW and wanted.door is not None:
        terms.append(("door", wanted.door.value))
    if terms and wanted.state in _OUTCOMES:
        terms.append(("", wanted.state.value))
    if terms and wanted.lost_more_s is not None:
        terms.append(("", "lost"))
    return [(storable(name), storable(value)) for name, value in terms]


def _end(wanted: RecordingFilter) -> datetime | None:
    """Return the time at or before which the page begins."""
    ends = [end for end in (wanted.started_to, wanted.after[0] if wanted.after else None) if end is not None]
    return min(ends, default=None)


def _windows(oldest: datetime, newest: datetime, looks: Sequence[timedelta]) -> Iterator[tuple[datetime, datetime]]:
    """Yield `[since, until)` back from the newest: first looks, the rest of their month, months that double. Pure."""
    month = _number(newest) + 1
    until = _month(month)
    for look in looks:
        if until <= oldest:
            return
        since = newest - look
        yield since, until
        month, until = _number(since - timedelta.resolution) + 1, since
    length, first = 1, _number(oldest)
    while until > oldest:
        month, length = max(month - length, first), length * 2
        yield _month(month), until
        until = _month(month)


def _number(at: datetime) -> int:
    """Return how many months since year 0 came before that of a time."""
    return at.astimezone(UTC).year * 12 + at.astimezone(UTC).month - 1


def _month(number: int) -> datetime:
    """Return the start of the month that follows so many months since year 0."""
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


class _Conditions:
    """SQL conditions with placeholders, and their arguments; user text is only ever an argument."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        """On the recording."""
        self.placed: list[str] = []
        """On its place in the listing, and on its terms: what is told without looking at the recording."""
        self.arguments: list[Any] = []

    @classmethod
    def of(cls, wanted: RecordingFilter, place: tuple[str, str] = ("r.started_at", "r.id")) -> _Conditions:
        """Return the conditions on the recording itself; `place` names the columns of its place in the listing."""
        started_at, recording_id = place
        made = cls()
        if wanted.started_from is not None:
            made.place(f"{started_at} >= {{}}", wanted.started_from)
        if wanted.started_to is not None:
            made.place(f"{started_at} < {{}}", wanted.started_to)
        made.add_text("record_identifier", wanted.record_identifier)
        made.add_text("call_uuid", wanted.call_uuid)
        if wanted.state is not None:
            made.add("r.state = {}", wanted.state.value)
            if wanted.state.value != "complete":
                made.conditions.append("r.state <> 'complete'")  # names the partial index
        if wanted.door is not None:
            made.add("r.door = {}", wanted.door.value)
        if wanted.shorter_s is not None:
            made.add("r.duration_s < {}", wanted.shorter_s)
        if wanted.longer_s is not None:
            made.add("r.duration_s >= {}", wanted.longer_s)
        if wanted.lost_more_s is not None:
            made.add("r.lost_s > {} AND r.lost_s > 0", wanted.lost_more_s)
        if wanted.state is None and wanted.record_identifier is None:
            # Tombstones are for those who ask for them.
            made.conditions.append("r.state <> 'deleted'")
        if not wanted.copies and wanted.record_identifier is None:
            made.conditions.append("r.role IN ('recording', 'master')")
        if wanted.after is not None:
            # The first condition is the one that indexes and partitions understand.
            made.place(f"{started_at} <= {{}}", wanted.after[0])
            made.place(f"({started_at}, {recording_id}) < ({{}}, {{}})", *wanted.after)
        return made

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition; each `{}` stands for one of the values."""
        self.conditions.append(self._numbered(condition, values))

    def place(self, condition: str, *values: Any) -> None:
        """Add a condition on the place; see `add`."""
        self.placed.append(self._numbered(condition, values))

    def _numbered(self, condition: str, values: tuple[Any, ...]) -> str:
        numbers = range(len(self.arguments) + 1, len(self.arguments) + 1 + len(values))
        self.arguments.extend(values)
        return condition.format(*(f"${number}" for number in numbers))

    def add_text(self, column: str, value: str | None) -> None:
        """Add equality, or, with a trailing `*`, the range of values that begin so: what a b-tree can use."""
        if value is None:
            return
        if value.endswith("*"):
            beginning = storable(value[:-1])
            # Byte order is the order of the column's collation.
            self.add(f"r.{column} >= {{}} AND r.{column} < {{}}", beginning, beginning + _HIGHEST)
        else:
            self.add(f"r.{column} = {{}}", key(value))


async def _page(database: Database, name: str, conditions: _Conditions, limit: int) -> list[asyncpg.Record]:
    arguments = [*conditions.arguments, limit]
    statement = (
        database.statements[name]
        .replace("/* placed */", " AND ".join(conditions.placed) or "true")
        .replace("/* conditions */", " AND ".join(conditions.conditions) or "true")
        .replace("/* limit */", f"${len(arguments)}")
    )
    with translated():
        async with database.connections.lent() as connection:
            return await connection.fetch(statement, *arguments)
