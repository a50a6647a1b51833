"""People in the catalog: which recordings somebody is named in, and what must not stay of him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.catalog.connection import Database
from storage.catalog.holds import checked_reason
from storage.catalog.records import RecordingState
from storage.catalog.text import key, storable
from storage.errors import StorageMisused


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """A recording that a person is named in."""

    recording_id: UUID
    record_identifier: str
    state: RecordingState
    started_at: datetime
    named_by: tuple[str, ...]
    """Call facts, `parameters`, `participant`."""


class Persons:
    """People in one catalog; use it as `Catalog.persons`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, person: str) -> list[Appearance]:
        """Return the recordings in which a number, address or agent is named, the oldest first. Reads all rows."""
        return [
            Appearance(
                recording_id=UUID(str(row["recording_id"])),
                record_identifier=row["record_identifier"],
                state=RecordingState(row["state"]),
                started_at=row["started_at"],
                named_by=tuple(row["named_by"]),
            )
            for row in await self._database.rows("find_person", _checked(person))
        ]

    async def mask(self, person: str, *, by: str, reason: str, details: Mapping[str, object]) -> int:
        """Take a person out of tombstones and totals, and enter the request into the audit log, without the person.

        Returns how many tombstones named him.
        """
        return int(
            await self._database.value(
                "mask_person", _checked(person), storable(by), checked_reason(reason), dict(details)
            )
        )


def _checked(person: str) -> str:
    person = person.strip()
    if len(person) < 2:
        raise StorageMisused("whom? give the whole number, address or agent: at least two characters")
    return key(person)
